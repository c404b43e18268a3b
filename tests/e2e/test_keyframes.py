"""Parameters that change over a clip, through a whole farm in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.state import JobState
from tests.e2e import reference
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, request

RISING = {"denoise": {"keyframes": [[1, 0.3], [9, 0.34]]}}
FADING = {"keyframes": {"prompt": [[1, "day"], [9, "night"]], "cfg": [[5, 3], [6, 8]]}}


@pytest.mark.parametrize("job_type", REPAINTING)
def test_in_any_order_the_frames_are_those_of_the_reference(
    job_type: JobType, shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    names = ("left", "over")
    segments: list[dict[str, object]] = [{"name": name, "mask": handed.masks[name]} for name in names]
    segments[1] |= FADING
    asked = request(
        handed, job_type, segments=segments, detailer=RISING, input={"uri": handed.clip, "frames": "1-12"}, chunk=6
    )
    expected = reference.render(tmp_path / "reference", shot, asked)[0]
    with AnyOrderFarm(tmp_path / "run", seed=3) as farm:
        hand_in(shot, farm)
        job = farm.run(asked).facts.id
        assert differing(expected, final_frames(farm.blobs, job)) == []
        tasks = [task for chunk in range(2) for task in farm.tools.plan(job, chunk).tasks]
    found = {name: {task.values["denoise"] for task in tasks if task.source == name} for name in names}
    assert len(found["left"]) == (5 if job_type is JobType.MASK else 2), "a step of 0.01 for every two frames"
    assert {crop.share for task in tasks if task.source == "over" for crop in task.crops} > {0}
    assert all(task.values.keys() == {"denoise"} for task in tasks if task.source == "left")


def test_frames_of_one_value_are_those_of_a_job_with_that_value(shot: Shot, handed: Handed, tmp_path: Path) -> None:
    clip = {"uri": handed.clip, "frames": "1-8"}
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        plain = farm.run(request(handed, JobType.MASK, detailer={"denoise": 0.3}, input=clip))
        keyed = farm.run(request(handed, JobType.MASK, detailer={"denoise": {"keyframes": [[1, 0.3]]}}, input=clip))
        assert keyed.state is JobState.COMPLETED
        assert (keyed.cache_misses, plain.cache_hits) == (0, 0)
