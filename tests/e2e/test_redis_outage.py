"""Redis may end, die or forget everything in the middle of a job."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
import redis

from farm.domain.detailer import JobType
from farm.domain.plan import Plan
from farm.domain.state import JobState
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request

SLOW = 0.06
"""Seconds per crop: a task of eight crops takes half a second."""
GONE_S = 2.0
"""Seconds without Redis: several heartbeats are missed."""


@pytest.mark.slow
@pytest.mark.parametrize("grace_s", [15.0, 0.0], ids=["stopped", "killed"])
def test_redis_started_again_on_its_file_lets_the_job_go_on(
    grace_s: float, farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.workers(2, fake_seconds=SLOW)
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF))
    farm.active(job)
    farm.redis.stop(grace_s)
    time.sleep(GONE_S)
    farm.redis.start()
    farm.wait(job)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_does_not_wait_for_a_redis_that_is_gone(farm: FarmUnderTest, shot: Shot) -> None:
    workers = farm.workers(2, fake_seconds=SLOW)
    farm.active(farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF)))
    farm.redis.stop(0.0)
    # Long enough that they have noticed: each rides out the outage inside of a call.
    time.sleep(GONE_S)
    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        worker.process.wait(timeout=60)


def forget_everything(farm: FarmUnderTest) -> None:
    """What a lost disk, or a FLUSHALL of somebody else, does."""
    with redis.Redis.from_url(farm.redis.url) as client:
        client.flushall()


@pytest.mark.parametrize(
    ("decisions", "state"),
    [
        (["pause"], JobState.PAUSED),
        (["pause", "resume"], JobState.QUEUED),
        (["cancel"], JobState.CANCELED),
        (["cancel", "retry"], JobState.QUEUED),
    ],
)
def test_what_people_decided_outlives_the_ledger(
    decisions: list[str], state: JobState, farm: FarmUnderTest, shot: Shot
) -> None:
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    for decision in decisions:
        if decision == "retry":
            farm.farm.retry(job)
        else:
            farm.farm.act(job, decision)
    forget_everything(farm)
    assert farm.farm.recover(job).state is state
    assert farm.farm.recover(job).state is state


def recovered_by_the_service(farm: FarmUnderTest, job: str) -> None:
    """As a program does it."""
    farm.farm.recover(job)


def recovered_by_command(farm: FarmUnderTest, job: str) -> None:
    """As a person does it."""
    done = farm.command("job", "recover", job, "--json", url=farm.api().http.url)
    assert done.returncode == 0, done.stderr


def keys_of(farm: FarmUnderTest, job: str) -> dict[str, str]:
    """Detail task -> content key."""
    plans = [Plan.model_validate_json(farm.blobs.get(name)) for name in farm.names(f"jobs/{job}/plans/")]
    return {task.id: task.key for plan in plans for task in plan.tasks}


@pytest.mark.slow
@pytest.mark.parametrize("recover", [recovered_by_the_service, recovered_by_command])
def test_a_job_is_rebuilt_from_the_store_and_nothing_finished_is_rendered_again(
    recover: Callable[[FarmUnderTest, str], None], farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    workers = farm.workers(2, fake_seconds=SLOW)
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF))
    until("a chunk is finished", lambda: farm.names(f"jobs/{job}/chunks/"))
    finished = {name.split("/")[1] for name in farm.names("done/")}
    forget_everything(farm)
    marks = {worker.name: len(farm.finished(worker.name)) for worker in workers}
    patches = farm.names("patches/")
    recover(farm, job)
    status = farm.wait(job)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []
    keys = keys_of(farm, job)
    after = [task for name, mark in marks.items() for task in farm.finished(name)[mark:]]
    rendered = [keys[task] for task in after if task.startswith("detail.")]
    assert rendered, "there was something left to do"
    assert not finished & set(rendered)
    assert len(rendered) == len(set(rendered))
    assert patches <= farm.names("patches/")
    assert len({name.split("/")[1] for name in farm.names("patches/")}) == len(farm.names("patches/"))
    assert status.frames_done == shot.frames
    assert status.chunks_done == status.facts.chunks
