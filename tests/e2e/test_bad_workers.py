"""Workers that fail, hang or must leave: others have their tasks, and no pixel changes."""

from __future__ import annotations

import signal

import pytest

from farm.domain.detailer import JobType
from farm.domain.state import Outcome
from farm.ports import TaskStatus
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request


def ended_so(farm: FarmUnderTest, job: str, outcome: Outcome) -> TaskStatus:
    """A task with an attempt that ended so."""

    def look() -> TaskStatus | None:
        found = farm.rows(job)
        return next((t for t in found if any(a["outcome"] == outcome.value for a in t.history)), None)

    return until(f"an attempt ended as {outcome}", look)


@pytest.mark.slow
def test_a_worker_that_always_fails_is_blocked_and_the_job_completes(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.worker("fine", fake_seconds=0.05)
    farm.start("bad", "tests.e2e.faulty_worker", "bad", "broken")
    farm.await_workers(["fine", "bad"])
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    status = farm.wait(job)
    assert {block.worker for block in status.blocked} == {"bad"}
    failed = [event for event in farm.events("bad") if event["event"] == "attempt_ended"]
    assert len(failed) == 3
    assert differing(expected(JobType.MASK), farm.frames(job)) == []


@pytest.mark.slow
def test_a_sampler_that_hangs_gives_its_task_to_another_worker(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.start("bad", "tests.e2e.faulty_worker", "bad", "hanging", stuck_s=1)
    farm.await_workers(["bad"])
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    task = ended_so(farm, job, Outcome.STUCK)
    assert "took no step" in str(task.history[-1]["error"])
    farm.worker("fine")
    farm.wait(job)
    assert differing(expected(JobType.MASK), farm.frames(job)) == []


@pytest.mark.slow
def test_a_worker_that_cannot_finish_in_time_hands_its_task_back_at_no_cost(farm: FarmUnderTest, shot: Shot) -> None:
    leaver = farm.worker("leaver", fake_seconds=30, grace_s=1)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK, max_attempts=1, detailer={"steps": 400}))
    task = farm.active(job, worker="leaver")
    leaver.signal(signal.SIGTERM)
    back = ended_so(farm, job, Outcome.INTERRUPTED)
    assert (back.id, back.attempt) == (task.id, 0)
    assert leaver.process.wait(timeout=60) == 0
    assert farm.finished("leaver").count(task.id) == 0
