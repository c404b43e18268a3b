"""Masks to segments: what Impact Pack calls SEGS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from farm.detail.box import BBox, Box, make_crop_region
from farm.detail.resample import Mask, resize_mask


@dataclass(frozen=True, eq=False)
class Seg:
    """One area to detail."""

    bbox: BBox
    """x1, y1, x2, y2 of the thing itself, pixels; detectors give fractions."""
    crop_region: Box
    """What is cut out around it."""
    mask: Mask
    """float32 `[h, w]` or, one per frame, `[F, h, w]`, of the crop region's size."""
    label: str = "A"
    confidence: float = 1.0
    moved: Seg | None = None
    """What it is in one frame, where its crop follows its mask: this is what is detailed. Filters, orders and texts go
    by the segment itself, which is the same in all frames."""
    number: int | None = None
    """Who it is, from 0, where that is known from frame to frame: seeds go by it. None: by its place in the frame."""

    @property
    def bbox_size(self) -> tuple[float, float]:
        """Width and height of the bbox, pixels."""
        return self.bbox[2] - self.bbox[0], self.bbox[3] - self.bbox[1]

    def frame_mask(self, index: int, frames: int) -> Mask:
        """The mask `[h, w]` of frame `index` of `frames`: its own, the only one, or all of them combined."""
        if self.mask.ndim == 2:
            return self.mask
        if len(self.mask) == frames:
            return np.asarray(self.mask[index])
        return np.asarray(self.mask[0]) if len(self.mask) == 1 else combine_masks(self.mask)


@dataclass(frozen=True)
class _Rule:
    crop_factor: float
    bbox_fill: bool
    drop_size: int
    label: str
    crop_min_size: float | None
    is_contour: bool


def mask_to_segs(
    mask: Mask,
    combined: bool,
    crop_factor: float,
    bbox_fill: bool,
    drop_size: int = 1,
    label: str = "A",
    crop_min_size: float | None = None,
    is_contour: bool = True,
) -> list[Seg]:
    """The segments of a mask; of several masks `[F, h, w]` those of frame 0 first, without their frame's number.

    Args:
        mask: `[h, w]` or `[F, h, w]`, floating; what is at least 1/255 counts as marked.
        combined: one segment around all that is marked, instead of one per blob.
        crop_factor: side of the crop region over side of the bbox.
        bbox_fill: the whole bbox is masked, not just the blob.
        drop_size: pixels; a blob is kept if both sides of its bbox are larger. Without effect if `combined`.
        crop_min_size: pixels; smallest side of a blob's crop region.
        is_contour: True: the blob's outline, filled, with 0 and 1 only. False: the mask's values inside of it.
    Returns:
        Blobs from the lowest to the highest first pixel; an empty list if nothing is marked or kept.
        Masks of blobs are clipped to [0, 1].
    Source:
        SPEC 4. What lies in a hole of a blob gets no segment of its own.
    """
    rule = _Rule(crop_factor, bbox_fill, drop_size, label, crop_min_size, is_contour)
    values = np.asarray(mask)
    segments: list[Seg] = []
    for frame in values[None] if values.ndim == 2 else values:
        segments += _around_all(frame, rule) if combined else _blobs(frame, rule)
    return segments


def segs_scale_match(segs: list[Seg], header: tuple[int, int], target: tuple[int, int]) -> list[Seg]:
    """Segments made for a picture of `header` (height, width), brought to a picture of `target` (height, width).

    Raises:
        ValueError: if a region becomes empty.
    Source:
        SPEC 2.3, as the node does it: x1 and y1 go by the ratio of widths, x2 and y2 by that of heights.
    """
    if header == target or 0 in header:
        return list(segs)
    by_height, by_width = target[0] / header[0], target[1] / header[1]

    def scaled(corners: BBox | Box) -> Box:
        x1, y1, x2, y2 = corners
        return Box(int(x1 * by_width), int(y1 * by_width), int(x2 * by_height), int(y2 * by_height))

    matched = []
    for seg in segs:
        region = scaled(seg.crop_region)
        mask = resize_mask(seg.mask, region.x2 - region.x1, region.y2 - region.y1)
        matched.append(replace(seg, bbox=scaled(seg.bbox), crop_region=region, mask=mask))
    return matched


def combine_masks(masks: Mask) -> Mask:
    """One `[h, w]` of 0 and 1 out of `[F, h, w]`: marked where the masks' bytes, or-ed, are above a tenth.

    Source:
        SPEC 7.4; all frames count (the node loses the first one when it makes the noise mask, 7.3).
    """
    return binarized(np.bitwise_or.reduce(wrapped_bytes(masks), axis=0))


def binarized(levels: NDArray[np.uint8]) -> Mask:
    """1 where a byte is above a tenth of 255, else 0."""
    return (levels.astype(np.float32) / np.float32(255) > np.float32(0.1)).astype(np.float32)


def wrapped_bytes(mask: Mask) -> NDArray[np.uint8]:
    """`mask * 255` cut off to whole numbers; values outside of [0, 1] wrap around, the same on every machine.

    Source:
        SPEC 4.2, step 1.
    """
    levels = np.asarray(mask) * 255
    if levels.size and levels.min() >= 0 and levels.max() < 256:
        return levels.astype(np.uint8)  # nearly every mask; wrapping costs ten times as much
    levels = np.nan_to_num(levels, nan=0.0, posinf=0.0, neginf=0.0)
    return (levels.astype(np.int64) & 255).astype(np.uint8)


def _around_all(frame: Mask, rule: _Rule) -> list[Seg]:
    rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
    if not len(rows):
        return []
    # Inclusive corners, one short of the half-open ones used everywhere else: so does the node.
    bbox = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
    region = make_crop_region(frame.shape[1], frame.shape[0], bbox, rule.crop_factor)
    if not region.area:
        return []
    mask = frame[region.slices].astype(np.float32)
    if rule.bbox_fill:
        # In coordinates of the picture although the mask is a crop: so does the node.
        mask[Box(*bbox).slices] = 1
    return [Seg(bbox, region, mask, rule.label)]


def _blobs(frame: Mask, rule: _Rule) -> list[Seg]:
    marked = wrapped_bytes(frame)
    if not marked.any():
        return []
    found = cv2.findContours(marked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    outlines = sorted((np.asarray(outline, dtype=np.int32) for outline in found), key=_first_pixel, reverse=True)
    return [seg for outline in outlines if (seg := _blob(frame, outline, rule))]


def _first_pixel(outline: NDArray[np.int32]) -> tuple[int, int]:
    """Row and column of the leftmost pixel of an outline's topmost row."""
    points = outline.reshape(-1, 2)
    row = int(points[:, 1].min())
    return row, int(points[points[:, 1] == row, 0].min())


def _blob(frame: Mask, outline: NDArray[np.int32], rule: _Rule) -> Seg | None:
    x, y, width, height = cv2.boundingRect(outline)
    if min(width, height) <= max(rule.drop_size, 1):
        return None
    box = Box(x, y, x + width, y + height)
    region = make_crop_region(frame.shape[1], frame.shape[0], box, rule.crop_factor, rule.crop_min_size)
    # Drawn on a canvas of the bbox's size, not of the frame's: a frame may have hundreds of blobs.
    filled = np.zeros((height, width), dtype=np.uint8)
    cv2.drawContours(filled, [outline], 0, 1, thickness=-1, offset=(-x, -y))
    shape = filled.astype(np.float32)
    if not rule.is_contour:
        shape = shape * frame[box.slices].astype(np.float32)
    seen = box.intersection(region)
    mask = np.zeros((region.height, region.width), dtype=np.float32)
    inner = seen.shifted(-region.x1, -region.y1).slices
    mask[inner] = 1 if rule.bbox_fill else shape[seen.shifted(-x, -y).slices]
    return Seg((x, y, x + width, y + height), region, np.clip(mask, 0, 1), rule.label)
