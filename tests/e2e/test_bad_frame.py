"""A bad frame in the middle of a clip fails its own chunk, says which it is, and leaves all others alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.state import JobState, TaskState
from farm.ports import JobStatus, TaskFilter
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, request

BAD = 14
"""Number of the frame: in the second chunk of a `mask` job, in the third of an `animatediff` job."""


def with_cut_picture(source: Path, folder: Path, number: int) -> Path:
    """A copy of a folder of pictures in which one file ends half-way."""
    copy = Path(shutil.copytree(source, folder / source.name))
    picture = copy / f"{number:04d}.png"
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    return copy


def errors(farm: AnyOrderFarm, status: JobStatus) -> dict[str, str]:
    """Failed tasks with their errors."""
    which = TaskFilter(states=(TaskState.FAILED,))
    return {task.id: task.error for task in farm.farm.tasks(status.facts.id, which, limit=100)}


@pytest.mark.parametrize(("job_type", "chunk", "size"), [(JobType.MASK, 1, 8), (JobType.ANIMATEDIFF, 2, 6)])
def test_a_bad_frame_fails_its_chunk_and_is_named(
    job_type: JobType, chunk: int, size: int, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        broken = farm.admit(with_cut_picture(shot.clip, tmp_path, BAD))
        status = farm.run(request(Handed(broken, handed.masks), job_type))
        found = errors(farm, status)
        counted = (status.chunks_failed, status.chunks_done, status.frames_done)
        assert farm.farm.retry(status.facts.id) > 0
        again = farm.finish(status.facts.id)
        plan_again = farm.ran.count(f"plan.{chunk}")
    assert status.state is again.state is JobState.FAILED
    assert f"Frame {BAD} of the input cannot be read" in found[f"plan.{chunk}"]
    assert {task for task in found if task.startswith("plan.")} == {f"plan.{chunk}"}
    assert counted == (1, status.facts.chunks - 1, shot.frames - size)
    assert plan_again == 2, "a retry looks at the frame again"
    assert status.cache_misses == again.cache_misses, "and renders nothing that is there"
    frames = final_frames(farm.blobs, status.facts.id)
    lost = {f"{number:04d}.png" for number in range(chunk * size + 1, (chunk + 1) * size + 1)}
    assert expected(job_type).keys() - frames.keys() == lost
    if job_type is JobType.MASK:
        # Neighbors of an animatediff chunk are made without its frames, so they are others than in the whole clip.
        assert differing(frames, {name: expected(job_type)[name] for name in frames}) == []
    manifest = json.loads(farm.blobs.get(keys.manifest(status.facts.id)))
    assert manifest["missing_chunks"] == [chunk]
    assert {frame["name"] for frame in manifest["frames"]} == frames.keys()


@pytest.mark.parametrize("job_type", REPAINTING)
def test_with_the_frame_replaced_only_what_it_touches_is_rendered(
    job_type: JobType, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        broken = farm.admit(with_cut_picture(shot.clip, tmp_path, BAD))
        farm.run(request(Handed(broken, handed.masks), job_type))
        farm.ran.clear()
        status = farm.run(request(handed, job_type))
        touched = {int(task.split(".")[1]) for task in farm.ran if task.startswith("detail.")}
    assert differing(expected(job_type), final_frames(farm.blobs, status.facts.id)) == []
    assert touched == ({1} if job_type is JobType.MASK else {1, 2}), "the frame lies in the halo of chunk 1"


def test_a_bad_mask_fails_its_chunk_and_is_named(shot: Shot, handed: Handed, tmp_path: Path) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        masks = {**handed.masks, "right": farm.admit(with_cut_picture(shot.masks["right"], tmp_path, BAD))}
        status = farm.run(request(Handed(handed.clip, masks), JobType.MASK))
        found = errors(farm, status)
    assert status.state is JobState.FAILED
    assert status.frames_done == shot.frames - 8
    assert str(BAD) in found["plan.1"]
    assert "'right'" in found["plan.1"]
