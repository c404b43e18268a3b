"""A worker that a person asks to end, while it works."""

from __future__ import annotations

import pytest

from farm.domain.detailer import JobType
from farm.domain.records import DRAINED_CODE
from farm.ports import Drain
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request

LONG = 0.5
"""Seconds per crop: a task lasts several heartbeats."""


@pytest.mark.slow
def test_a_drained_worker_may_be_called_back_else_finishes_ends_and_leaves_the_rest_to_others(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    leaver, _ = farm.workers(2, fake_seconds=LONG, heartbeat_s=0.3)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))

    def said() -> list[str]:
        return [event["event"] for event in farm.events(leaver.name)]

    farm.active(job, worker=leaver.name)
    farm.farm.drain(leaver.name, Drain("ann", "a test"))
    until("it has heard", lambda: "drain_asked" in said())
    farm.farm.undrain(leaver.name)
    until("it has heard", lambda: "drain_taken_back" in said())
    until("it works on", lambda: "claimed" in said()[said().index("drain_taken_back") :])

    task = farm.active(job, worker=leaver.name)
    farm.farm.drain(leaver.name, Drain("ann", "a test"))
    assert leaver.process.wait(timeout=60) == DRAINED_CODE
    assert task.id in farm.finished(leaver.name)
    assert [worker.id for worker in farm.farm.workers()] == ["w1"], "it is off the list at once"
    farm.wait(job)
    assert differing(expected(JobType.MASK), farm.frames(job)) == []
