"""Segments of a clip whose crops follow their masks: found from parts of the clip, kept with it, put into frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.adapters.packs import decode_npy, encode_npy
from farm.detail.box import Box
from farm.detail.follow import Ints, Track, boxes_of, follow, own_mask, plane_box
from farm.detail.segs import Seg, combine_masks
from farm.domain.job import Job, Source

Mask = NDArray[np.float32]
NO_MASK = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ClipSegment:
    """A segment of a clip and, where its crop follows its mask, its way."""

    seg: Seg
    """Region and bbox hold all of its motion. Its mask: one, or one per frame; `[0, 0]` where each frame has one of its
    own; with a track, where its own area lies in the frames' masks."""
    track: Track | None = None

    def own(self, mask: Mask) -> Mask:
        """What of a frame's mask `[H, W]` is its own, `[h, w]` of its region: with a track, what its own area marks,
        else all that lies in the region, as the node has it."""
        marked: Mask = mask[self.seg.crop_region.slices]
        return marked if self.track is None else np.where(self.seg.mask, marked, np.float32(0))

    def at(self, frame: int, mask: Mask) -> Seg:
        """It in frame `frame` of the job, counted from 0, where `mask` `[h, w]` says what is marked in its region."""
        if self.track is None:
            return replace(self.seg, mask=np.array(mask, dtype=np.float32))
        region = self.track.region(frame)
        moved = own_mask(mask, self.seg.crop_region, region)
        here = Seg(self.track.bbox(frame), region, moved, self.seg.label, self.seg.confidence)
        return replace(self.seg, mask=NO_MASK, moved=here)


def with_ways(
    segs: Sequence[Seg], parts: Sequence[Sequence[Ints]], picture: tuple[int, int], source: Source
) -> list[ClipSegment]:
    """Segments of the union of all frames' masks, each with its way.

    Args:
        parts: runs of frames, one after the other, and for each frame the areas that are marked in it.
        picture: width, height in pixels.
    """
    boxes = np.concatenate([boxes_of(segs, areas, picture) for areas in parts], axis=1)
    ways = [
        follow(own, picture, source.detailer.crop_factor, seg.crop_region) for seg, own in zip(segs, boxes, strict=True)
    ]
    return [
        ClipSegment(replace(seg, mask=NO_MASK if way is None else (seg.mask > 0).astype(np.uint8)), way)
        for seg, way in zip(segs, ways, strict=True)
    ]


def of_document(seg: Seg, job: Job, source: Source) -> ClipSegment:
    """An entry of a SEGS document for the whole clip; with masks per frame it may be asked to follow them."""
    rows = frame_rows(seg, job)
    if not source.detailer.follow or len(rows) < job.frames or job.frames == 1:
        return ClipSegment(seg)
    picture = job.input.width, job.input.height
    corner = seg.crop_region.x1, seg.crop_region.y1
    boxes = np.array([plane_box(row, corner, picture) for row in rows], dtype=np.int32)
    return ClipSegment(seg, follow(boxes, picture, source.detailer.crop_factor, seg.crop_region))


def frame_rows(seg: Seg, job: Job) -> Mask:
    """A segment's masks `[F, h, w]` by position in the job; one for all, `[1, h, w]`, where the counts differ."""
    mask = np.asarray(seg.mask, dtype=np.float32)
    if mask.ndim == 2:
        return mask[None]
    if len(mask) == job.frames or len(mask) == 1:
        return mask
    return mask[job.start : job.end] if len(mask) == job.input.frames else combine_masks(mask)[None]


def packed(source: str, segments: Sequence[ClipSegment]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """A source's segments as entries of a document and the arrays beside it, by name."""
    entries, members = [], {}
    for number, segment in enumerate(segments):
        seg, track = segment.seg, segment.track
        entry = {"bbox": seg.bbox, "crop_region": seg.crop_region, "label": seg.label, "confidence": seg.confidence}
        if seg.number is not None:
            entry["number"] = seg.number
        members[f"{source}.{number}.npy"] = encode_npy(seg.mask)
        if track is not None:
            entry |= {"crop": track.crop, "target": track.target}
            members[f"{source}.{number}.corners.npy"] = encode_npy(track.corners)
        entries.append(entry)
    return entries, members


def unpacked(source: str, entries: Sequence[Mapping[str, Any]], members: Mapping[str, bytes]) -> list[ClipSegment]:
    """The segments that `packed` has packed."""
    found = []
    for number, entry in enumerate(entries):
        mask, track = decode_npy(members[f"{source}.{number}.npy"]), None
        if "crop" in entry:
            corners = decode_npy(members[f"{source}.{number}.corners.npy"])
            track = Track(tuple(entry["crop"]), tuple(entry["target"]), corners)
        box, region = tuple(entry["bbox"]), Box(*entry["crop_region"])
        seg = Seg(box, region, mask, entry["label"], entry["confidence"], number=entry.get("number"))
        found.append(ClipSegment(seg, track))
    return found
