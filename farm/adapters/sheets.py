"""Pictures side by side, for people who compare."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from farm.adapters.pictures import U8

GAP = 8
"""Pixels between two pictures."""

TITLE = 24
"""Pixels of height above the pictures for the titles; letters have two thirds of it."""

PAPER = (24, 24, 24)
"""RGB of what is not picture: dark, so that it does not glare beside a film."""

INK = (235, 235, 235)
"""RGB of the letters."""


def contact_sheet(rows: Sequence[Sequence[U8]], titles: Sequence[str] = (), max_width: int | None = None) -> U8:
    """Rows of `[H, W, 3]` uint8 pictures, one column for each title, as one `[H, W, 3]` uint8 picture.

    Args:
        rows: a row may be shorter than the others.   titles: of the columns, from the left; none: no line for them.
        max_width: pixels; wider pictures are scaled down to it. None: as they are.
    """
    cells = [[_fit(picture, max_width) for picture in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((row[at].width for row in cells if at < len(row)), default=0) for at in range(columns)]
    heights = [max((cell.height for cell in row), default=0) for row in cells]
    top = TITLE if titles else 0
    size = (_span(widths), top + _span(heights))
    sheet = Image.new("RGB", (max(size[0], 1), max(size[1], 1)), PAPER)
    lefts = [_span(widths[:at]) + (GAP if at else 0) for at in range(columns)]
    for row, cells_of_row in enumerate(cells):
        upper = top + _span(heights[:row]) + (GAP if row else 0)
        for left, cell in zip(lefts, cells_of_row, strict=False):
            sheet.paste(cell, (left, upper))
    _write(sheet, lefts, titles)
    return np.asarray(sheet)


def _span(sizes: Sequence[int]) -> int:
    return sum(sizes) + GAP * max(len(sizes) - 1, 0)


def _fit(pixels: U8, max_width: int | None) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if max_width is None or picture.width <= max_width:
        return picture
    height = max(1, round(picture.height * max_width / picture.width))
    return picture.resize((max_width, height), Image.Resampling.LANCZOS)


def _write(sheet: Image.Image, lefts: Sequence[int], titles: Sequence[str]) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TITLE * 2 // 3)
    for left, title in zip(lefts, titles, strict=False):
        draw.text((left + 2, TITLE // 8), title, fill=INK, font=font)
