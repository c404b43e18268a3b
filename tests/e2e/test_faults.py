"""Messages that come too often or never, ends that are told twice, deaths at every point: no pixel changes."""

from __future__ import annotations

import signal

import pytest

from farm.domain.detailer import JobType
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.faulty_worker import CRASH_POINTS
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["offers-tripled", "offers-dropped", "finished-twice"])
def test_messages_in_any_number_make_each_frame_once(
    fault: str, farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    names = ["f0", "f1"]
    for name in names:
        farm.start(name, "tests.e2e.faulty_worker", name, fault, fake_seconds=0.01)
    farm.await_workers(names)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    status = farm.wait(job)
    frames = farm.frames(job)
    assert differing(expected(JobType.MASK), frames) == []
    assert status.frames_done == len(frames) == shot.frames
    finished = farm.finished("f0") + farm.finished("f1")
    assert len(finished) == len(set(finished)), "each task ended once"
    assert len(farm.names("patches/")) == len(farm.names("done/")) == status.cache_misses


@pytest.mark.slow
def test_workers_that_die_one_after_the_other_at_every_point_lose_nothing(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF))
    for point in CRASH_POINTS:
        victim = farm.start(point, "tests.e2e.faulty_worker", point, point)
        assert victim.process.wait(timeout=60) == -signal.SIGKILL, point
    farm.workers(1)
    status = farm.wait(job)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []
    assert (status.frames_done, status.chunks_done) == (shot.frames, status.facts.chunks)


@pytest.mark.slow
def test_a_worker_with_another_engine_leaves_the_job_to_one_that_has_it(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    (wrong,) = farm.workers(1, engine="diffusers")
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK, max_attempts=1))
    said = until("the refusal", lambda: [t.error for t in farm.rows(job) if "FARM_ENGINE" in t.error] or None)
    assert all("fake" in error for error in said)
    assert farm.names("patches/") == farm.names("done/") == set()
    wrong.kill()
    farm.worker("right")
    farm.wait(job)
    assert differing(expected(JobType.MASK), farm.frames(job)) == []
