"""What people look at: frames of the clips, and a sheet of enlarged details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from demo.scene import Range
from farm.adapters.pictures import U8, encode_png
from farm.adapters.sheets import contact_sheet
from farm.adapters.video import decode_group, probe
from farm.detail.box import Box

ROWS = 5
"""Frames on the contact sheet."""
CELL = 480
"""Pixels of width of a picture on the contact sheet."""
TITLES = ("soft (input)", "detailed", "sharp (truth)")


def clip_frames(clip: Path, frames: Range) -> Iterator[tuple[int, U8]]:
    """Number and pixels of the frames of a range, decoded as the farm decodes them."""
    for group, (start, count) in enumerate(probe(clip).groups):
        if start + count < frames.first or start >= frames.last:
            continue
        for position, pixels in decode_group(clip, group):
            if frames.first <= position + 1 <= frames.last:
                yield position + 1, pixels


def finals(folder: Path) -> dict[int, Path]:
    """Final frames of a folder by number."""
    return {int(path.stem): path for path in sorted(folder.glob("*.png"))}


class Sheet:
    """A picture with a row for each of some frames: soft, detailed and sharp, enlarged at the segment."""

    def __init__(self, boxes: Mapping[int, Box]) -> None:
        """
        Args:
            boxes: frame number -> what to show of it.
        """
        self._boxes = {number: boxes[number] for number in spread(sorted(boxes), ROWS)}
        self._rows: list[list[U8]] = []

    def add(self, number: int, soft: U8, detailed: U8, sharp: U8) -> None:
        """Take in a frame; only those that are shown are kept."""
        if number in self._boxes:
            self._rows.append([enlarged(picture, self._boxes[number]) for picture in (soft, detailed, sharp)])

    def png(self) -> bytes:
        """The sheet."""
        return encode_png(contact_sheet(self._rows, TITLES))


def spread(numbers: Sequence[int], count: int) -> list[int]:
    """At most `count` of the numbers, evenly spread, the first and the last among them."""
    if len(numbers) <= count:
        return list(numbers)
    return [numbers[round(index * (len(numbers) - 1) / (count - 1))] for index in range(count)]


def enlarged(picture: U8, box: Box) -> U8:
    """A part of a picture at `CELL` pixels of width; bicubic, which adds no detail."""
    part = Image.fromarray(np.ascontiguousarray(picture[box.slices]))
    height = max(1, round(part.height * CELL / part.width))
    return np.asarray(part.resize((CELL, height), Image.Resampling.BICUBIC))
