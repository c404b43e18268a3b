"""Small clips and masks, drawn by numbers: for benchmarks that measure the farm and not pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from farm.adapters.pictures import encode_png

WIDTH, HEIGHT = 96, 64
"""Pixels of every picture."""
BOXES: Mapping[str, tuple[int, int, int, int]] = {
    "face": (8, 10, 34, 40),
    "hair": (26, 8, 50, 30),
    "cup": (66, 34, 88, 56),
}
"""Segments: x1, y1, x2, y2. The hair lies partly on the face, the cup apart."""


def draw_clip(folder: Path, frames: int, other: frozenset[int] = frozenset()) -> Path:
    """Numbered pictures `0000.png` and on; those in `other` have another shade."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for number in range(frames):
        shade = 90 if number in other else 0
        # No two frames are the same, however many there are.
        pixels = np.stack([rows * 3 + number, columns * 2 + shade, rows + columns + number // 256 * 10], axis=2)
        (folder / f"{number:04}.png").write_bytes(encode_png(pixels.astype(np.uint8)))
    return folder


def draw_masks(folder: Path) -> dict[str, Path]:
    """A picture per segment, by its name."""
    folder.mkdir(parents=True)
    found = {}
    for name, (x1, y1, x2, y2) in BOXES.items():
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[y1:y2, x1:x2] = 255
        found[name] = folder / f"{name}.png"
        found[name].write_bytes(encode_png(mask))
    return found
