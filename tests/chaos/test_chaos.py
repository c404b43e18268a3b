"""A long job on a farm that is hurt all the time makes the bytes of the sequential reference."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from tests.chaos.monkey import Monkey
from tests.e2e import reference
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, make_shot, request

FRAMES = 216
SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1,2,3").split(",")]
BLOWS = int(os.environ.get("CHAOS_BLOWS", "25"))
"""After so many a job is left to end in peace."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_farm_that_is_hurt_all_the_time_makes_the_same_frames(seed: int, farm: FarmUnderTest, tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "shot", FRAMES)
    handed = hand_in(shot, farm)
    wanted = [request(handed, job_type) for job_type in JobType]
    expected = reference.render(tmp_path / "reference", shot, *wanted)
    jobs = [farm.submit(each) for each in wanted]
    monkey = Monkey(farm, seed, workers=3, fake_seconds=0.03)
    monkey.run(jobs, BLOWS, timeout_s=120 + 20 * BLOWS)
    for job, frames in zip(jobs, expected, strict=True):
        status = farm.wait(job)
        assert differing(frames, farm.frames(job)) == [], monkey.blows
        check_books(farm, job)
        assert (status.frames_done, status.frames_contiguous) == (FRAMES, FRAMES)
        assert (status.chunks_done, status.chunks_failed) == (status.facts.chunks, 0)
    # A real engine may differ in the last bit between two attempts, this one does not: one object per key.
    patches = farm.names("patches/")
    assert len({name.split("/")[1] for name in patches}) == len(patches)


def check_books(farm: FarmUnderTest, job: str) -> None:
    """What is counted and written of an ended job is true."""
    status = farm.farm.status(job)
    assert status.state is JobState.COMPLETED
    assert sum(status.counts.values()) == status.tasks == status.counts[TaskState.COMPLETED]
    assert status.workers_active == 0
    assert farm.ledger.ready(job) == ()
    manifest = json.loads(farm.blobs.get(keys.manifest(job)))
    frames = farm.frames(job)
    assert [frame["name"] for frame in manifest["frames"]] == sorted(frames)
    for frame in manifest["frames"]:
        assert hashlib.sha256(frames[frame["name"]]).hexdigest() == frame["sha256"]
