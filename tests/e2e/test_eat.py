"""A crop that kills every batch it is in fails alone; eaten, its frame keeps the input's pixels and the job ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from api.frames import FrameReader
from farm.adapters.pictures import decode, encode_png
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import JobStatus
from farm.service.eat import Meant
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, picture, request
from tests.e2e.test_bad_frame import BAD, errors, with_cut_picture
from workers.context import Tools
from workers.gpu.batch import Batch, OnStep
from workers.gpu.fake import FakeEngine

POISON = 13
"""Position of the frame that no engine bears: number 14."""
NAME = "0014.png"


class Poisoned(FakeEngine):
    """Chokes on the crops of one frame, until it is cured."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = POISON
        self.crops = 0
        """Made so far."""

    def itself(self) -> Poisoned:
        """What opens an engine."""
        return self

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """As the fake engine does."""
        if any(crop.frame == self.frame for crop in batch.crops):
            raise RuntimeError("an index is out of range")
        self.crops += len(batch.crops)
        return super().detail(batch, on_step)


@contextmanager
def poisoned(folder: Path) -> Iterator[tuple[AnyOrderFarm, Poisoned]]:
    """A farm with such an engine."""
    engine = Poisoned()
    with AnyOrderFarm(folder) as farm:
        farm.use(Tools(farm.blobs, folder, engine.itself, 10**8))
        yield farm, engine


def check_sum(status: JobStatus) -> None:
    """Counts sum to the tasks."""
    assert sum(status.counts.values()) == status.tasks


def test_only_the_poisoned_crop_fails_and_eaten_its_frame_keeps_the_input(
    shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with poisoned(tmp_path) as (farm, _):
        hand_in(shot, farm)
        failed = farm.run(request(handed, JobType.MASK))
        job = failed.facts.id
        roots = [task for task in farm.farm.tasks(job, which=farm.failed(), limit=200) if not task.cause]
        assert failed.state is JobState.FAILED
        assert (failed.chunks_failed, failed.frames_done) == (1, shot.frames - 8)
        assert all(task.id.count(".") == 3 for task in roots), "single crops"
        assert {f"Frame {POISON + 1}, segment" in task.error for task in roots} == {True}
        check_sum(failed)
        assert farm.farm.eat(job, Meant(frame=POISON + 1), "so be it", "ann") > 0
        status = farm.finish(job)
        frames = final_frames(farm.blobs, job)
        manifest = json.loads(farm.blobs.get(keys.manifest(job)))
    assert status.state is JobState.COMPLETED
    assert (status.frames_done, status.frames_contiguous) == (shot.frames, shot.frames)
    assert status.counts[TaskState.EATEN] == len(roots)
    check_sum(status)
    assert differing(expected(JobType.MASK), frames) == [NAME], "all others are as they would have been"
    assert frames[NAME] == encode_png(picture(POISON))
    record = next(frame for frame in manifest["frames"] if frame["name"] == NAME)
    assert {each["source"] for each in record["eaten"]} == {"left", "over", "right"}
    assert record["patches"] == []


def test_a_retry_undoes_it(shot: Shot, handed: Handed, expected: Expected, tmp_path: Path) -> None:
    with poisoned(tmp_path) as (farm, engine):
        hand_in(shot, farm)
        job = farm.run(request(handed, JobType.MASK)).facts.id
        farm.farm.eat(job, Meant(frame=POISON + 1))
        before = farm.finish(job)
        engine.frame = -1
        made = engine.crops
        assert farm.farm.retry(job) > 0
        status = farm.finish(job)
        frames = final_frames(farm.blobs, job)
        again = farm.farm.retry(job)
    assert (before.state, status.state) == (JobState.COMPLETED, JobState.COMPLETED)
    assert differing(expected(JobType.MASK), frames) == []
    assert status.counts[TaskState.EATEN] == 0
    assert (status.frames_done, status.frames_contiguous) == (shot.frames, shot.frames)
    check_sum(status)
    # Its own three crops and, over them, the batch that had been made without it.
    assert engine.crops - made <= 3 + 8
    assert again == 0


@pytest.mark.parametrize("eaten_before", [True, False])
def test_it_outlives_the_ledger(
    eaten_before: bool, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with poisoned(tmp_path) as (farm, engine):
        hand_in(shot, farm)
        job = farm.run(request(handed, JobType.MASK)).facts.id
        farm.farm.eat(job, Meant(frame=POISON + 1))
        if eaten_before:
            farm.finish(job)
            farm.blobs.delete([keys.chunk(job, 1)])
        made = engine.crops
        farm.farm.ledger.forget(job)
        farm.farm.recover(job)
        status = farm.finish(job)
        frames = final_frames(farm.blobs, job)
    assert status.state is JobState.COMPLETED
    assert differing(expected(JobType.MASK), frames) == [NAME]
    assert frames[NAME] == encode_png(picture(POISON))
    assert engine.crops == made if eaten_before else engine.crops - made <= 8, "what was made is not made again"


def test_a_clip_is_eaten_as_a_whole(shot: Shot, handed: Handed, expected: Expected, tmp_path: Path) -> None:
    with poisoned(tmp_path) as (farm, engine):
        hand_in(shot, farm)
        failed = farm.run(request(handed, JobType.ANIMATEDIFF))
        job = failed.facts.id
        with pytest.raises(Conflict, match="sampled together"):
            farm.farm.eat(job, Meant(frame=POISON + 1))
        for chunk in (1, 2):
            while any(task.chunk == chunk for task in farm.farm.tasks(job, farm.failed(), limit=200)):
                farm.farm.eat(job, Meant(chunk=chunk))
                farm.finish(job)
        status = farm.farm.status(job)
        frames = final_frames(farm.blobs, job)
        engine.frame = -1
        farm.farm.retry(job)
        cured = farm.finish(job)
        after = final_frames(farm.blobs, job)
    assert failed.state is JobState.FAILED
    assert status.state is cured.state is JobState.COMPLETED
    assert frames[NAME] == encode_png(picture(POISON))
    assert differing(expected(JobType.ANIMATEDIFF), after) == []
    check_sum(cured)


def test_what_has_not_failed_is_not_eaten(shot: Shot, handed: Handed, tmp_path: Path) -> None:
    with poisoned(tmp_path) as (farm, _):
        hand_in(shot, farm)
        job = farm.run(request(handed, JobType.MASK)).facts.id
        before = farm.farm.status(job)
        for meant, said in [
            (Meant(), "Say what to eat"),
            (Meant(tasks=("plan.0",), frame=3), "Say what to eat"),
            (Meant(frame=99), "has no frame 99"),
            (Meant(chunk=99), "has no chunk 99"),
            (Meant(frame=3), "Nothing of frame 3"),
            (Meant(chunk=0), "No detail task of chunk 0"),
            (Meant(tasks=("paste.1",)), "was not run"),
            (Meant(tasks=("ingest.frame-x.0",)), "no task"),
        ]:
            with pytest.raises((Rejected, NotFound), match=said):
                farm.farm.eat(job, meant)
        assert farm.farm.status(job) == before
        assert not [name for name in farm.blobs.list(keys.job(job, "decisions/")) if name.endswith("-eat.json")]


@pytest.mark.parametrize(
    ("by", "job_type", "chunk"),
    [("frame", JobType.MASK, 1), ("task", JobType.MASK, 1), ("chunk", JobType.ANIMATEDIFF, 2)],
)
def test_a_frame_that_cannot_be_read_is_left_out_and_the_job_says_so(
    by: str, job_type: JobType, chunk: int, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        broken = farm.admit(with_cut_picture(shot.clip, tmp_path, BAD))
        job = farm.run(request(Handed(broken, handed.masks), job_type)).facts.id
        meant = {"frame": Meant(frame=BAD), "chunk": Meant(chunk=chunk), "task": Meant(tasks=(f"plan.{chunk}",))}[by]
        farm.farm.eat(job, meant)
        status = farm.finish(job)
        frames = final_frames(farm.blobs, job)
        manifest = json.loads(farm.blobs.get(keys.manifest(job)))
        shown = [frame.state for frame in FrameReader(farm.farm, job).frames(BAD - 2, 3)]
        farm.farm.retry(job)
        undone = farm.finish(job)
        said = errors(farm, undone)
    assert status.state is JobState.COMPLETED
    assert status.frames_done == shot.frames - 1
    assert expected(job_type).keys() - frames.keys() == {f"{BAD:04d}.png"}
    assert manifest["left_out"] == [BAD]
    assert manifest["missing_chunks"] == []
    assert shown == ["completed", "left-out", "completed"]
    if job_type is JobType.MASK:
        assert differing(frames, {name: expected(job_type)[name] for name in frames}) == []
    assert undone.state is JobState.FAILED
    assert f"Frame {BAD} of the input cannot be read" in said[f"plan.{chunk}"]


def test_a_mask_that_cannot_be_read_leaves_its_segment_out(
    shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        masks = {**handed.masks, "right": farm.admit(with_cut_picture(shot.masks["right"], tmp_path, BAD))}
        job = farm.run(request(Handed(handed.clip, masks), JobType.MASK)).facts.id
        farm.farm.eat(job, Meant(tasks=("plan.1",)))
        status = farm.finish(job)
        frames = final_frames(farm.blobs, job)
    assert (status.state, status.frames_done) == (JobState.COMPLETED, shot.frames)
    assert differing(expected(JobType.MASK), frames) == [NAME]
    left, right = (slice(0, 80), slice(88, 128))
    whole, bare = (decode(pixels) for pixels in (expected(JobType.MASK)[NAME], frames[NAME]))
    assert np.array_equal(whole[:, left], bare[:, left]), "the other segments are there"
    assert np.array_equal(bare[:, right], picture(BAD - 1)[:, right])


def test_a_chunk_of_one_frame_that_cannot_be_read_is_black_in_the_video(
    shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        broken = farm.admit(with_cut_picture(shot.clip, tmp_path, BAD))
        one_by_one: dict[str, Any] = {
            "chunk": 1,
            "outputs": ("video",),
            "input": {"uri": broken, "frames": f"{BAD - 1}-{BAD + 1}"},
        }
        job = farm.run(request(handed, JobType.MASK, **one_by_one)).facts.id
        farm.farm.eat(job, Meant(frame=BAD))
        status = farm.finish(job)
        video = tmp_path / "video.mp4"
        farm.blobs.get_to_file(keys.video(job, 0), video)
    assert (status.state, status.frames_done, status.chunks_done) == (JobState.COMPLETED, 2, 3)
    with av.open(str(video)) as container:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    assert len(means) == 3
    assert means[1] < 5 < min(means[0], means[2])
