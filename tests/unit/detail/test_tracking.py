from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.detail.box import BBox, Box
from farm.detail.detections import U8, Found, Shape, colors
from farm.detail.tracking import Looked, Placed, TrackRule, tracked

RED = colors(np.full((20, 20, 3), (200, 30, 30), dtype=np.uint8))
BLUE = colors(np.full((20, 20, 3), (30, 30, 200), dtype=np.uint8))
DAY = colors(np.full((20, 20, 3), (180, 190, 200), dtype=np.uint8))
NIGHT = colors(np.full((20, 20, 3), (10, 10, 30), dtype=np.uint8))
RULE = TrackRule(max_gap=5)


def _at(x: float, y: float = 50, side: float = 40, look: U8 | None = None, label: str = "face") -> Found:
    return Found((x, y, x + side, y + side), label, 0.9, look=look)


def _frames(*frames: Sequence[Found], every: int = 1, cut: int | None = None) -> list[Looked]:
    return [
        Looked(number * every, NIGHT if cut is not None and number >= cut else DAY, tuple(found))
        for number, found in enumerate(frames)
    ]


def _ways(tracks: Sequence[Sequence[Placed]]) -> list[list[tuple[int, int, bool]]]:
    return [[(one.position, round(one.found.bbox[0]), one.filled) for one in track] for track in tracks]


def test_whoever_moves_keeps_a_number_of_their_own() -> None:
    found = tracked(_frames([_at(0), _at(200)], [_at(205), _at(10)], [_at(20), _at(210)]), RULE)
    assert _ways(found) == [
        [(0, 0, False), (1, 10, False), (2, 20, False)],
        [(0, 200, False), (1, 205, False), (2, 210, False)],
    ]


def test_two_who_pass_each_other_are_not_exchanged() -> None:
    steps = range(0, 220, 20)
    found = tracked(_frames(*([_at(x), _at(200 - x)] for x in steps)), RULE)
    assert [[x for _, x, _ in way] for way in _ways(found)] == [list(steps), [200 - x for x in steps]]


def test_who_was_hidden_behind_another_is_known_again_by_way_and_colors() -> None:
    frames = [[_at(x, look=RED), _at(200 - x, look=BLUE)] for x in range(0, 220, 20)]
    frames[5] = frames[5][:1]
    frames[6] = frames[6][:1]
    found = tracked(_frames(*frames), RULE)
    assert [len(track) for track in found] == [11, 11]
    assert [one.position for one in found[1] if one.filled] == [5, 6]
    assert _ways(found)[1][5][1] == 100


def test_a_gap_is_filled_on_a_straight_line_and_said_to_be() -> None:
    (track,) = tracked(_frames([_at(0)], [_at(10)], [], [], [_at(40, side=46)]), RULE)
    assert _ways([track])[0] == [(0, 0, False), (1, 10, False), (2, 20, True), (3, 30, True), (4, 40, False)]
    assert [round(one.found.bbox[2] - one.found.bbox[0]) for one in track] == [40, 40, 42, 44, 46]


@pytest.mark.parametrize(("gap", "tracks"), [(5, 1), (6, 2)])
def test_a_longer_gap_ends_a_track(gap: int, tracks: int) -> None:
    assert len(tracked(_frames([_at(0)], *[[]] * gap, [_at(0)]), RULE)) == tracks


def test_a_cut_ends_all_tracks() -> None:
    found = tracked(_frames([_at(0)], [_at(0)], [_at(0)], cut=1), RULE)
    assert [[one.position for one in track] for track in found] == [[0], [1, 2]]


def test_other_colors_at_the_same_place_are_somebody_else() -> None:
    assert len(tracked(_frames([_at(0, look=RED)], [_at(0, look=BLUE)]), RULE)) == 2


def test_other_labels_are_never_one_track() -> None:
    assert len(tracked(_frames([_at(0)], [_at(0, label="hand")]), RULE)) == 2


def test_what_jumps_or_grows_too_much_is_somebody_else() -> None:
    assert len(tracked(_frames([_at(0)], [_at(300)]), RULE)) == 2
    assert len(tracked(_frames([_at(0)], [_at(0, side=100)]), RULE)) == 2


def test_frames_that_were_not_looked_at_are_filled_and_are_no_gap() -> None:
    looked = _frames([_at(0)], [_at(40)], [_at(80)], every=4)
    (track,) = tracked(looked, TrackRule(max_gap=0, every=4))
    assert [(one.position, one.filled) for one in track] == [(p, p % 4 != 0) for p in range(9)]


def test_short_tracks_are_dropped_before_numbers_are_given() -> None:
    frames = [[_at(200)], [_at(0), _at(200)], [_at(200)], [_at(200)]]
    assert len(tracked(_frames(*frames), RULE)) == 2
    (kept,) = tracked(_frames(*frames), TrackRule(max_gap=5, min_frames=2))
    assert kept[0].found.bbox[0] == 200


def test_numbers_go_by_first_frame_then_from_left_to_right() -> None:
    found = tracked(_frames([_at(300), _at(150)], [_at(300), _at(0), _at(150)]), RULE)
    assert [(track[0].position, round(track[0].found.bbox[0])) for track in found] == [(0, 150), (0, 300), (1, 0)]


def test_a_shape_goes_with_its_box_through_a_gap() -> None:
    def shaped(x: int) -> Found:
        box: BBox = (x, 50, x + 4, 54)
        return Found(box, "face", 0.9, Shape(Box(x, 50, x + 4, 54), np.eye(4, dtype=np.float32)))

    (track,) = tracked(_frames([shaped(0)], [shaped(2)], [], [shaped(6)]), RULE)
    filled = track[2].found.shape
    assert filled is not None
    assert filled.at == Box(4, 50, 8, 54)
    np.testing.assert_array_equal(filled.mask, np.eye(4))


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 200), st.integers(4, 90)), max_size=4), max_size=7)
)
def test_nothing_is_lost_doubled_or_out_of_order(given_: list[list[tuple[int, int, int]]]) -> None:
    frames = _frames(*([_at(*one) for one in found] for found in given_))
    tracks = tracked(frames, RULE)
    seen = [(one.position, one.found.bbox) for track in tracks for one in track if not one.filled]
    assert sorted(seen) == sorted((frame.position, found.bbox) for frame in frames for found in frame.found)
    for track in tracks:
        positions = [one.position for one in track]
        assert positions == list(range(positions[0], positions[-1] + 1))
        assert not track[0].filled
        assert not track[-1].filled
    assert _ways(tracked(frames, RULE)) == _ways(tracks)
