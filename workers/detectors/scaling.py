"""A picture on a network's canvas, and boxes back from there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from farm.detail.detections import U8

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture, scaled by one factor in both directions, on a larger ground."""

    pixels: U8
    """`[height, width, 3]`."""
    scale: float
    """Pixels of the canvas per pixel of the picture."""
    left: int
    top: int
    """Where the picture begins on the canvas, pixels."""

    def back(self, boxes: F32) -> F32:
        """Boxes `[n, 4]` on the canvas (x1, y1, x2, y2), in pixels of the picture."""
        corner = np.array([self.left, self.top, self.left, self.top], dtype=np.float32)
        return ((boxes - corner) / np.float32(self.scale)).astype(np.float32)


def letterboxed(picture: U8, width: int, height: int, ground: int, *, centered: bool = True) -> Canvas:
    """`picture` `[H, W, 3]` as large as it fits into `width` x `height` pixels, on a gray of `ground` (0 to 255).

    Args:
        centered: in the middle; else at the top left.
    """
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    own_width, own_height = min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = ((width - own_width) // 2, (height - own_height) // 2) if centered else (0, 0)
    pixels = np.full((height, width, 3), ground, dtype=np.uint8)
    scaled = cv2.resize(picture, (own_width, own_height), interpolation=how)
    pixels[top : top + own_height, left : left + own_width] = scaled
    return Canvas(pixels, scale, left, top)
