from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workers.gpu.windows import Fuse, fused, weights, windows


def test_windows_start_at_every_stride_and_the_last_ends_with_the_clip() -> None:
    assert [run.start for run in windows(45, 16, 4)] == [0, 12, 24, 29]
    assert [run.start for run in windows(40, 16, 4)] == [0, 12, 24]


def test_a_clip_that_fits_is_one_window() -> None:
    assert windows(16, 16, 4) == (range(16),)
    assert windows(3, 16, 4) == (range(3),)


@given(st.integers(1, 200), st.integers(1, 32), st.data())
def test_every_frame_is_seen_and_no_window_is_longer_than_allowed(
    frames: int, length: int, data: st.DataObject
) -> None:
    runs = windows(frames, length, data.draw(st.integers(0, length - 1)))
    assert set().union(*runs) == set(range(frames))
    assert all(len(run) == min(length, frames) for run in runs)
    assert len(set(runs)) == len(runs)


def test_a_pyramid_rises_to_the_middle() -> None:
    assert weights(6, "pyramid").tolist() == [1, 2, 3, 3, 2, 1]
    assert weights(5, "pyramid").tolist() == [1, 2, 3, 2, 1]
    assert weights(3, "flat").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("fuse", "expected"), [("flat", [0, 0, 0.5, 0.5, 1, 1]), ("pyramid", [0, 0, 1 / 3, 2 / 3, 1, 1])]
)
def test_windows_are_averaged_by_weight(fuse: Fuse, expected: list[float]) -> None:
    def model(run: range) -> tuple[Tensor, ...]:
        return (torch.full((len(run), 2), float(run.start > 0)),)

    (result,) = fused(model, windows(6, 4, 2), fuse)
    assert torch.allclose(result[:, 0], torch.tensor(expected))


def test_averaging_equal_predictions_changes_nothing() -> None:
    x = torch.randn(40, 3)
    for result in fused(lambda run: (x[run.start : run.stop], -x[run.start : run.stop]), windows(40, 16, 4), "pyramid"):
        assert torch.allclose(result.abs(), x.abs(), rtol=1e-5)
