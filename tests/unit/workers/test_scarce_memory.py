"""What a farm does with patches that were made otherwise for want of memory, and with tasks that had too little."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.state import JobState, TaskState
from farm.errors import OutOfMemory
from farm.ports import TaskFilter, WorkerStatus
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.shots import Shot, hand_in, make_shot, request
from workers.gpu.batch import Batch, OnStep
from workers.gpu.fake import FakeEngine

SHORT = "left"
"""The segment that the small device cannot hold; `over` is painted on it, `right` is not."""


class SmallDevice(FakeEngine):
    """Makes `left` in tiles, which shows."""

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """As the large device, but for what does not fit."""
        patches = super().detail(batch, on_step)
        if batch.detailer.prompt != SHORT:
            return patches
        batch.rungs[:] = ["vae_decode_tiles_2"]
        return [patch ^ np.uint8(8) for patch in patches]


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot", 2)


@pytest.fixture
def farms(tmp_path: Path) -> Iterator[Callable[..., AnyOrderFarm]]:
    """Farms of one worker each."""
    opened: list[AnyOrderFarm] = []

    def open_farm(**options: Any) -> AnyOrderFarm:  # noqa: ANN401  those of the farm
        opened.append(AnyOrderFarm(tmp_path / f"cache{len(opened)}", **options))
        return opened[-1]

    yield open_farm
    for farm in opened:
        farm.__exit__(None, None, None)


def _asked(shot: Shot, farm: AnyOrderFarm) -> JobRequest:
    return request(hand_in(shot, farm), JobType.MASK, prompts={name: name for name in shot.masks})


def _plan(farm: AnyOrderFarm, job: str) -> dict[str, str]:
    """Source -> planned key of its first task."""
    document = json.loads(farm.blobs.get(keys.plan(job, 0)))
    return {task["source"]: task["key"] for task in reversed(document["tasks"])}


def _done(farm: AnyOrderFarm, key: str) -> list[str]:
    return list(farm.blobs.list(keys.done_prefix(key)))


def _frames(farm: AnyOrderFarm, job: str) -> list[bytes]:
    return [farm.blobs.get(name) for name in farm.blobs.list(keys.job(job, "frames/"))]


def test_what_was_made_in_tiles_and_what_lies_on_it_is_never_taken_for_what_was_planned(
    shot: Shot, farms: Callable[..., AnyOrderFarm]
) -> None:
    small, large, untouched = farms(engine=SmallDevice), farms(), farms()
    first = small.run(_asked(shot, small))
    assert first.state is JobState.COMPLETED
    job = first.facts.id
    planned = _plan(small, job)
    assert [source for source, key in planned.items() if _done(small, key)] == ["right"]
    records = [json.loads(small.blobs.get(name)) for name in small.blobs.list("done/")]
    marked = {record["planned"]: record for record in records if "planned" in record}
    assert marked[planned["left"]]["rungs"] == ["vae_decode_tiles_2"]
    assert marked[planned["over"]]["rungs"] == []
    assert list(marked[planned["over"]]["below"]) == [planned["left"]]
    written = json.loads(small.blobs.get(keys.chunk(job, 0)))["frames"][0]["patches"]
    assert {patch["source"]: patch["key"] in planned.values() for patch in written} == {
        "left": False,
        "over": False,
        "right": True,
    }
    # Another job that plans the same finds the one patch that is what was planned, and makes the others anew.
    for name in [*small.blobs.list("done/"), *small.blobs.list("patches/")]:
        large.blobs.put(name, small.blobs.get(name))
    again = large.run(_asked(shot, large))
    assert (again.cache_hits, again.cache_misses) == (1, 2)
    reference = _frames(untouched, untouched.run(_asked(shot, untouched)).facts.id)
    assert _frames(large, again.facts.id) == reference
    assert _frames(small, job) != reference


class TooSmall(FakeEngine):
    """Holds nothing."""

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """Always too much."""
        raise OutOfMemory("The GPU's memory is too small to run the UNet.")


def _other_worker(*queues: str) -> WorkerStatus:
    return WorkerStatus(id="other", host="h", pid=1, queues=queues, device="GPU", seen=0.0)


def test_a_task_that_fits_on_no_rung_goes_to_workers_with_more_memory(
    shot: Shot, farms: Callable[..., AnyOrderFarm]
) -> None:
    farm = farms(engine=TooSmall)
    farm.farm.ledger.beat(_other_worker("gpu.24", "gpu.16", "gpu.0"), 60)
    job = farm.farm.submit(_asked(shot, farm)).facts.id
    farm.run_ready()
    offers = {offer.queue for offer in farm.farm.ledger.ready(job)}
    assert offers == {"gpu.16"}
    moved = farm.farm.tasks(job, TaskFilter(layer="detail:left"))[0]
    assert [attempt["outcome"] for attempt in moved.history] == ["oom"]


def test_where_nobody_has_more_memory_the_task_fails_with_what_it_met(
    shot: Shot, farms: Callable[..., AnyOrderFarm]
) -> None:
    farm = farms(engine=TooSmall)
    ended = farm.run(_asked(shot, farm))
    assert ended.state is JobState.FAILED
    errors = {task.error for task in farm.farm.tasks(ended.facts.id, TaskFilter(states=(TaskState.FAILED,)))}
    assert "The GPU's memory is too small to run the UNet." in errors
