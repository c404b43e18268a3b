"""Chunks and tasks may end in any order that the plan allows: the frames are those of the sequential reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.state import JobState
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, request


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("job_type", REPAINTING)
def test_tasks_in_any_order_make_the_same_frames(
    job_type: JobType,
    seed: int,
    shot: Shot,
    handed: Handed,
    expected: Expected,
    tmp_path: Path,
) -> None:
    with AnyOrderFarm(tmp_path, seed) as farm:
        hand_in(shot, farm)
        status = farm.run(request(handed, job_type))
    assert status.state is JobState.COMPLETED
    pasted = [int(task.split(".")[1]) for task in farm.ran if task.startswith("paste.")]
    assert pasted != sorted(pasted), "the seed has shuffled nothing"
    assert differing(expected(job_type), final_frames(farm.blobs, status.facts.id)) == []
