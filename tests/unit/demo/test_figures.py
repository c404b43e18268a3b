"""What the demo counts and shows."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from demo.figures import Tally, areas, gradient_energy, segment_boxes
from demo.pictures import Sheet, clip_frames, finals, spread
from demo.scene import FRAMES, SOFT, Range, chosen
from farm.adapters.pictures import decode_rgb, encode_png
from farm.detail.box import Box
from farm.domain.segment import SegEntry, SegsDocument


@pytest.mark.parametrize(
    ("count", "expected"), [(32, Range(60, 91)), (1, Range(60, 60)), (100, Range(33, 132)), (132, Range(1, 132))]
)
def test_frames_are_taken_from_the_calm_ones_on_as_far_as_the_clip_goes(count: int, expected: Range) -> None:
    assert chosen(count) == expected
    assert expected.count == count
    assert chosen(1000) == Range(1, FRAMES)


def test_rows_of_the_sheet_are_spread_over_the_clip() -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread([4, 5], 4) == [4, 5]


def test_gradient_energy_is_that_of_the_chosen_pixels() -> None:
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    where = np.zeros((16, 16), np.bool_)
    assert gradient_energy(ramp, where) == 0
    where[4:8, 4:8] = True
    assert gradient_energy(ramp, where) == pytest.approx(16 * 100, rel=1e-5)
    flat = np.full((16, 16, 3), 7, np.uint8)
    assert gradient_energy(flat, where) == pytest.approx(0, abs=1e-6)


def entry() -> SegEntry:
    mask = np.zeros((20, 30), np.uint8)
    mask[8:12, 10:20] = 255
    return SegEntry(
        bbox=(20, 18, 30, 22), crop_region=(10, 10, 40, 30), mask=base64.b64encode(encode_png(mask)).decode()
    )


def test_what_is_painted_is_the_mask_and_its_feather_and_nothing_else() -> None:
    painted, core = areas((entry(),), (48, 64))
    assert core.sum() == 40
    assert core[18:22, 20:30].all()
    assert painted[core].all()
    assert painted.sum() > core.sum()
    rows, columns = np.nonzero(painted)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18 - 5, 22 + 4, 20 - 5, 30 + 4)


def test_a_changed_pixel_outside_of_the_paste_mask_is_counted(tmp_path: Path) -> None:
    soft = np.full((48, 64, 3), 100, np.uint8)
    detailed = soft.copy()
    detailed[20, 25] = 200
    detailed[0, 0] = 101
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "000007.png").write_bytes(encode_png(detailed))
    segs = tmp_path / "segs.json"
    segs.write_text(SegsDocument(header=(48, 64), frames={7: (entry(),)}).model_dump_json())
    tally = Tally(tmp_path / "frames", segs)
    assert (tally.add(7, soft, soft) == detailed).all()
    figures = tally.figures()
    assert (figures.frames, figures.outside_changed, figures.inside_changed) == (1, 1, 1)
    assert figures.outside + figures.inside == 48 * 64
    assert figures.detailed > 1 > figures.soft
    assert segment_boxes(segs) == {7: Box(10, 10, 40, 30)}
    assert list(finals(tmp_path / "frames")) == [7]


def test_a_row_of_the_sheet_is_soft_detailed_and_sharp() -> None:
    sheet = Sheet({5: Box(0, 0, 8, 4)})
    for number in (4, 5):
        sheet.add(number, *(np.full((8, 16, 3), level, np.uint8) for level in (50, 100, 150)))
    pixels = decode_rgb(sheet.png())
    assert {50, 100, 150} <= set(np.unique(pixels[pixels.shape[0] // 2]))


def test_the_clips_frames_are_numbered_from_one() -> None:
    numbers = [number for number, _ in clip_frames(SOFT, Range(1, 2))]
    assert numbers == [1, 2]
