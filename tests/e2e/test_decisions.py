"""What people decide about a running job: cancel, pause, resume, retry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request
from workers.context import Tools
from workers.gpu.batch import Batch, OnStep
from workers.gpu.fake import FakeEngine
from workers.heartbeat import Pace
from workers.runner import Runner

STEP_S = 0.3
"""Seconds that a sampler step takes."""


class CountingEngine(FakeEngine):
    """Takes its time for every step, and remembers when it ended one."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []

    def itself(self) -> CountingEngine:
        """What opens an engine."""
        return self

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """As the fake engine does, slowly."""

        def counted(step: int, steps: int) -> None:
            time.sleep(STEP_S)
            self.steps.append(time.monotonic())
            on_step(step, steps)

        return super().detail(batch, counted)


@contextmanager
def workers_here(farm: FarmUnderTest, engines: list[CountingEngine]) -> Iterator[None]:
    """Workers in threads of this process, on the farm's real servers, each with one of these engines."""
    pace = Pace(lease_ttl=3.0, heartbeat=1.0)
    runners = []
    for number, engine in enumerate(engines):
        tools = Tools(farm.blobs, farm.folder / "cache", engine.itself, 10**8)
        runners.append(Runner(f"here{number}", farm.farm, tools, ("cpu", "gpu.0"), pace))

    def serve(runner: Runner) -> None:
        while not runner.draining.is_set():
            if not runner.serve(None):
                time.sleep(0.02)

    threads = [threading.Thread(target=serve, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.draining.set()
        for thread in threads:
            thread.join(timeout=30)
        for runner in runners:
            runner.heartbeat.stop()


@pytest.mark.slow
def test_a_canceled_job_ends_within_one_sampler_step_of_each_worker(farm: FarmUnderTest, shot: Shot) -> None:
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK, detailer={"steps": 50}))
    engines = [CountingEngine(), CountingEngine()]
    with workers_here(farm, engines):
        until("both sample", lambda: all(len(engine.steps) >= 2 for engine in engines))
        farm.farm.act(job, "cancel")
        canceled_at = time.monotonic()
        status = farm.wait(job, JobState.CANCELED)
        time.sleep(3 * STEP_S)
        later = [sum(step > canceled_at for step in engine.steps) for engine in engines]
    assert max(later) <= 1, later
    assert status.counts[TaskState.ACTIVE] == status.counts[TaskState.QUEUED] == 0


@pytest.mark.slow
def test_a_canceled_job_keeps_its_frames_and_can_be_taken_up_again(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.workers(1, fake_seconds=0.03)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    until("some frames are final", lambda: farm.farm.status(job).frames_done > 0)
    farm.farm.act(job, "cancel", reason="a wrong prompt")
    farm.wait(job, JobState.CANCELED)
    kept, patches = farm.frames(job), farm.names("patches/")
    assert 0 < len(kept) < shot.frames
    assert farm.farm.retry(job) > 0
    status = farm.wait(job)
    assert farm.frames(job).items() >= kept.items()
    assert differing(expected(JobType.MASK), farm.frames(job)) == []
    assert farm.names("patches/") >= patches
    assert len(farm.names("patches/")) == status.cache_misses, "each task has one object: none was made twice"


@pytest.mark.slow
def test_nothing_of_a_paused_job_is_begun_until_it_is_resumed(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.workers(2, fake_seconds=0.03)
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF))
    farm.active(job)
    farm.farm.act(job, "pause")
    until("what ran has ended", lambda: farm.farm.status(job).counts[TaskState.ACTIVE] == 0)
    before = farm.farm.status(job)
    assert before.state is JobState.PAUSED
    assert before.counts[TaskState.QUEUED] > 0, "something could be claimed"
    assert farm.ledger.claim("somebody", ["cpu", "gpu.0"], None, 5.0) is None
    time.sleep(2.0)
    assert farm.farm.status(job).revision == before.revision
    farm.farm.act(job, "resume")
    farm.wait(job)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []


@pytest.mark.slow
def test_a_failed_job_is_completed_by_a_retry_once_its_cause_is_gone(
    farm: FarmUnderTest, shot: Shot, expected: Expected, tmp_path: Path
) -> None:
    handed = hand_in(shot, farm)
    (lost,) = (name for name in farm.names("models/blobs/") if b"Nothing" in farm.blobs.get(name))
    data = farm.blobs.get(lost)
    farm.blobs.delete([lost])
    farm.workers(1)
    job = farm.submit(request(handed, JobType.MASK))
    failed = farm.wait(job, JobState.FAILED)
    errors = [task.error for task in farm.rows(job, TaskState.FAILED) if task.kind == "detail"]
    assert errors
    assert failed.frames_done == 0
    farm.blobs.put(lost, data)
    assert farm.farm.retry(job) > 0
    status = farm.wait(job)
    assert (status.chunks_failed, status.frames_done) == (0, shot.frames)
    assert differing(expected(JobType.MASK), farm.frames(job)) == []
