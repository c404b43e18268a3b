from __future__ import annotations

import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.seg_filters import in_range, ranked, with_labels
from farm.detail.segs import Seg


def _seg(region: tuple[int, int, int, int], label: str = "A", confidence: float = 1.0) -> Seg:
    box = Box(*region)
    return Seg((0.0, 0.0, 1.0, 1.0), box, np.ones((box.height, box.width), dtype=np.float32), label, confidence)


SMALL, WIDE, TALL = _seg((9, 0, 13, 4), "left_eye", 0.3), _seg((0, 5, 40, 15), "mouth"), _seg((3, 2, 8, 32), "x", 0.9)
SEGS = [SMALL, WIDE, TALL]


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ("mouth, x", [WIDE, TALL]),
        ("eyes", [SMALL]),
        ("left_eye", [SMALL]),
        ("eyebrows", []),
        ("nose,all", SEGS),
        ("", []),
    ],
)
def test_segments_are_kept_by_label(labels: str, kept: list[Seg]) -> None:
    assert with_labels(SEGS, labels) == kept


@pytest.mark.parametrize(
    ("target", "descending", "expected"),
    [
        ("area", True, [WIDE, TALL, SMALL]),
        ("width", False, [SMALL, TALL, WIDE]),
        ("height", True, [TALL, WIDE, SMALL]),
        ("x1", False, [WIDE, TALL, SMALL]),
        ("y2", True, [TALL, WIDE, SMALL]),
        ("confidence", True, [WIDE, TALL, SMALL]),
    ],
)
def test_segments_are_ranked_by_crop_region_or_confidence(target: str, descending: bool, expected: list[Seg]) -> None:
    assert ranked(SEGS, target, descending, 0, 3) == expected
    assert ranked(SEGS, target, descending, 1, 1) == expected[1:2]


def test_equal_segments_stay_in_order() -> None:
    twins = [_seg((0, 0, 4, 4)), _seg((1, 0, 5, 4)), _seg((2, 0, 6, 4))]
    assert ranked(twins, "area", True, 0, 3) == ranked(twins, "area", False, 0, 3) == twins


@pytest.mark.parametrize(
    ("target", "low", "high", "inside"),
    [
        ("area", 16, 150, [SMALL, TALL]),
        ("length_percent", 100, 400, [SMALL, WIDE]),
        ("confidence", 30, 90, [SMALL, TALL]),
        ("x1", 0, 3, [WIDE, TALL]),
    ],
)
def test_bounds_belong_to_the_range(target: str, low: float, high: float, inside: list[Seg]) -> None:
    assert in_range(SEGS, target, True, low, high) == inside
    assert in_range(SEGS, target, False, low, high) == [seg for seg in SEGS if seg not in inside]
