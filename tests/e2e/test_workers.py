"""Any number of worker processes over real servers makes the bytes of the sequential reference."""

from __future__ import annotations

import pytest

from farm.domain.detailer import REPAINTING
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_makes_the_same_frames(
    workers: int, farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    handed = hand_in(shot, farm)
    started = farm.workers(workers, fake_seconds=0.02)
    jobs = {job_type: farm.submit(request(handed, job_type)) for job_type in REPAINTING}
    for job_type, job in jobs.items():
        status = farm.wait(job)
        assert status.frames_done == shot.frames
        assert differing(expected(job_type), farm.frames(job)) == []
    assert all(farm.finished(worker.name) for worker in started), "every worker had a share"
