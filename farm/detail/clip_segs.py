"""Segments that belong to a whole clip: one region, a mask per frame or one for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from farm.detail.box import Box
from farm.detail.resample import Mask
from farm.detail.segs import Seg, binarized, mask_to_segs, wrapped_bytes


def batch_mask_to_segs(
    masks: Mask,
    combined: bool,
    crop_factor: float,
    bbox_fill: bool,
    drop_size: int = 1,
    label: str = "A",
    crop_min_size: float | None = None,
) -> list[Seg]:
    """Segments of all that any frame marks, each with the frames' own masks inside of its region.

    Args:
        masks: `[F, h, w]`, or a single `[h, w]`.   others: see `mask_to_segs`.
    Returns:
        Segments with masks `[F, h, w]` as given, neither clipped nor filled: what a neighbor marks inside of the
        region is in them too.
    Source:
        SPEC 4.3.
    """
    masks = np.asarray(masks)[None] if np.ndim(masks) == 2 else masks
    found = mask_to_segs(union_mask(masks), combined, crop_factor, bbox_fill, drop_size, label, crop_min_size)
    return [with_frame_masks(seg, masks) for seg in found]


def union_mask(masks: Mask, so_far: Mask | None = None) -> Mask:
    """The largest value of each pixel over `[F, h, w]` and, if given, `so_far` `[h, w]`: for a clip seen in parts."""
    union: Mask = np.asarray(masks).max(axis=0)
    return union if so_far is None else np.maximum(union, so_far)


def with_frame_masks(seg: Seg, masks: Mask) -> Seg:
    """`seg` with the masks `[F, h, w]` of full frames, cut to its region, in place of its own."""
    return replace(seg, mask=region_masks(masks, seg.crop_region), confidence=1.0)


def region_masks(masks: Mask, region: Box) -> Mask:
    """The part of full-frame masks `[F, h, w]` that lies in `region`."""
    return np.array(masks[:, region.slices[0], region.slices[1]], dtype=np.float32)


def animatediff_segs(
    masks: Mask,
    combined: bool,
    crop_factor: float,
    bbox_fill: bool,
    drop_size: int = 1,
    label: str = "A",
    contour_fill: bool = True,
) -> list[Seg]:
    """Segments for a clip: of masks per frame `[F > 1, h, w]` with a mask per frame, of a single mask with one for all.

    Args:
        contour_fill: `is_contour` of `mask_to_segs`; several masks are always taken by their filled outlines.
    Source:
        SPEC 14, MaskToSEGS_for_AnimateDiff.
    """
    values = np.asarray(masks)
    if values.ndim == 3 and len(values) > 1:
        return batch_mask_to_segs(values, combined, crop_factor, bbox_fill, drop_size, label)
    found = mask_to_segs(
        values, combined, crop_factor, bbox_fill, drop_size=drop_size, label=label, is_contour=contour_fill
    )
    if not found:
        return []
    together = np.zeros(values.shape[-2:], dtype=np.uint8)
    for seg in found:
        together[seg.crop_region.slices] |= wrapped_bytes(seg.mask)
    return mask_to_segs(binarized(together), False, crop_factor, False, drop_size, label, is_contour=contour_fill)
