"""What people look at: a video of before and after, and a sheet of enlarged details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from demo.scene import SHARP, SOFT, Range
from farm.adapters.pictures import U8, decode_rgb, encode_png
from farm.adapters.sheets import contact_sheet
from farm.adapters.video import decode_group, encode_group, probe
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


def before_after(frames: Range, folder: Path, out: Path) -> None:
    """A video of input and output side by side."""
    done = finals(folder)

    def pairs() -> Iterator[U8]:
        for number, before in clip_frames(SOFT, frames):
            if number in done:
                yield np.hstack([before, decode_rgb(done[number].read_bytes())])

    encode_group(pairs(), probe(SOFT).look, out)


def sheet(frames: Range, folder: Path, boxes: Mapping[int, Box], out: Path) -> None:
    """A picture with a row for each of some frames: soft, detailed and sharp, enlarged at the segment.

    Args:
        boxes: frame number -> what to show of it; frames without one are left out.
    """
    done = finals(folder)
    numbers = spread([number for number in done if number in boxes], ROWS)
    wanted = set(numbers)
    soft = {number: pixels for number, pixels in clip_frames(SOFT, frames) if number in wanted}
    sharp = {number: pixels for number, pixels in clip_frames(SHARP, frames) if number in wanted}
    rows = [
        [
            enlarged(picture, boxes[number])
            for picture in (soft[number], decode_rgb(done[number].read_bytes()), sharp[number])
        ]
        for number in numbers
    ]
    out.write_bytes(encode_png(contact_sheet(rows, TITLES)))


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
