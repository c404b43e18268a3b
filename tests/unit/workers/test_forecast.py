"""What a job would do is what it then does; what cannot be known is said to be unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.forecast import Forecast
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest
from tests.bench.clips import draw_clip, draw_masks
from tests.bench.incremental import Bench, Ran, request

FRAMES = 24


class Farm(Bench):
    """A farm on which a job of one type has run."""

    def __init__(self, folder: Path, job_type: JobType) -> None:
        super().__init__(folder)
        self.folder = folder
        self.clip = self.farm.admit(draw_clip(folder / "clip", FRAMES))
        self.masks = {name: self.farm.admit(path) for name, path in draw_masks(folder / "masks").items()}
        self.asked = request(self.clip, self.masks, job_type)
        self.before = self.foretold(self.asked)
        self.first = self.run(self.asked)

    def like(self, frames: str | None = None, **changes: str) -> LikeRequest:
        """A job like the one that has run."""
        paths = {path.replace("__", "."): value for path, value in changes.items()}
        return LikeRequest.model_validate({"like": self.first.id, "set": paths, "frames": frames})

    def objects(self) -> set[str]:
        """Everything that the store holds."""
        return set(self.farm.blobs.list(""))


@pytest.fixture(scope="module", params=REPAINTING)
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    found = Farm(tmp_path_factory.mktemp("farm"), request.param)
    yield found
    found.farm.close()


def _compare(foretold: Forecast, ran: Ran) -> None:
    assert not foretold.unknown_frames
    detail = [count for layer, count in foretold.tasks.items() if layer.startswith("detail:")]
    assert (sum(c.run for c in detail), sum(c.cached for c in detail)) == (ran.tasks, ran.cached)
    assert {name: count.run for name, count in foretold.crops.items() if count.run} == dict(ran.crops)


def test_pictures_that_were_never_looked_at_are_foreseen_and_nothing_is_stored(farm: Farm) -> None:
    moving = farm.asked.type is JobType.ANIMATEDIFF
    if moving:
        assert farm.before.unknown_frames == FRAMES
        assert "scanned" in farm.before.unknown[0]
    else:
        _compare(farm.before, farm.first)
    assert farm.before.gpu.seconds is None
    assert farm.before.tasks["ingest"].cached == 0
    there = farm.objects()
    other = farm.farm.admit(draw_clip(farm.folder / "unseen", FRAMES, frozenset(range(5))))
    added = farm.objects() - there
    farm.foretold(request(other, farm.masks, farm.asked.type))
    assert farm.objects() - there == added


def test_a_job_that_is_submitted_again_would_run_no_detail_task_and_costs_no_gpu_time(farm: Farm) -> None:
    foretold = farm.foretold(farm.like())
    assert foretold.crops["face"].run == 0
    assert foretold.tasks["ingest"].run == 0
    assert foretold.gpu.seconds == 0
    _compare(foretold, farm.run(farm.like()))


def test_a_change_of_a_range_and_one_of_a_frame_are_foretold_as_they_run(farm: Farm) -> None:
    frames = f"0-{FRAMES - 1}" if farm.asked.type is JobType.ANIMATEDIFF else "10-19"
    asked = farm.like(frames, segments__face__prompt=f"other {farm.asked.type}")
    foretold = farm.foretold(asked)
    assert foretold.crops["cup"].run == 0
    assert foretold.gpu.seconds is not None
    assert foretold.gpu.seconds > 0
    assert "recorded tasks" in foretold.gpu.basis
    _compare(foretold, farm.run(asked))
    other = farm.farm.admit(draw_clip(farm.folder / "other", FRAMES, frozenset({20})))
    changed = farm.like(input__uri=other)
    _compare(farm.foretold(changed), farm.run(changed))


def test_a_chunk_that_is_as_it_was_is_not_planned_again(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was planned again")

    monkeypatch.setattr("workers.forecast.plan_chunk", refuse)
    farm.foretold(farm.like())
    with pytest.raises(AssertionError):
        farm.foretold(farm.like(prompt="not seen yet"))


def test_a_video_that_was_never_decoded_is_unknown(farm: Farm) -> None:
    service = farm.farm.farm
    job = service.validate(farm.asked)
    clip = service.documents.media(job.input.id)
    video = clip.model_copy(update={"id": "f" * 64, "kind": "video", "pictures": ()})
    farm.farm.blobs.put(f"media/{video.id}.json", video.model_dump_json().encode())
    asked = JobRequest.model_validate(
        {**farm.asked.model_dump(exclude_unset=True), "input": {"uri": f"upload:{video.id}"}}
    )
    foretold = farm.foretold(asked)
    assert foretold.unknown_frames == FRAMES
    assert foretold.crops == {}
    assert foretold.gpu.seconds is None
