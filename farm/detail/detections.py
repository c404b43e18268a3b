"""What a detector finds in a picture, and what is done with it before anybody follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from farm.detail.box import BBox, Box
from farm.detail.resample import Mask

U8 = NDArray[np.uint8]
BINS = 4
"""Steps per color channel of a histogram: coarse, so that noise and motion move little of it."""
THUMBNAIL = 48
"""Pixels, longer side of what a picture's or a face's colors are counted in."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Which pixels are meant, where a detector tells more than a box."""

    at: Box
    """Where in the picture."""
    mask: Mask
    """float32 `[h, w]` in [0, 1], of `at`'s size."""


@dataclass(frozen=True, eq=False)
class Found:
    """One thing that a detector found."""

    bbox: BBox
    """x1, y1, x2, y2 in pixels of the picture, fractions allowed, inside of it."""
    label: str
    confidence: float
    """In [0, 1]."""
    shape: Shape | None = None
    """None: all of the bbox."""
    look: U8 | None = None
    """Its colors, see `colors`; None: not known."""


def iou(one: BBox, other: BBox) -> float:
    """What two boxes have in common over what they cover together; 0 where both are empty."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (area(one) + area(other) - common)


def area(box: BBox) -> float:
    """Square pixels."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def strongest(boxes: NDArray[np.float32], scores: NDArray[np.float32], limit: float, most: int) -> list[int]:
    """Which boxes `[n, 4]` stay where those that overlap a stronger one by more than `limit` (IoU) go: at most `most`,
    strongest first; of equal ones the first. Non-maximum suppression.
    """
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    kept: list[int] = []
    while len(order) and len(kept) < most:
        first, order = int(order[0]), order[1:]
        kept.append(first)
        low, high = np.maximum(boxes[first, :2], boxes[order, :2]), np.minimum(boxes[first, 2:], boxes[order, 2:])
        common = (high - low).clip(0).prod(axis=1)
        together = areas[first] + areas[order] - common
        order = order[common <= limit * np.maximum(together, np.float32(1e-9))]
    return kept


def clipped(box: Sequence[float], width: int, height: int) -> BBox:
    """A box inside of a picture."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return min(max(x1, 0.0), width), min(max(y1, 0.0), height), min(max(x2, 0.0), width), min(max(y2, 0.0), height)


def whole_pixels(box: Sequence[float]) -> Box:
    """The pixels that a box with fractions covers, each corner rounded to the nearest."""
    return Box(*(round(value) for value in box))


def dilated_box(box: Box, dilation: int) -> Box:
    """What becomes of a filled rectangle by `dilated`; of area 0 if nothing is left."""
    # A kernel of n pixels reaches n // 2 to its anchor's left and the rest to its right, as OpenCV has it.
    near, far = abs(dilation) // 2, max(0, abs(dilation) - 1 - abs(dilation) // 2)
    if dilation >= 0:
        return Box(box.x1 - far, box.y1 - far, box.x2 + near, box.y2 + near)
    x1, y1 = box.x1 + near, box.y1 + near
    return Box(x1, y1, max(x1, box.x2 - far), max(y1, box.y2 - far))


def dilated(mask: Mask, dilation: int) -> Mask:
    """A mask `[h, w]` grown by a square kernel of `dilation` pixels; below 0 it shrinks by as much.

    Source:
        SPEC 14.
    """
    if not dilation:
        return mask
    kernel = np.ones((abs(dilation), abs(dilation)), dtype=np.uint8)
    changed = cv2.dilate(mask, kernel) if dilation > 0 else cv2.erode(mask, kernel)
    return np.asarray(changed, dtype=np.float32)


def colors(pixels: U8) -> U8:
    """The colors of a picture `[h, w, 3]`: how much of it has each of 64, in 255ths; empty pictures have none."""
    if not pixels.size:
        return np.zeros(BINS**3, dtype=np.uint8)
    scale = THUMBNAIL / max(pixels.shape[:2])
    if scale < 1:
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # Each value counts for the two steps that it lies between: a little more light must not change everything.
    place = pixels[..., :3].reshape(-1, 3) * ((BINS - 1) / 255)
    low = np.minimum(place.astype(np.int64), BINS - 2)
    share = place - low
    counts = np.zeros(BINS**3)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, share, 1 - share).prod(axis=1)
        counts += np.bincount((low + corner) @ np.array([BINS * BINS, BINS, 1]), weight, minlength=BINS**3)
    return np.asarray(np.rint(counts * 255 / counts.sum()), dtype=np.uint8)


def likeness(one: U8, other: U8) -> float:
    """How much two pictures' colors have in common, in [0, 1]."""
    whole = max(1, int(one.sum()), int(other.sum()))
    return float(np.minimum(one, other).sum()) / whole


def look_of(pixels: U8, bbox: BBox) -> U8:
    """The colors inside of a box of a picture `[H, W, 3]`."""
    box = whole_pixels(bbox).inside(pixels.shape[1], pixels.shape[0])
    return colors(pixels[box.slices])
