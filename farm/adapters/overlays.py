"""Boxes drawn over pictures, for people who look whether the right things were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from farm.adapters.pictures import U8
from farm.detail.box import BBox

COLORS = (
    *((255, 196, 0), (0, 200, 255), (255, 90, 90), (120, 230, 90), (200, 130, 255)),
    *((255, 140, 0), (0, 230, 180), (255, 120, 200), (160, 180, 255), (220, 220, 120)),
)
"""RGB by number, around again after the last: bright, and apart for most eyes."""
DASH = 6
"""Pixels of a dash, and of the gap behind it."""


class Drawn(NamedTuple):
    """A box and what is written at it."""

    box: BBox
    """x1, y1, x2, y2 in pixels of the picture."""
    text: str
    number: int
    """Chooses the color."""
    dashed: bool = False


def with_boxes(picture: U8, boxes: Sequence[Drawn], title: str = "") -> U8:
    """`picture` `[H, W, 3]` with boxes around what was found, and a title in its lower left corner; the picture itself
    is left alone."""
    canvas = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    draw = ImageDraw.Draw(canvas)
    thick = max(2, round(max(canvas.size) / 400))
    font = ImageFont.load_default(max(11, round(canvas.height / 28)))
    if title:
        draw.text(
            (6, canvas.height - 6),
            title,
            fill=(255, 255, 255),
            font=font,
            anchor="lb",
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )
    for one in boxes:
        color = COLORS[one.number % len(COLORS)]
        x1, y1, x2, y2 = one.box
        if one.dashed:
            _dashes(draw, one.box, color, thick)
        else:
            draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=thick)
        left, top, right, bottom = draw.textbbox((0, 0), one.text, font=font)
        at = x1, max(0.0, y1 - (bottom - top) - 6)
        draw.rectangle((at[0], at[1], at[0] + right - left + 6, at[1] + bottom - top + 6), fill=color)
        draw.text((at[0] + 3 - left, at[1] + 3 - top), one.text, fill=(16, 16, 16), font=font)
    return np.asarray(canvas)


def _dashes(draw: ImageDraw.ImageDraw, box: BBox, color: tuple[int, int, int], thick: int) -> None:
    x1, y1, x2, y2 = box
    for start in np.arange(x1, x2, 2 * DASH):
        end = min(float(start) + DASH, x2)
        for y in (y1, y2):
            draw.line((float(start), y, end, y), fill=color, width=thick)
    for start in np.arange(y1, y2, 2 * DASH):
        end = min(float(start) + DASH, y2)
        for x in (x1, x2):
            draw.line((x, float(start), x, end), fill=color, width=thick)
