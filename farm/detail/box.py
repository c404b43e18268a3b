"""Rectangles in pixels and the crop regions that are grown from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

BBox = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels; detectors give fractions, and they are used unrounded."""


class Box(NamedTuple):
    """A rectangle of whole pixels, half-open: column x2 and row y2 are outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        """Columns; 0 if the rectangle is empty."""
        return max(0, self.x2 - self.x1)

    @property
    def height(self) -> int:
        """Rows; 0 if the rectangle is empty."""
        return max(0, self.y2 - self.y1)

    @property
    def area(self) -> int:
        """Pixels."""
        return self.width * self.height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an array `[rows, columns, ...]`; corners must not be negative."""
        return slice(self.y1, max(self.y1, self.y2)), slice(self.x1, max(self.x1, self.x2))

    def intersection(self, other: Box) -> Box:
        """The pixels that both have; of area 0 if there are none."""
        x1, y1 = max(self.x1, other.x1), max(self.y1, other.y1)
        return Box(x1, y1, max(x1, min(self.x2, other.x2)), max(y1, min(self.y2, other.y2)))

    def union(self, other: Box) -> Box:
        """The smallest rectangle around both; an empty one adds nothing."""
        if not self.area:
            return other
        if not other.area:
            return self
        return Box(min(self.x1, other.x1), min(self.y1, other.y1), max(self.x2, other.x2), max(self.y2, other.y2))

    def shifted(self, dx: int, dy: int) -> Box:
        """The same rectangle, `dx` columns to the right and `dy` rows down."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def inside(self, width: int, height: int) -> Box:
        """The part that lies in a picture of `width` x `height` pixels."""
        return self.intersection(Box(0, 0, width, height))


def normalize_region(limit: int, start: int, size: float) -> tuple[int, int]:
    """Slide the stretch `[start, start + size)` into `[0, limit)`; what is larger than `limit` is cut.

    Returns:
        Begin and end in pixels, both truncated toward zero at the very end, so that a stretch that was pushed
        back from the far border is rounded up in length and any other is rounded down.
    Source:
        SPEC 2.1.
    """
    if start < 0:
        return 0, int(min(limit, size))
    if start + size > limit:
        return int(max(0, limit - size)), int(limit)
    return int(start), int(min(limit, start + size))


def make_crop_region(
    width: int, height: int, bbox: Sequence[float], crop_factor: float, crop_min_size: float | None = None
) -> Box:
    """The part of a picture that is cut out around a bbox.

    Args:
        width, height: of the picture, pixels.
        bbox: x1, y1, x2, y2 in pixels, fractions allowed; it may lie outside the picture.
        crop_factor: side of the region over side of the bbox, 1 or more.
        crop_min_size: smallest side in pixels, as far as the picture reaches.
    Source:
        SPEC 2.2, with its truncations: with a small `crop_factor` the region may miss the bbox's last column.
    """
    x1, y1, x2, y2 = bbox
    box_width, box_height = x2 - x1, y2 - y1
    crop_width, crop_height = box_width * crop_factor, box_height * crop_factor
    if crop_min_size is not None:
        crop_width, crop_height = max(crop_min_size, crop_width), max(crop_min_size, crop_height)
    # int() cuts toward zero: a start of -0.7 becomes 0 and is then not seen as lying left of the picture.
    left = int(x1 + box_width / 2 - crop_width / 2)
    top = int(y1 + box_height / 2 - crop_height / 2)
    begin_x, end_x = normalize_region(width, left, crop_width)
    begin_y, end_y = normalize_region(height, top, crop_height)
    return Box(begin_x, begin_y, end_x, end_y)
