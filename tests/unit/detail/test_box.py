from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.detail.box import Box, make_crop_region, normalize_region

corners = st.integers(-20, 60)
boxes = st.builds(Box, corners, corners, corners, corners)


@given(boxes, boxes)
def test_boxes_meet_exactly_if_they_share_a_pixel(a: Box, b: Box) -> None:
    def pixels(box: Box) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box.x1, box.x2) for y in range(box.y1, box.y2)}

    shared = pixels(a) & pixels(b)
    assert (a.intersection(b).area > 0) == (b.intersection(a).area > 0) == bool(shared)
    assert a.intersection(b).area == len(shared)


@given(boxes, boxes)
def test_a_union_holds_both(a: Box, b: Box) -> None:
    both = a.union(b)
    assert both.intersection(a).area == a.area
    assert both.intersection(b).area == b.area


@given(st.integers(1, 500), st.integers(-300, 600), st.floats(0.5, 700))
def test_a_stretch_lands_inside_of_its_limit(limit: int, start: int, size: float) -> None:
    begin, end = normalize_region(limit, start, size)
    if start < limit:
        assert 0 <= begin <= end <= limit


@pytest.mark.parametrize(
    ("limit", "start", "size", "expected"),
    [(100, 90, 11.5, (88, 100)), (100, 10, 11.5, (10, 21)), (100, -5, 20, (0, 20)), (10, -5, 20, (0, 10))],
    ids=["pushed-back-is-rounded-up", "inside-is-rounded-down", "slides-in", "cut-to-the-limit"],
)
def test_a_stretch_is_cut_off_to_whole_pixels_at_the_end(
    limit: int, start: int, size: float, expected: tuple[int, int]
) -> None:
    assert normalize_region(limit, start, size) == expected


def test_a_region_with_a_small_factor_may_miss_the_last_column_of_its_bbox() -> None:
    region = make_crop_region(100, 100, (10, 10, 21, 21), 1.05)
    assert (region.x1, region.x2) == (9, 20)


def test_a_bbox_with_fractions_is_used_unrounded() -> None:
    assert make_crop_region(521, 279, (412.879, 187.643, 417.98, 279.54), 3.7) == Box(405, 0, 423, 279)


@given(st.integers(8, 300), st.integers(8, 300), st.integers(0, 200), st.integers(0, 200), st.floats(1, 10), st.data())
def test_a_crop_region_lies_in_the_picture(
    width: int, height: int, x: int, y: int, factor: float, data: st.DataObject
) -> None:
    x, y = min(x, width - 1), min(y, height - 1)
    bbox = (x, y, data.draw(st.integers(x + 1, width)), data.draw(st.integers(y + 1, height)))
    region = make_crop_region(width, height, bbox, factor)
    assert region.inside(width, height) == region
    assert region.area > 0
