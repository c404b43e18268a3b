"""Whole clips through a motion module: windows, their fusing, and chunks with a halo."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from farm.detail.spans import animatediff_spans
from tests.unit.gpu.clip_runs import cores, off_the_plain_reference, rms, sampled, slow_scene, tiny_moving
from workers.gpu.motion_unet import MovingUnet
from workers.gpu.sampling import Sampling
from workers.gpu.windows import Fuse, Layout, Schedule

PYRAMID = [1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1]
STATIC = [range(16), range(12, 28), range(24, 40)]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> MovingUnet:
    return tiny_moving(tmp_path_factory.mktemp("motion"))


@pytest.mark.parametrize(
    ("schedule", "fuse", "weights"),
    [
        ("standard_static", "pyramid", PYRAMID),
        ("standard_static", "flat", [1] * 16),
        ("looped_uniform", "pyramid", PYRAMID),
        ("standard_uniform", "flat", [1] * 16),
    ],
)
def test_forty_frames_through_windows_are_what_the_plain_reference_says(
    schedule: Schedule, fuse: Fuse, weights: list[float], moving: MovingUnet
) -> None:
    layout = Layout(16, 4, schedule, closed_loop=True, fuse=fuse)
    assert off_the_plain_reference(moving, slow_scene(40), layout, STATIC, weights) < 1e-4


def test_a_sampler_that_looks_twice_per_step_sees_the_same_windows_both_times(moving: MovingUnet) -> None:
    seen: list[tuple[int, int]] = []

    class Watched(Layout):
        def over(self, frames: int, step: int = 0) -> tuple[Sequence[int], ...]:
            seen.append((frames, step))
            return super().over(frames, step)

    sampled(moving, slow_scene(10), Watched(8, 2, "looped_uniform"), sampling=Sampling("heun", "normal", 3, 1.0))
    assert [step for _, step in seen] == [0, 0, 1, 1, 2]


def test_chunks_with_a_halo_are_nearer_to_one_uncut_run_than_without(moving: MovingUnet) -> None:
    layout, latents = Layout(8, 2), slow_scene(36)
    spans = animatediff_spans(0, 36, 8, 2, core=12)
    chunks = [spans.chunk(index) for index in range(spans.count)]
    assert len(chunks) == 3
    uncut = sampled(moving, latents, layout)
    with_halo, without = (cores(moving, latents, layout, chunks, halo) for halo in (True, False))
    assert rms(with_halo - uncut) < rms(without - uncut) / 3
    # The first frames have seen what they see in the uncut run, whatever comes later.
    assert rms(with_halo[:4] - uncut[:4]) < 0.01 * float(uncut.std())
