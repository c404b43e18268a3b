"""A worker that is killed, stopped or told to end in the middle of a task costs time and nothing else."""

from __future__ import annotations

import signal

import pytest

from farm.domain.detailer import JobType
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.losses import lose_a_worker, steps_needed
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request

SLOW = 0.06
"""Seconds per crop: a task of eight crops takes half a second, in four steps."""


@pytest.mark.slow
def test_a_worker_killed_in_mid_task_is_replaced(farm: FarmUnderTest, shot: Shot, expected: Expected) -> None:
    victim, _ = farm.workers(2, fake_seconds=SLOW)
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF))
    loss = lose_a_worker(farm, job, victim, signal.SIGKILL)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []
    # At most what the lost task had done, and what others lost while the machine was busy.
    assert 0 < loss.done_twice < 0.5
    histories = [attempt["outcome"] for task in farm.rows(job) for attempt in task.history]
    assert set(histories) <= {"ok", "lost"}


@pytest.mark.slow
def test_a_worker_that_wakes_after_its_lease_went_does_no_harm(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    victim, _ = farm.workers(2, fake_seconds=SLOW)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    loss = lose_a_worker(farm, job, victim, signal.SIGSTOP)
    frames = farm.frames(job)
    victim.signal(signal.SIGCONT)
    assert victim.end() == 0
    assert loss.task not in farm.finished(victim.name)
    assert differing(expected(JobType.MASK), frames) == []
    assert farm.frames(job) == frames


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_finishes_its_task_first(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    leaver, _ = farm.workers(2, fake_seconds=SLOW)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    task = farm.active(job, worker=leaver.name)
    assert leaver.end() == 0
    assert task.id in farm.finished(leaver.name)
    status = farm.wait(job)
    assert status.steps_done == steps_needed(farm.blobs, farm.farm.document(job)), "nothing was done twice"
    assert differing(expected(JobType.MASK), farm.frames(job)) == []
