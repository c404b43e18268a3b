"""From masks and SEGS documents to segments, at the clip's scale."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import decode_mask
from farm.detail.box import Box, make_crop_region
from farm.detail.detections import dilated_box, whole_pixels
from farm.detail.segs import Seg, mask_to_segs, segs_scale_match
from farm.domain import keys
from farm.domain.job import Job, Source
from farm.domain.media import Media
from farm.domain.segment import SegEntry, SegsDocument
from farm.domain.submission import mask_position
from farm.errors import BadFrame, Rejected
from workers.context import Tools
from workers.steps.ingest import frame_digest, ingested

Mask = NDArray[np.float32]


def frame_masks(tools: Tools, job: Job, source: Source, positions: Sequence[int]) -> dict[int, Mask]:
    """The masks `[H, W]` of a source at positions of the clip. Raises BadFrame where one cannot be read."""
    media, what = tools.media(source.media.id), f"the mask of segment {source.name!r}"
    digests = picture_digests(tools, job, "mask", media, positions, what)
    pictures = tools.pictures.read_all(digests.values())
    as_floats = {digest: pixels[..., 0].astype(np.float32) / np.float32(255) for digest, pixels in pictures.items()}
    return {position: as_floats[digest] for position, digest in digests.items()}


def looked_at(tools: Tools, job: Job, source: Source, positions: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Position -> digests of the pictures that a source looks at besides. Raises BadFrame."""
    digests = [
        picture_digests(tools, job, use, tools.media(media.id), positions, f"{media.name!r} of segment {source.name!r}")
        for use, media in source.looks_at
    ]
    return {position: tuple(found[position] for found in digests) for position in positions}


def picture_digests(
    tools: Tools, job: Job, use: str, media: Media, positions: Sequence[int], what: str
) -> dict[int, str]:
    """Position in the clip -> digest of the picture that belongs to it. Raises BadFrame where one cannot be read."""
    if not positions:
        return {}
    at = {position: mask_position(media, job.input.frames, job.start, position) for position in positions}
    found = ingested(tools, media, use, min(at.values()), max(at.values()))
    return {position: frame_digest(found[place], f"{what}: ") for position, place in at.items()}


def readable(tools: Tools, job: Job, source: Source, position: int) -> bool:
    """Whether all that a source of a `mask` job reads for a frame can be read."""
    try:
        if source.kind == "mask":
            frame_masks(tools, job, source, [position])
        looked_at(tools, job, source, [position])
    except BadFrame:
        return False
    return True


def segs_document(tools: Tools, job: Job, source: Source) -> SegsDocument:
    """The SEGS document that a source stands for: the user's, or what its detector has found. Raises NotFound."""
    if source.kind == "segs":
        return tools.documents.segs(source.media)
    return tools.object(keys.detected(job.id, source.name), SegsDocument.model_validate_json)


def per_frame(tools: Tools, job: Job, source: Source) -> bool:
    """Whether each frame of the clip has a mask of its own, drawn or in a SEGS document by frame."""
    if source.kind == "mask":
        return source.media.frames > 1
    return not segs_document(tools, job, source).segs


def clip_masks(tools: Tools, job: Job, source: Source, positions: Sequence[int]) -> dict[int, Mask]:
    """What a source marks in each frame, `[H, W]`: a drawn mask, or the frame's SEGS laid over each other."""
    if source.kind == "mask":
        return frame_masks(tools, job, source, positions)
    pictures = tools.media(job.input.id).pictures
    masks = {}
    for position in positions:
        number = pictures[position].number if pictures else job.number(position)
        mask = np.zeros((job.input.height, job.input.width), dtype=np.float32)
        for seg in document_segs(tools, job, source, number):
            within = seg.crop_region.inside(job.input.width, job.input.height)
            plane = seg.mask if seg.mask.ndim == 2 else seg.mask.max(axis=0)
            cut = plane[: within.height, : within.width]
            mask[within.slices] = np.maximum(mask[within.slices], cut)
        masks[position] = mask
    return masks


def mask_segs(source: Source, mask: Mask) -> list[Seg]:
    """The segments of one frame's mask, as MaskDetailerPipe makes them."""
    detailer = source.detailer
    return mask_to_segs(
        mask,
        False,
        detailer.crop_factor,
        detailer.bbox_fill,
        detailer.drop_size,
        source.name,
        is_contour=detailer.contour_fill,
    )


def document_segs(tools: Tools, job: Job, source: Source, number: int | None, position: int | None = None) -> list[Seg]:
    """The segments of a SEGS document, scaled to the clip: those of frame `number`, or of the clip for None.

    Args:
        position: of the frame in the clip: of a segment with a mask for each frame only that one is read. None: all.
    """
    document = segs_document(tools, job, source)
    entries = document.frames.get(number, ()) if number is not None and document.frames else document.segs
    return entry_segs(document, entries, job, source, position)


def entry_segs(
    document: SegsDocument, entries: Sequence[SegEntry], job: Job, source: Source, position: int | None = None
) -> list[Seg]:
    """Entries of a document as segments, scaled to the clip, in the order of their identities.

    Args:
        position: see `document_segs`.
    """
    ordered = sorted(entries, key=lambda entry: entry.identity or 0)
    segs = [_seg(entry, source, document.header, _texts(entry, job, position)) for entry in ordered]
    return segs_scale_match(segs, document.header, (job.input.height, job.input.width))


def _texts(entry: SegEntry, job: Job, position: int | None) -> list[str]:
    """An entry's masks; the frame's own alone where there is one for each frame of the job, or of the clip."""
    masks = [entry.mask] if isinstance(entry.mask, str) else list(entry.mask)
    if position is None or len(masks) not in (job.frames, job.input.frames):
        return masks
    return [masks[position - job.start if len(masks) == job.frames else position]]


def _seg(entry: SegEntry, source: Source, header: tuple[int, int], masks: Sequence[str]) -> Seg:
    if entry.crop_region is not None:
        region = Box(*entry.crop_region)
    else:
        region = make_crop_region(header[1], header[0], entry.bbox, source.detailer.crop_factor)
    if not masks:
        mask = _filled_bbox(entry, region)
    else:
        planes = [_plane(text, source, region) for text in masks]
        mask = planes[0] if len(planes) == 1 else np.stack(planes)
    number = None if entry.identity is None else entry.identity - 1
    return Seg(entry.bbox, region, mask, entry.label, entry.confidence, number=number)


def _filled_bbox(entry: SegEntry, region: Box) -> Mask:
    mask = np.zeros((region.height, region.width), dtype=np.float32)
    seen = dilated_box(whole_pixels(entry.bbox), entry.dilation).intersection(region)
    mask[seen.shifted(-region.x1, -region.y1).slices] = 1
    return mask


def _plane(text: str, source: Source, region: Box) -> Mask:
    try:
        data = base64.b64decode(text.rsplit(",", 1)[-1], validate=True)
    except binascii.Error as error:
        raise Rejected(f"Segment {source.name!r}: a mask of the SEGS document is not base64: {error}.") from None
    mask = decode_mask(data)
    if mask.shape != (region.height, region.width):
        raise Rejected(
            f"Segment {source.name!r}: a mask is {mask.shape[1]}x{mask.shape[0]} px, its crop_region "
            f"{region.width}x{region.height} px. Give masks of the crop region's size."
        )
    return mask
