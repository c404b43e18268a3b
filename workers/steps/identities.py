"""Segments of a clip that are told apart by who they are, from a SEGS document by frame; and their masks by frame.

What the node makes of the findings of single frames is one area for all that overlap. Here each identity is a segment
of its own, also where two pass each other. Source: SPEC 14, SimpleDetectorForAnimateDiff, its three masking modes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from farm.detail.box import Box, make_crop_region
from farm.detail.follow import follow, plane_box
from farm.detail.segs import Seg, mask_to_segs
from farm.domain.job import Job, Source
from farm.domain.segment import SegEntry, SegsDocument
from workers.context import Tools
from workers.steps.ingest import named
from workers.steps.masks import Mask, entry_segs, segs_document
from workers.steps.tracks import ClipSegment

MARKED = 0.1
"""Level above which a pixel belongs to a segment of the clip."""


def told_apart(tools: Tools, job: Job, source: Source) -> bool:
    """Whether a source's document says who is who, or how masks go from frame to frame."""
    return source.kind != "mask" and segs_document(tools, job, source).by_identity


def identity_segments(tools: Tools, job: Job, source: Source) -> list[ClipSegment]:
    """The clip's segments: one for each identity, in their order; without identities, one for each area that is marked
    in any frame. Their masks are the pivot: all that is marked in any frame, or in the first one."""
    look = _Look(tools, job, source)
    first = look.document.segs_pivot == "first_frame_mask"
    unions: dict[int | None, _Union] = {}
    for position in range(job.start, job.start + 1 if first else job.end):
        for identity, segs in look.by_identity(position).items():
            unions.setdefault(identity, _Union(job)).add(segs)
    found: list[ClipSegment] = []
    for identity in sorted(unions, key=lambda one: one or 0):
        found += [look.followed(ClipSegment(seg)) for seg in unions[identity].segments(source, identity)]
    return found


def identity_rows(
    tools: Tools, job: Job, source: Source, segments: Sequence[ClipSegment], positions: Sequence[int]
) -> dict[int, list[Seg]]:
    """The clip's segments as they are in frames of it, by position, each with the mask that its mode gives it there."""
    look = _Look(tools, job, source)
    return {p: [one.at(p - job.start, look.mask(one.seg, p)) for one in segments] for p in positions}


class _Union:
    """What is marked in any frame."""

    def __init__(self, job: Job) -> None:
        self._mask = np.zeros((job.input.height, job.input.width), dtype=np.float32)
        self._label = ""
        self._confidence = 0.0

    def add(self, segs: Sequence[Seg]) -> None:
        for seg in segs:
            _paint(self._mask, Box(0, 0, self._mask.shape[1], self._mask.shape[0]), seg)
            self._label = self._label or seg.label
            self._confidence = max(self._confidence, seg.confidence)

    def segments(self, source: Source, identity: int | None) -> list[Seg]:
        detailer, height, width = source.detailer, *self._mask.shape
        pivot = (self._mask > MARKED).astype(np.float32)
        if identity is None:
            found = mask_to_segs(pivot, False, detailer.crop_factor, False, detailer.drop_size, self._label)
            return [replace(seg, confidence=self._confidence) for seg in found]
        bbox = plane_box(pivot, (0, 0), (width, height))
        if bbox[0] == bbox[2]:
            return []
        region = make_crop_region(width, height, bbox, detailer.crop_factor)
        mask = pivot[region.slices].copy()
        return [Seg(bbox, region, mask, self._label, self._confidence, number=identity - 1)]


class _Look:
    """A source's document, frame by frame."""

    def __init__(self, tools: Tools, job: Job, source: Source) -> None:
        self.document: SegsDocument = segs_document(tools, job, source)
        self._clip = tools.media(job.input.id)
        self._job = job
        self._source = source
        self._mode = self.document.masking_mode or "dont_combine"

    def by_identity(self, position: int) -> Mapping[int | None, list[Seg]]:
        """What is found in a frame, by who it is; all under None where nobody says."""
        found: dict[int | None, list[Seg]] = {}
        for entry in self._entries(position):
            found.setdefault(entry.identity, []).extend(self._segs([entry]))
        return found

    def mask(self, seg: Seg, position: int) -> Mask:
        """The mask `[h, w]` that a segment of the clip has in a frame, of its region."""
        if self._mode == "pivot_segs":
            return seg.mask
        near = range(position, position + 1)
        if self._mode == "combine_neighboring_frames":
            near = range(max(self._job.start, position - 1), min(self._job.end, position + 2))
        canvas = np.zeros((seg.crop_region.height, seg.crop_region.width), dtype=np.float32)
        for each in near:
            self._draw(canvas, seg, each)
        return canvas * seg.mask

    def followed(self, one: ClipSegment) -> ClipSegment:
        """The same with its way, if its crop is to follow its mask."""
        job, detailer = self._job, self._source.detailer
        if not detailer.follow or self._mode == "pivot_segs" or job.frames == 1:
            return one
        picture = job.input.width, job.input.height
        corner = one.seg.crop_region.x1, one.seg.crop_region.y1
        masks = (self.mask(one.seg, position) for position in range(job.start, job.end))
        boxes = np.array([plane_box(mask, corner, picture) for mask in masks], dtype=np.int32)
        return replace(one, track=follow(boxes, picture, detailer.crop_factor, one.seg.crop_region))

    def _draw(self, canvas: Mask, seg: Seg, position: int) -> None:
        entries = self._entries(position)
        if seg.number is not None:
            entries = [entry for entry in entries if entry.identity == seg.number + 1]
        for own in self._segs(entries):
            _paint(canvas, seg.crop_region, own)

    def _entries(self, position: int) -> Sequence[SegEntry]:
        return self.document.frames.get(named(self._clip, position)["number"], ())

    def _segs(self, entries: Sequence[SegEntry]) -> list[Seg]:
        return entry_segs(self.document, entries, self._job, self._source)


def _paint(canvas: Mask, at: Box, seg: Seg) -> None:
    """Lay a segment's mask over a canvas that lies at `at` in the picture; the larger value of each pixel stays."""
    seen = seg.crop_region.intersection(at)
    if not seen.area:
        return
    own = seg.mask if seg.mask.ndim == 2 else seg.mask.max(axis=0)
    target = canvas[seen.shifted(-at.x1, -at.y1).slices]
    part = own[seen.shifted(-seg.crop_region.x1, -seg.crop_region.y1).slices]
    np.maximum(target, part[: target.shape[0], : target.shape[1]], out=target)
