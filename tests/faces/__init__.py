"""Clips with faces, of which it is known where they are: two people over a ground without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.adapters.pictures import encode_png
from farm.detail.box import BBox

FOLDER = Path(__file__).parent
FACES: dict[str, BBox] = {"astronaut": (40, 32, 131, 148), "cameraman": (50, 36, 110, 114)}
"""Where the face is in each picture, pixels, as people would draw it."""
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Actor:
    """Somebody who goes through the clip."""

    name: str
    """Of the picture."""
    corners: Sequence[tuple[int, int] | None]
    """Where the picture's upper left corner is, for each frame; None: out of sight."""
    scale: float = 1.0

    def face(self, frame: int) -> BBox | None:
        """Where its face is, pixels."""
        corner = self.corners[frame]
        if corner is None:
            return None
        x1, y1, x2, y2 = (value * self.scale for value in FACES[self.name])
        return x1 + corner[0], y1 + corner[1], x2 + corner[0], y2 + corner[1]


@dataclass(frozen=True)
class Scene:
    """A clip."""

    actors: Sequence[Actor]
    """Those behind come first."""
    size: tuple[int, int] = (640, 360)
    """Width, height in pixels."""
    second_ground_at: int | None = None
    """First frame behind a cut."""

    @property
    def frames(self) -> int:
        return len(self.actors[0].corners)

    def picture(self, frame: int) -> U8:
        """`[H, W, 3]`."""
        behind = self.second_ground_at is not None and frame >= self.second_ground_at
        canvas = _ground(*self.size, warm=behind)
        for actor in self.actors:
            corner = actor.corners[frame]
            if corner is not None:
                _lay(canvas, _portrait(actor.name, actor.scale), corner)
        return canvas

    def write(self, folder: Path) -> Path:
        """As numbered pictures, from 1."""
        folder.mkdir(parents=True)
        for frame in range(self.frames):
            (folder / f"{frame + 1:04d}.png").write_bytes(encode_png(self.picture(frame)))
        return folder


def straight(start: tuple[int, int], end: tuple[int, int], frames: int) -> list[tuple[int, int] | None]:
    """Corners on a straight way."""
    ways = [np.linspace(a, b, frames) for a, b in zip(start, end, strict=True)]
    return [(round(float(x)), round(float(y))) for x, y in zip(*ways, strict=True)]


def hidden(corners: Sequence[tuple[int, int] | None], first: int, last: int) -> list[tuple[int, int] | None]:
    """The same, out of sight from frame `first` to `last` (inclusive, from 0)."""
    return [None if first <= frame <= last else corner for frame, corner in enumerate(corners)]


def _portrait(name: str, scale: float) -> U8:
    with Image.open(FOLDER / f"{name}.jpg") as picture:
        size = round(picture.width * scale), round(picture.height * scale)
        return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def _lay(canvas: U8, portrait: U8, corner: tuple[int, int]) -> None:
    x, y = corner
    left, top = max(0, -x), max(0, -y)
    cut = portrait[top : canvas.shape[0] - y, left : canvas.shape[1] - x]
    if cut.size:
        canvas[y + top : y + top + cut.shape[0], x + left : x + left + cut.shape[1]] = cut


def _ground(width: int, height: int, *, warm: bool) -> U8:
    """A soft pattern without anything in it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = np.sin(x / 37) * 14 + np.cos(y / 23) * 10
    tint = (170, 120, 90) if warm else (70, 110, 130)
    ground = np.stack([level + waves + 24 * y / height for level in tint], axis=2)
    return np.asarray(np.clip(ground, 0, 255), dtype=np.uint8)
