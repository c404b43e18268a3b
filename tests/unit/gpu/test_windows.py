from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workers.gpu.windows import Fuse, Layout, Schedule, Window, fused, picked, weights, windows

SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
FUSES: tuple[Fuse, ...] = get_args(Fuse)


@st.composite
def layouts(draw: st.DrawFn, *schedules: Schedule) -> Layout:
    length = draw(st.integers(1, 20))
    return Layout(
        length,
        draw(st.integers(0, length - 1)),
        draw(st.sampled_from(schedules or SCHEDULES)),
        draw(st.integers(1, 5)),
        draw(st.booleans()),
        draw(st.sampled_from(FUSES)),
    )


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def noisy(rows: Tensor) -> Callable[[Window], tuple[Tensor, ...]]:
    """A model that says something else of a frame in each window."""
    return lambda window: (picked(rows, window) + noise(hash(tuple(window)), len(window), *rows.shape[1:]),)


def starts(runs: tuple[Window, ...]) -> list[int]:
    return [run[0] for run in runs]


def test_windows_start_at_every_stride_and_the_last_ends_with_the_clip() -> None:
    assert [run.start for run in windows(45, 16, 4)] == [0, 12, 24, 29]
    assert [run.start for run in windows(40, 16, 4)] == [0, 12, 24]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_clip_that_fits_is_one_window(schedule: Schedule) -> None:
    assert windows(16, 16, 4) == (range(16),)
    assert Layout(16, 4, schedule, 3, closed_loop=True).over(3, step=5) == (range(3),)


@given(layouts(), st.integers(1, 150), st.integers(0, 200))
def test_every_frame_is_in_a_window_and_windows_hold_different_frames_of_the_clip(
    layout: Layout, frames: int, step: int
) -> None:
    runs = layout.over(frames, step)
    assert set().union(*runs) == set(range(frames))
    assert all(len(run) == len(set(run)) == min(layout.length, frames) for run in runs)
    assert len({tuple(run) for run in runs}) == len(runs)
    assert runs == layout.over(frames, step)


@given(layouts("standard_static"), st.integers(1, 150), st.integers(0, 200))
def test_static_windows_are_the_same_at_every_step(layout: Layout, frames: int, step: int) -> None:
    assert layout.over(frames, step) == windows(frames, layout.length, layout.overlap)


def test_uniform_windows_begin_with_the_static_ones_and_are_then_shifted_by_the_steps_reversed_bits() -> None:
    layout = Layout(16, 4, "standard_uniform")
    assert layout.over(40, 0) == windows(40, 16, 4)
    assert starts(layout.over(100, 0)) == [0, 12, 24, 36, 48, 60, 72, 84]
    assert starts(layout.over(100, 1)) == [0, 10, 22, 34, 46, 50, 62, 74, 84]
    assert starts(layout.over(100, 2)) == [0, 9, 21, 25, 37, 49, 61, 73, 84]


def test_looped_windows_run_over_the_end_into_the_beginning() -> None:
    layout = Layout(16, 4, "looped_uniform", closed_loop=True)
    assert starts(layout.over(45, 0)) == [0, 12, 24, 36]
    assert layout.over(45, 0)[-1] == (*range(36, 45), *range(7))
    assert starts(layout.over(45, 3)) == [34, 1, 13, 25]


@given(st.integers(64, 150), st.integers(0, 63))
def test_the_shift_is_another_at_every_step_and_uniform_windows_begin_there_if_they_fit(frames: int, step: int) -> None:
    ring = Layout(4, 1, "looped_uniform", closed_loop=True)
    before, shift = (ring.over(frames, one)[0][0] for one in (step, step + 1))
    assert before != shift
    assert before == round(frames * int(f"{step:06b}"[::-1], 2) / 64) % frames
    if before <= frames - 4:
        assert before in starts(Layout(4, 1, "standard_uniform").over(frames, step))


@given(layouts("standard_uniform", "looped_uniform"), st.integers(1, 150), st.integers(0, 20))
def test_distances_double_as_often_as_the_stride_and_the_clip_allow(layout: Layout, frames: int, step: int) -> None:
    if frames <= layout.length or layout.length < 2:
        return
    most = min(layout.stride, math.ceil(math.log2(frames / layout.length)) + 1)
    allowed = {2**power for power in range(most)}
    runs = layout.over(frames, step)
    first = {(run[1] - run[0]) % frames for run in runs}
    if layout.schedule == "looped_uniform":
        assert first == allowed
    else:
        assert first == {distance for distance in allowed if (layout.length - 1) * distance < frames}
        assert all(isinstance(run, range) and run.step in allowed for run in runs)
    nearest = [run for run in runs if (run[1] - run[0]) % frames == 1]
    assert set().union(*nearest) == set(range(frames))


@pytest.mark.parametrize(("frames", "widest"), [(17, 2), (32, 2), (33, 4), (64, 4), (65, 8)])
def test_the_widest_distance_grows_with_the_clip(frames: int, widest: int) -> None:
    runs = Layout(16, 4, "looped_uniform", 5).over(frames, 1)
    assert max((run[1] - run[0]) % frames for run in runs) == widest


def test_a_window_that_comes_around_to_its_own_frames_goes_on_with_those_between() -> None:
    (run,) = (run for run in Layout(16, 4, "looped_uniform", 3).over(40, 0) if run[1] - run[0] == 4)
    assert run == (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 1, 5, 9, 13, 17, 21)


@given(layouts("looped_uniform"), st.integers(3, 150), st.integers(0, 20))
def test_only_a_closed_loop_shows_the_last_frame_next_to_the_first(layout: Layout, frames: int, step: int) -> None:
    if frames <= layout.length or layout.length < 2:
        return
    seam = any((frames - 1, 0) in itertools.pairwise(run) for run in layout.over(frames, step))
    assert not seam or layout.closed_loop
    if layout.closed_loop and layout.overlap > 0:
        assert seam


def test_a_layout_of_windows_that_do_not_advance_is_refused() -> None:
    for wrong in ((4, 4, 1), (4, -1, 1), (0, 0, 1), (4, 1, 0)):
        with pytest.raises(ValueError, match="overlap < length"):
            Layout(*wrong[:2], "standard_static", wrong[2])


def test_a_pyramid_rises_to_the_middle() -> None:
    assert weights(range(6), 9, Layout(6, 1)).tolist() == [1, 2, 3, 3, 2, 1]
    assert weights(range(5), 9, Layout(5, 1)).tolist() == [1, 2, 3, 2, 1]
    assert weights(range(3), 9, Layout(3, 1, fuse="flat")).tolist() == [1, 1, 1]


def test_relative_weights_fall_from_the_middle_and_stay_above_nothing() -> None:
    assert weights(range(4), 9, Layout(4, 1, fuse="relative")).tolist() == [0.25, 0.75, 0.75, 0.25]
    assert weights((5,), 9, Layout(1, 0, fuse="relative")).tolist() == [1]


def test_linear_weights_ramp_over_the_overlap_but_not_where_the_clip_ends() -> None:
    layout = Layout(6, 3, fuse="overlap-linear")
    assert weights(range(6), 20, layout).tolist() == [1, 1, 1, 0.75, 0.5, 0.25]
    assert weights(range(3, 9), 20, layout).tolist() == [0.25, 0.5, 0.75, 0.75, 0.5, 0.25]
    assert weights(range(14, 20), 20, layout).tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert weights(range(6), 20, Layout(6, 0, fuse="overlap-linear")).tolist() == [1] * 6


def test_a_closed_loop_has_no_ends_without_a_ramp() -> None:
    layout = Layout(4, 1, "looped_uniform", 2, closed_loop=True, fuse="overlap-linear")
    assert weights(range(4), 20, layout).tolist() == [0.5, 1, 1, 0.5]
    layout = Layout(4, 1, "looped_uniform", 2, fuse="overlap-linear")
    assert weights(range(4), 20, layout).tolist() == [1, 1, 1, 0.5]
    assert weights(range(0, 8, 2), 20, layout).tolist() == [0.5, 1, 1, 0.5]


@given(layouts(), st.integers(1, 150), st.integers(0, 20))
def test_every_frame_of_a_window_counts(layout: Layout, frames: int, step: int) -> None:
    for run in layout.over(frames, step):
        weight = weights(run, frames, layout)
        assert weight.shape == (len(run),)
        assert weight.dtype == torch.float32
        assert weight.min() > 0


@pytest.mark.parametrize(
    ("fuse", "expected"),
    [
        ("flat", [0, 0, 1 / 2, 1 / 2, 1, 1]),
        ("pyramid", [0, 0, 1 / 3, 2 / 3, 1, 1]),
        ("relative", [0, 0, 1 / 4, 3 / 4, 1, 1]),
        ("overlap-linear", [0, 0, 1 / 3, 2 / 3, 1, 1]),
    ],
)
def test_windows_are_averaged_by_weight(fuse: Fuse, expected: list[float]) -> None:
    def model(run: Window) -> tuple[Tensor, ...]:
        return (torch.full((len(run), 2), float(run[0] > 0)),)

    layout = Layout(4, 2, fuse=fuse)
    (result,) = fused(model, layout.over(6), 6, layout)
    assert torch.allclose(result[:, 0], torch.tensor(expected))


@settings(max_examples=50)
@given(layouts(), st.integers(1, 80), st.integers(0, 5))
def test_averaging_equal_predictions_changes_nothing(layout: Layout, frames: int, step: int) -> None:
    x = noise(1, frames, 2, 3)
    results = fused(lambda run: (picked(x, run), -picked(x, run)), layout.over(frames, step), frames, layout)
    assert all(torch.allclose(result.abs(), x.abs(), rtol=1e-6) for result in results)
    assert len(results) == 2


@settings(max_examples=50)
@given(layouts(), st.integers(1, 80), st.integers(0, 5))
def test_the_order_of_windows_changes_roundings_alone(layout: Layout, frames: int, step: int) -> None:
    runs, model = layout.over(frames, step), noisy(noise(2, frames, 2))
    (result,), (backward,) = (fused(model, order, frames, layout) for order in (runs, runs[::-1]))
    assert torch.allclose(result, backward, atol=1e-5)


@pytest.mark.parametrize("fuse", FUSES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_frame_of_one_window_is_that_windows_to_the_bit_or_a_rounding_off_in_static_pyramids(
    schedule: Schedule, fuse: Fuse
) -> None:
    layout = Layout(16, 1, schedule, closed_loop=True, fuse=fuse)
    runs, model = layout.over(97, 1), noisy(noise(5, 97, 50))
    (result,) = fused(model, runs, 97, layout)
    alone = {frame for frame in range(97) if sum(frame in run for run in runs) == 1}
    for run in runs:
        for frame, row in zip(run, model(run)[0], strict=True):
            if frame in alone and (schedule, fuse) == ("standard_static", "pyramid"):
                assert torch.allclose(result[frame], row, rtol=2e-7, atol=0)
            elif frame in alone:
                assert torch.equal(result[frame], row)
    assert len(alone) > 40


@settings(max_examples=50)
@given(st.integers(1, 80), st.integers(1, 20), st.sampled_from(["flat", "pyramid"]), st.data())
def test_static_windows_by_flat_and_pyramid_are_a_sum_divided_at_the_end_to_the_bit(
    frames: int, length: int, fuse: Fuse, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, length - 1))
    layout, model = Layout(length, overlap, fuse=fuse), noisy(noise(3, frames, 2))
    (result,) = fused(model, layout.over(frames), frames, layout)
    begins = [0]
    while begins[-1] + length < frames:
        begins.append(min(begins[-1] + length - overlap, frames - length))
    if len(begins) == 1:
        assert torch.equal(result, model(range(frames))[0])
        return
    summed, total = np.zeros((frames, 2), np.float32), np.zeros(frames, np.float32)
    for begin in begins:
        own = model(range(begin, begin + length))[0].numpy()
        for place in range(length):
            weight = np.float32(1 if fuse == "flat" else min(place + 1, length - place))
            summed[begin + place] += own[place] * weight
            total[begin + place] += weight
    assert np.array_equal(result.numpy(), summed / total[:, None])


@pytest.mark.parametrize("fuse", FUSES)
def test_averages_of_half_precision_are_made_in_float32(fuse: Fuse) -> None:
    layout = Layout(4, 2, "standard_uniform", fuse=fuse)
    x = noise(4, 9, 1).to(torch.float16)
    for frames in (3, 9):
        (result,) = fused(lambda run: (picked(x, run),), layout.over(frames, 1), frames, layout)
        assert result.dtype == torch.float32
        assert torch.allclose(result, x[:frames].to(torch.float32), rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_results_of_earlier_windows_are_not_kept(schedule: Schedule) -> None:
    layout = Layout(4, 2, schedule)
    made: list[weakref.ref[Tensor]] = []

    def model(run: Window) -> tuple[Tensor, ...]:
        assert sum(one() is not None for one in made) <= 1
        result = torch.ones(len(run), 2)
        made.append(weakref.ref(result))
        return (result,)

    fused(model, layout.over(40), 40, layout)
    assert len(made) > 10


def test_a_frame_in_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[4, 7\]"):
        fused(lambda run: (torch.ones(len(run)),), (range(4), (5, 6)), 8, Layout(4, 0))


def test_one_window_in_another_order_is_put_back_in_the_clips() -> None:
    (result,) = fused(lambda run: (torch.tensor(run),), ((2, 0, 1),), 3, Layout(3, 0))
    assert result.tolist() == [0, 1, 2]


def test_rows_of_a_range_are_a_view_and_those_of_other_windows_are_found_one_by_one() -> None:
    rows = torch.arange(12).reshape(6, 2)
    for run in (range(1, 4), range(0, 6, 2)):
        assert torch.equal(picked(rows, run), torch.stack([rows[frame] for frame in run]))
        assert picked(rows, run).untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()
    for other in ((4, 5, 0), range(5, 1, -2)):
        assert torch.equal(picked(rows, other), torch.stack([rows[frame] for frame in other]))
