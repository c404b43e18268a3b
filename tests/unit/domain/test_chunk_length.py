"""How long chunks are where a job leaves it to the farm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from farm.domain.chunk_length import (
    LONGEST,
    SHORTEST,
    SPEED,
    TARGET_S,
    Windows,
    WorkerSpeed,
    asked_chunk,
    chosen_chunk,
    least_chunk,
    pixel_steps,
)
from farm.domain.detailer import Detailer, JobType
from farm.domain.job import JobRequest
from tests.jobs import source

PLAIN = Detailer(guide_size=256, max_size=512, crop_factor=2, steps=20, cfg=1)
"""Its crops are sampled at 512 x 512 px."""
PER_FRAME = 512 * 512 * 20
STATIC = Windows(16, 4)


def _worker(frames_per_s: float, *queues: str) -> WorkerSpeed:
    return WorkerSpeed(queues or ("cpu", "gpu.24", "gpu.0"), frames_per_s * PER_FRAME)


def _chosen(workers: list[WorkerSpeed], windows: Windows | None = None, frames: int = 10**6, **more: Any) -> int | None:  # noqa: ANN401 - of chosen_chunk
    found = chosen_chunk(more.get("detailers", [PLAIN]), frames, more.get("queue", "gpu.0"), workers, windows)
    return found.frames if found else None


def test_a_chunk_takes_a_worker_the_time_that_is_meant() -> None:
    assert _chosen([_worker(0.5)]) == TARGET_S / 2
    assert _chosen([_worker(0.5)], STATIC) == 60, "90 frames with halo, 62 without, 60 in whole strides"
    assert _chosen([_worker(0.5)], detailers=[PLAIN, PLAIN]) == TARGET_S / 4


def test_slow_and_fast_workers_are_taken_by_their_middle() -> None:
    assert _chosen([_worker(speed) for speed in (0.1, 0.5, 40)]) == TARGET_S / 2


def test_memory_bounds_what_is_sampled_together() -> None:
    small, large = _worker(100, "gpu.8", "gpu.0"), _worker(100, "gpu.24", "gpu.8", "gpu.0")
    assert _chosen([small], STATIC) == 168
    assert _chosen([small, large], STATIC) == 168
    assert _chosen([large], STATIC) == LONGEST
    assert _chosen([_worker(100, "gpu.0")], STATIC) == LONGEST, "of a CPU nobody knows"
    assert _chosen([small]) == LONGEST, "batches bound a mask job"


def test_only_workers_that_can_take_the_job_count() -> None:
    workers = [_worker(0.5), _worker(0.1, "gpu.0"), _worker(9, "cpu")]
    assert _chosen(workers, queue="gpu.24") == TARGET_S / 2
    assert _chosen(workers[1:], queue="gpu.24") is None


def test_each_worker_has_a_chunk() -> None:
    assert _chosen([_worker(100)] * 8, frames=400) == 50
    assert _chosen([_worker(100)] * 8, STATIC, frames=400) == 48


@given(
    st.floats(1e-6, 1e6),
    st.integers(1, 30_000),
    st.integers(1, 40),
    st.sampled_from([(16, 4), (16, 12), (8, 2), (4, 1), (1, 0)]),
)
def test_a_chunk_is_never_too_short_and_of_whole_strides(
    speed: float, frames: int, workers: int, context: tuple[int, int]
) -> None:
    windows = Windows(*context)
    of_clip = _chosen([_worker(speed)] * workers, windows, frames)
    of_mask = _chosen([_worker(speed)] * workers, None, frames)
    assert of_clip is not None
    assert of_mask is not None
    assert of_clip % windows.stride == 0
    assert least_chunk(windows) <= of_clip <= max(LONGEST, least_chunk(windows))
    assert SHORTEST <= of_mask <= LONGEST


def test_guidance_and_cycles_cost_their_share() -> None:
    assert pixel_steps(Detailer(steps=3, cfg=1), 10) == 30
    assert pixel_steps(Detailer(steps=3, cfg=2, cycle=2), 10) == 120


@pytest.mark.parametrize(("info", "speed"), [({}, 0), ({SPEED: 5}, 5), ({SPEED: "fast"}, 0)], ids=str)
def test_a_worker_that_says_nothing_of_its_speed_has_none(info: dict[str, object], speed: float) -> None:
    assert WorkerSpeed.reported(("gpu.0",), info) == WorkerSpeed(("gpu.0",), speed)


def _asked(workers: list[WorkerSpeed], **request: object) -> tuple[int | None, tuple[str, ...]]:
    segments = [{"name": "a", "mask": "upload:m"}]
    wanted = JobRequest.model_validate({"input": {"uri": "upload:c"}, "segments": segments} | request)
    part = source("a", wanted.type, guide_size=256, max_size=512, crop_factor=2, cfg=1)
    return asked_chunk(wanted, [part], 10**6, lambda: workers)


def test_who_names_a_length_gets_it_and_who_knows_nothing_the_default() -> None:
    assert _asked([_worker(0.5)], chunk=60) == (60, ())
    assert _asked([_worker(0.5)]) == (None, ())
    assert _asked([_worker(0.5)], chunk="auto") == (90, ("`chunk` auto: 90 frames (180 s of a worker's time).",))
    frames, notes = _asked([], chunk="auto", type=JobType.ANIMATEDIFF)
    assert frames is None
    assert "no worker that can take the job has told its speed" in notes[0]


@pytest.mark.parametrize("chunk", ["often", 0, 5000, 1.5])
def test_what_is_no_length_is_refused_once(chunk: object) -> None:
    with pytest.raises(ValidationError) as refused:
        _asked([], chunk=chunk)
    assert len(refused.value.errors()) == 1
