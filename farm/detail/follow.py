"""A crop that follows its mask: one size for the whole clip, a corner per frame, moved smoothly.

The original cuts the union of all motion, so that a target that crosses the picture is never enlarged. Here the crop is
as large as the target's largest frame asks for, and goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from farm.detail.box import BBox, Box
from farm.detail.resample import Mask
from farm.detail.segs import Seg, wrapped_bytes

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

STIFFNESS = 4096.0
"""Weight of the path's bending against its distance from the target. Motion that takes 2 pi times the fourth root of
it, 50 frames, for a full swing is followed half; slower motion is followed, trembling is not."""
ROUNDS = 60
"""Solutions at the most until the path keeps its bounds; it takes a handful where it takes any."""
GRIP = 1e6
"""Weight with which a frame is held at its bound."""
OFF_MIDDLE = 2.0**-10
"""Pixels. Corners are rounded a hair off the half: targets of odd width lie on halves in frame after frame, and the
last bits of a sum must not make them jump."""


@dataclass(frozen=True, eq=False)
class Track:
    """A crop's way through a clip."""

    crop: tuple[int, int]
    """Width, height in pixels, the same in every frame."""
    target: tuple[int, int]
    """Width, height in pixels: the largest that the target's bbox has in any frame."""
    corners: Ints
    """`[F, 2]`: x1, y1 of the crop in each frame."""

    def region(self, frame: int) -> Box:
        """The crop region in frame `frame`, counted from the track's first."""
        x, y = (int(value) for value in self.corners[frame])
        return Box(x, y, x + self.crop[0], y + self.crop[1])

    def bbox(self, frame: int) -> BBox:
        """A box of the target's size in the middle of the crop: as steady as the crop, so that all frames are
        sampled at one size."""
        x, y = (float(value) for value in self.corners[frame])
        left, top = x + (self.crop[0] - self.target[0]) / 2, y + (self.crop[1] - self.target[1]) / 2
        return left, top, left + self.target[0], top + self.target[1]


def marked_areas(mask: Mask) -> Ints:
    """The connected areas of a mask `[h, w]`, `[n, 6]`: x1, y1, x2, y2 (half-open), and x, y of a pixel of each.

    What counts as marked is what `mask_to_segs` goes by, and so is what lies in a hole of another area: nothing.
    """
    found = cv2.findContours(wrapped_bytes(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    rows = []
    for outline in found:
        x, y, width, height = cv2.boundingRect(outline)
        rows.append((x, y, x + width, y + height, *outline.reshape(-1, 2)[0]))
    return np.array(rows, dtype=np.int32).reshape(-1, 6)


def boxes_of(segs: Sequence[Seg], areas: Sequence[Ints], picture: tuple[int, int]) -> Ints:
    """What of each segment's own area is marked in each frame, `[segments, F, 4]`; all 0 where nothing is.

    Args:
        segs: of the union of all frames' masks, so that an area of a frame lies in one of them or in none.
        areas: of each frame, see `marked_areas`.
        picture: width, height in pixels.
    """
    owner = np.zeros((picture[1], picture[0]), dtype=np.int32)
    for number, seg in enumerate(segs, 1):
        owner[seg.crop_region.slices][seg.mask > 0] = number
    boxes = np.zeros((len(segs), len(areas), 4), dtype=np.int32)
    for frame, found in enumerate(areas):
        owners = owner[found[:, 5], found[:, 4]]
        for number in np.unique(owners[owners > 0]):
            own = found[owners == number]
            boxes[number - 1, frame] = (*own[:, :2].min(axis=0), *own[:, 2:4].max(axis=0))
    return boxes


def plane_box(mask: Mask, corner: tuple[int, int], picture: tuple[int, int]) -> tuple[int, int, int, int]:
    """The bbox of what a mask `[h, w]` marks that lies at `corner` of a picture; all 0 where nothing is."""
    rows, columns = (np.flatnonzero(wrapped_bytes(mask).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    x, y = corner
    box = Box(x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1).inside(*picture)
    return (*box,) if box.area else (0, 0, 0, 0)


def follow(boxes: Ints, picture: tuple[int, int], crop_factor: float, whole: Box) -> Track | None:
    """The way of a crop that follows a target.

    The crop is `crop_factor` times the target's largest width and height, and lies inside of the picture. In every
    frame it holds the target whole, with at least half of the margin that it would have in the middle, as far as the
    picture reaches. Between these bounds it keeps near the target's middle and bends as little as it can; where nothing
    is marked it goes straight from where the target was to where it comes again.

    Args:
        boxes: `[F, 4]`, the target in each frame, x1, y1, x2, y2 in pixels, half-open; x1 = x2 where it is not.
        picture: width, height in pixels.
        crop_factor: 1 or more.
        whole: the crop region that holds all of the motion.
    Returns:
        None if the target is in no frame, or if its crop would be no smaller than `whole` anyway.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    target = int(sizes[:, 0].max(initial=0)), int(sizes[:, 1].max(initial=0))
    crop = tuple(min(limit, int(side * crop_factor)) for limit, side in zip(picture, target, strict=True))
    if not min(target) or (crop[0] >= whole.width and crop[1] >= whole.height):
        return None
    corners = [_way(boxes[:, axis], boxes[:, axis + 2], crop[axis], picture[axis]) for axis in (0, 1)]
    return Track((crop[0], crop[1]), target, np.stack(corners, axis=1))


def own_mask(mask: Mask, at: Box, region: Box) -> Mask:
    """The part of a mask `[h, w]` that lies at `at` which is in `region`, `[region.height, region.width]`; 0 around."""
    cut = np.zeros((region.height, region.width), dtype=np.float32)
    seen = at.intersection(region)
    if seen.area:
        cut[seen.shifted(-region.x1, -region.y1).slices] = mask[seen.shifted(-at.x1, -at.y1).slices]
    return cut


def _way(begins: Ints, ends: Ints, side: int, limit: int) -> Ints:
    """Where a stretch of `side` pixels begins in each frame, inside of `[0, limit)`."""
    there = ends > begins
    frames = np.arange(len(begins))
    middles = np.interp(frames, frames[there], (begins[there] + ends[there]) / 2)
    margins = (side - (ends - begins)) // 4
    lowest = np.where(there, ends - side + margins, 0)
    highest = np.where(there, begins - margins, limit - side)
    # Where the picture ends there is less margin, but the target stays inside: it lies in the picture itself.
    lowest, highest = (np.clip(bound, 0, limit - side) for bound in (lowest, highest))
    smooth = _smoothed(middles - side / 2, lowest.astype(np.float64), highest.astype(np.float64))
    rounded = np.floor(smooth + 0.5 - OFF_MIDDLE)
    return np.clip(rounded, lowest, highest).astype(np.int32)


def _smoothed(wanted: Floats, lowest: Floats, highest: Floats) -> Floats:
    """The path near `wanted` that bends least, between the bounds.

    Least squares of distance and of `STIFFNESS` times second differences: a straight path stays as it is, up to its
    ends. Frames that fall out of their bounds are held there, until none does and none is held for nothing.
    Source:
        Whittaker 1923; Eilers 2003, "A perfect smoother". The bounds by a semismooth Newton method on a penalty.
    """
    bands = _bending(len(wanted))
    held = np.zeros(len(wanted), dtype=np.int8)
    path = wanted
    for _ in range(ROUNDS):
        grips = np.where(held != 0, GRIP, 0.0)
        bounds = np.where(held < 0, lowest, highest)
        system = bands.copy()
        system[2] += 1 + grips
        path = solveh_banded(system, wanted + grips * bounds)
        now = np.where(path < lowest, -1, np.where(path > highest, 1, 0)).astype(np.int8)
        if np.array_equal(now, held):
            break
        held = now
    return np.clip(path, lowest, highest)


def _bending(count: int) -> Floats:
    """`STIFFNESS` times the sum of squared second differences, as the upper bands of its matrix."""
    bands = np.zeros((3, count))
    rows = max(0, count - 2)
    for place, weight in enumerate((1.0, 4.0, 1.0)):
        bands[2, place : place + rows] += weight
    for place in (1, 2):
        bands[1, place : place + rows] -= 2.0
    bands[0, 2:] = 1.0
    return STIFFNESS * bands
