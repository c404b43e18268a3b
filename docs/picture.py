"""Makes `images/before_after.png` of what `make demo` left behind: `python -m docs.picture`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from demo.figures import segment_boxes
from demo.pictures import TITLES, clip_frames, finals
from demo.scene import SHARP, SOFT, Range
from farm.adapters.pictures import U8, decode_rgb, encode_png
from farm.adapters.sheets import contact_sheet
from farm.detail.box import Box

FRAME = 85
"""Number of the frame that is shown: eye, mouth and ear are to be seen."""
LEFT, TOP, WIDTH, HEIGHT = 0.02, 0.06, 0.70, 0.62
"""What is shown of the segment's crop region, as shares of it: the face."""
CELL = 420
"""Pixels of width of each picture."""


def face(region: Box) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge of the face in a crop region, in pixels."""
    left, upper = region.x1 + round(LEFT * region.width), region.y1 + round(TOP * region.height)
    return left, upper, left + round(WIDTH * region.width), upper + round(HEIGHT * region.height)


def enlarged(picture: U8, edges: tuple[int, int, int, int]) -> U8:
    """A part of a picture at `CELL` pixels of width; bicubic, which adds no detail."""
    part = Image.fromarray(picture).crop(edges)
    return np.asarray(part.resize((CELL, round(part.height * CELL / part.width)), Image.Resampling.BICUBIC))


def main(demo: Path = Path("out/demo")) -> None:
    """One row: the frame as it went in, as it came out, and the truth that the farm did not see."""
    wanted = Range(FRAME, FRAME)
    (_, soft), (_, sharp) = next(clip_frames(SOFT, wanted)), next(clip_frames(SHARP, wanted))
    detailed = decode_rgb(finals(demo / "frames")[FRAME].read_bytes())
    edges = face(segment_boxes(demo / "animatediff" / "segs.json")[FRAME])
    row = [enlarged(picture, edges) for picture in (soft, detailed, sharp)]
    (Path(__file__).parent / "images" / "before_after.png").write_bytes(encode_png(contact_sheet([row], TITLES)))


if __name__ == "__main__":
    main()
