from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from farm.detail.spans import Chunk, Spans, animatediff_spans, fade_weights, mask_spans, stop_before

starts = st.integers(0, 50)
lengths = st.integers(0, 400)
contexts = st.tuples(st.integers(1, 32), st.integers(0, 31)).filter(lambda pair: pair[1] < pair[0])


def _chunks(spans: Spans) -> list[Chunk]:
    return [spans.chunk(index) for index in range(spans.count)]


def _runs(chunks: list[Chunk], frame: int) -> list[int]:
    return [chunk.index for chunk in chunks if chunk.run_start <= frame < chunk.run_end]


@given(starts, lengths, contexts, st.integers(1, 100))
def test_cores_cover_each_frame_once_and_lie_in_their_runs(
    start: int, length: int, context: tuple[int, int], core: int
) -> None:
    for spans in (mask_spans(start, start + length, core), animatediff_spans(start, start + length, *context, core)):
        chunks = _chunks(spans)
        covered = [frame for chunk in chunks for frame in range(chunk.core_start, chunk.core_end)]
        assert covered == list(range(start, start + length))
        for chunk in chunks:
            assert start <= chunk.run_start <= chunk.core_start < chunk.core_end <= chunk.run_end <= start + length


@given(starts, st.integers(1, 400), contexts, st.data())
def test_the_owner_of_a_frame_is_the_chunk_whose_core_has_it(
    start: int, length: int, context: tuple[int, int], data: st.DataObject
) -> None:
    spans = animatediff_spans(start, start + length, *context)
    frame = data.draw(st.integers(start, start + length - 1))
    chunk = spans.chunk(spans.owner(frame))
    assert chunk.core_start <= frame < chunk.core_end


def test_a_mask_chunk_has_no_halo() -> None:
    chunk = mask_spans(0, 100).chunk(2)
    assert (chunk.run_start, chunk.core_start, chunk.core_end, chunk.run_end) == (32, 32, 48, 48)


def test_an_animatediff_chunk_reaches_a_stride_to_the_left_and_a_stride_and_the_overlap_to_the_right() -> None:
    chunk = animatediff_spans(10, 300).chunk(2)
    assert (chunk.run_start, chunk.core_start, chunk.core_end, chunk.run_end) == (94, 106, 154, 170)


@given(st.integers(1, 900), st.sampled_from([(16, 4), (16, 8), (24, 6), (8, 2), (16, 12), (16, 15), (16, 0)]))
@example(49, (16, 4))
@example(103, (16, 8))
def test_windows_over_a_core_are_those_of_the_whole_clip(length: int, context: tuple[int, int]) -> None:
    window, overlap = context
    stride = window - overlap

    def windows(start: int, end: int) -> set[tuple[int, int]]:
        begins = {min(first, end - window) for first in range(start, max(start + 1, end - overlap), stride)}
        return {(max(begin, start), min(max(begin, start) + window, end)) for begin in begins}

    def over(first: int, last: int, found: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return {(begin, end) for begin, end in found if begin < last and end > first}

    whole = windows(0, length)
    for chunk in _chunks(animatediff_spans(0, length, window, overlap)):
        own = windows(chunk.run_start, chunk.run_end)
        assert over(chunk.core_start, chunk.core_end, own) == over(chunk.core_start, chunk.core_end, whole)


@given(st.integers(1, 400), contexts, st.integers(1, 60), st.data())
def test_fade_weights_are_none_below_zero_and_sum_to_one(
    length: int, context: tuple[int, int], core: int, data: st.DataObject
) -> None:
    spans = animatediff_spans(0, length, *context, core)
    frame = data.draw(st.integers(0, length - 1))
    index = spans.owner(frame)
    left = spans.chunk(index - 1) if index else None
    right = spans.chunk(index + 1) if index + 1 < spans.count else None
    weights = fade_weights(frame, spans.chunk(index), left, right)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    runs = _runs(_chunks(spans), frame)
    assert set(runs) <= {index - 1, index, index + 1}
    assert (weights[0] > 0) <= (index - 1 in runs)
    assert (weights[2] > 0) <= (index + 1 in runs)


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4), st.data())
def test_fade_weights_hold_where_a_halo_stops_at_an_unreadable_frame(
    length: int, unreadable: set[int], data: st.DataObject
) -> None:
    spans = animatediff_spans(0, length, core=24)
    frame = data.draw(st.integers(0, length - 1))
    own = stop_before(spans.chunk(spans.owner(frame)), unreadable)
    assume(not any(own.core_start <= bad < own.core_end for bad in unreadable))
    near = [
        stop_before(spans.chunk(index), unreadable) if 0 <= index < spans.count else None
        for index in (own.index - 1, own.index + 1)
    ]
    weights = fade_weights(frame, own, *near)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)


def test_weights_run_linearly_over_the_frames_that_two_runs_share() -> None:
    spans = animatediff_spans(0, 192)
    left, own = spans.chunk(0), spans.chunk(1)
    weights = [fade_weights(frame, own, left, None)[0] for frame in range(48, 64)]
    steps = [before - after for before, after in pairwise(weights)]
    assert steps == pytest.approx([1 / 28] * 15)
    assert weights[0] == pytest.approx(1 - 12.5 / 28)


def test_both_sides_of_a_seam_use_the_same_weights() -> None:
    spans = animatediff_spans(0, 192)
    left, right = spans.chunk(0), spans.chunk(1)
    before, after = fade_weights(47, left, None, right), fade_weights(48, right, left, None)
    assert after[1] - before[2] == pytest.approx(1 / 28)


def test_a_core_of_two_strides_may_have_three_takes_of_a_frame() -> None:
    spans = animatediff_spans(0, 240, core=24)
    weights = fade_weights(38, spans.chunk(1), spans.chunk(0), spans.chunk(2))
    assert min(weights) > 0


def test_without_neighbors_the_own_take_is_all() -> None:
    assert fade_weights(50, animatediff_spans(0, 192).chunk(1), None, None) == (0, 1, 0)


def test_a_halo_stops_before_an_unreadable_frame() -> None:
    chunk = animatediff_spans(0, 192).chunk(1)
    cut = stop_before(chunk, [40, 38, 100, 98, 150])
    assert (cut.run_start, cut.run_end) == (41, 98)
    assert (cut.core_start, cut.core_end) == (chunk.core_start, chunk.core_end)


def test_a_run_at_the_end_of_the_clip_has_a_whole_window() -> None:
    chunk = animatediff_spans(0, 50).chunk(1)
    assert (chunk.run_start, chunk.core_start, chunk.run_end) == (24, 48, 50)
    chunk = animatediff_spans(0, 52).chunk(1)
    assert (chunk.run_start, chunk.core_start, chunk.run_end) == (36, 48, 52)


def test_a_core_is_rounded_up_to_whole_strides() -> None:
    assert animatediff_spans(0, 100, 16, 6).core == 50
    assert animatediff_spans(0, 100, 16, 4, core=1).core == 24


@pytest.mark.parametrize("overlap", [16, 20, -1])
def test_an_overlap_that_leaves_no_stride_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="context_overlap"):
        animatediff_spans(0, 100, 16, overlap)


def test_a_chunk_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IndexError):
        mask_spans(0, 10).chunk(1)
    with pytest.raises(IndexError):
        mask_spans(0, 10).owner(10)
