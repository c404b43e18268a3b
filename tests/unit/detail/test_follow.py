from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from farm.detail.box import Box
from farm.detail.follow import Ints, Track, boxes_of, follow, marked_areas, own_mask, plane_box
from farm.detail.segs import mask_to_segs

PICTURE = (320, 180)
WHOLE = Box(0, 0, *PICTURE)


def _boxes(rows: list[tuple[int, int, int, int]]) -> Ints:
    return np.array(rows, dtype=np.int32)


@st.composite
def ways(draw: st.DrawFn) -> Ints:
    """A target that wanders, jumps, grows, and is not there now and then."""
    dice = np.random.default_rng(draw(st.integers(0, 10**6)))
    frames = draw(st.integers(1, 90))
    side = dice.integers(1, 60, 2) + dice.integers(0, 20, (frames, 2))
    speed, tremble = draw(st.sampled_from([0.0, 0.5, 3.0, 12.0])), draw(st.sampled_from([0, 2, 15]))
    middle = dice.integers(0, PICTURE, 2) + np.cumsum(dice.normal(0, speed, (frames, 2)), axis=0)
    begin = np.rint(middle - side / 2 + dice.integers(-tremble, tremble + 1, (frames, 2))).astype(int)
    begin = np.clip(begin, 0, np.array(PICTURE) - 1)
    boxes = np.concatenate([begin, np.minimum(begin + side, PICTURE)], axis=1).astype(np.int32)
    boxes[dice.random(frames) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0
    return boxes


def _line(frames: int, side: int, first: float, last: float) -> Ints:
    x = np.rint(np.linspace(first, last, frames)).astype(np.int32)
    y = np.full_like(x, 70)
    return np.stack([x, y, x + side, y + side], axis=1)


def _track(boxes: Ints, crop_factor: float = 3.0, picture: tuple[int, int] = PICTURE) -> Track:
    found = follow(boxes, picture, crop_factor, Box(0, 0, *picture))
    assert found is not None
    return found


@settings(deadline=None, max_examples=150)
@given(ways(), st.sampled_from([1.0, 1.1, 1.5, 3.0, 9.0]))
def test_a_crop_has_one_size_lies_in_the_picture_and_holds_its_target_whole(boxes: Ints, crop_factor: float) -> None:
    track = follow(boxes, PICTURE, crop_factor, WHOLE)
    assume(track is not None)
    assert track is not None
    for frame, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        region = track.region(frame)
        assert (region.width, region.height) == track.crop
        assert region.inside(*PICTURE) == region
        if x2 > x1:
            assert region.union(Box(x1, y1, x2, y2)) == region


@settings(deadline=None, max_examples=50)
@given(ways(), st.sampled_from([1.5, 3.0]))
def test_a_target_keeps_half_of_its_margin_where_the_picture_reaches(boxes: Ints, crop_factor: float) -> None:
    track = follow(boxes, PICTURE, crop_factor, WHOLE)
    assume(track is not None)
    assert track is not None
    for frame, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if x2 > x1:
            x, y = (int(value) for value in track.corners[frame])
            for begin, end, at, side, limit in (
                (x1, x2, x, track.crop[0], PICTURE[0]),
                (y1, y2, y, track.crop[1], PICTURE[1]),
            ):
                half = (side - (end - begin)) // 4
                assert begin - at >= half or at == 0
                assert at + side - end >= half or at + side == limit


@settings(deadline=None, max_examples=25)
@given(ways())
def test_the_same_boxes_give_the_same_way(boxes: Ints) -> None:
    one, two = (follow(boxes.copy(), PICTURE, 3.0, WHOLE) for _ in range(2))
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert np.array_equal(one.corners, two.corners)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 50])
def test_a_straight_way_is_followed_to_its_ends(frames: int) -> None:
    boxes = _line(frames, 21, 60, 60 + 3 * (frames - 1))
    track = _track(boxes, picture=(640, 180))
    middles = track.corners[:, 0] + track.crop[0] / 2 - (boxes[:, 0] + boxes[:, 2]) / 2
    assert np.abs(middles).max() <= 1
    assert set(np.diff(track.corners[:, 0])) <= {3}
    assert set(track.corners[:, 1]) == {70 + 10 - 31}


def test_a_trembling_target_is_followed_calmly() -> None:
    dice = np.random.default_rng(1)
    boxes = (
        _line(240, 60, 150, 1700) + dice.integers(-4, 5, (240, 2)).repeat(2, axis=0).reshape(240, 4)[:, [0, 2, 0, 2]]
    )
    track = _track(boxes.astype(np.int32), picture=(1920, 1080))
    bends = np.abs(np.diff(track.corners, n=2, axis=0))
    assert np.abs(np.diff(boxes[:, :2], n=2, axis=0)).max() > 10
    assert bends.max() <= 1


def test_where_nothing_is_marked_the_crop_goes_straight_to_where_the_target_comes_again() -> None:
    boxes = np.concatenate([_line(40, 20, 40, 40), np.zeros((40, 4), dtype=np.int32), _line(40, 20, 240, 240)])
    corners = _track(boxes, 2.0).corners[:, 0]
    straight = np.interp(range(120), [39, 80], [30, 230])
    assert np.abs(corners - straight).max() <= 20
    assert np.abs(corners - straight)[50:70].max() <= 5


def test_before_and_behind_all_marks_the_crop_stands_still() -> None:
    boxes = np.zeros((300, 4), dtype=np.int32)
    boxes[140:160] = _line(20, 20, 100, 119)
    corners = _track(boxes, 2.0).corners[:, 0]
    assert set(corners[:60]) == {90}
    assert set(corners[-60:]) == {109}


def test_halves_are_rounded_alike_in_all_frames() -> None:
    corners = _track(_line(200, 21, 50, 249), 2.0, (400, 200)).corners[:, 0]
    assert set(np.diff(corners)) == {1}


def test_a_crop_is_as_large_as_the_largest_frame_asks_for_and_no_larger_than_the_picture() -> None:
    grown = _boxes([(10, 10, 30, 40), (20, 10, 60, 30), (30, 10, 50, 30)])
    track = _track(grown, 2.0)
    assert (track.crop, track.target) == ((80, 60), (40, 30))
    assert _track(grown, 5.0).crop == (200, 150)
    assert _track(_boxes([(0, 0, 10, 100), (200, 0, 210, 100)]), 3.0).crop == (30, 180)


def test_the_bbox_has_the_targets_size_in_the_middle_of_the_crop() -> None:
    track = Track((30, 20), (11, 8), _boxes([(5, 7, 0, 0)])[:, :2])
    assert track.bbox(0) == (14.5, 13, 25.5, 21)


def test_who_has_nothing_to_gain_does_not_move() -> None:
    still = _boxes([(100, 60, 120, 80)] * 5)
    assert follow(still, PICTURE, 3.0, Box(80, 40, 140, 100)) is None
    assert follow(np.zeros((5, 4), dtype=np.int32), PICTURE, 3.0, WHOLE) is None
    moving = _boxes([(100, 60, 120, 80), (103, 60, 123, 80)])
    assert follow(moving, PICTURE, 3.0, Box(78, 40, 147, 100)) is not None


def test_long_clips_are_followed_like_short_ones() -> None:
    boxes = np.tile(np.concatenate([_line(120, 20, 40, 260), _line(120, 20, 260, 40)]), (80, 1))
    corners = _track(boxes, 2.0).corners
    again = _track(boxes[:2400], 2.0).corners
    assert np.array_equal(corners[:2000], again[:2000])
    assert np.array_equal(corners[4800:7200], corners[7200:9600])


# --- what is marked ---


def _picture(*boxes: Box) -> NDArray[Any]:
    mask = np.zeros(PICTURE[::-1], dtype=np.float32)
    for box in boxes:
        mask[box.slices] = 1
    return mask


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_boxes_by_area_are_those_of_the_pixels_in_each_segment(seed: int) -> None:
    dice = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        corners = dice.integers(0, PICTURE, (dice.integers(0, 5), 2))
        sizes = dice.integers(1, 40, (len(corners), 2))
        boxes = [Box(*c, *(c + s)).inside(*PICTURE) for c, s in zip(corners, sizes, strict=True)]
        frames.append(_picture(*boxes) * dice.choice([1.0, 0.3]).astype(np.float32))
    segs = mask_to_segs(np.max(frames, axis=0), False, 1.5, False, drop_size=3)
    found = boxes_of(segs, [marked_areas(mask) for mask in frames], PICTURE)
    assert found.shape == (len(segs), 4, 4)
    for seg, rows in zip(segs, found, strict=True):
        area = own_mask(seg.mask, seg.crop_region, WHOLE) > 0
        for mask, box in zip(frames, rows, strict=True):
            assert plane_box(np.where(area, mask, 0).astype(np.float32), (0, 0), PICTURE) == tuple(box)


def test_two_targets_whose_ways_do_not_meet_are_told_apart() -> None:
    frames = [_picture(Box(10 + 5 * i, 10, 40 + 5 * i, 40), Box(200 - 5 * i, 100, 240 - 5 * i, 150)) for i in range(12)]
    segs = mask_to_segs(np.max(frames, axis=0), False, 3.0, False, drop_size=3)
    found = boxes_of(segs, [marked_areas(mask) for mask in frames], PICTURE)
    by_row = sorted(found, key=lambda rows: int(rows[0, 1]))
    assert [tuple(row) for row in by_row[0]] == [(10 + 5 * i, 10, 40 + 5 * i, 40) for i in range(12)]
    assert [tuple(row) for row in by_row[1]] == [(200 - 5 * i, 100, 240 - 5 * i, 150) for i in range(12)]


def test_an_empty_mask_has_no_areas_and_no_box() -> None:
    assert marked_areas(_picture()).shape == (0, 6)
    assert plane_box(_picture(), (5, 5), PICTURE) == (0, 0, 0, 0)
    assert plane_box(np.ones((4, 4), dtype=np.float32), (400, 5), PICTURE) == (0, 0, 0, 0)


def test_a_mask_is_cut_where_the_crop_is_and_empty_around() -> None:
    mask = np.arange(12, dtype=np.float32).reshape(3, 4)
    cut = own_mask(mask, Box(10, 10, 14, 13), Box(12, 9, 15, 12))
    assert cut.tolist() == [[0, 0, 0], [2, 3, 0], [6, 7, 0]]
    assert not own_mask(mask, Box(10, 10, 14, 13), Box(20, 9, 23, 12)).any()
