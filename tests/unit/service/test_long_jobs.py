"""What a long job costs: a chunk of it costs what one of a short job does, and the ledger never holds all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm.domain import keys
from farm.domain.media import Group, Media
from farm.domain.state import JobState
from farm.ports import Lease, NewTask, TaskFilter
from farm.service.advance import window_for
from farm.service.groups import group_at, numbers
from farm.service.skeleton import SEGMENTS, spans
from tests.unit.service.test_farm import World
from workers.context import Task, Tools
from workers.steps.scan import scan


class Counted:
    """A ledger that counts how often it is asked, and for how many things."""

    def __init__(self, ledger: Any) -> None:  # noqa: ANN401 - stands before any ledger
        self._ledger = ledger
        self.calls: Counter[str] = Counter()
        self.size = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on as it is
            self.calls[name] += 1
            self.size += sum(len(arg) for arg in args if isinstance(arg, (list, tuple, range)))
            return getattr(self._ledger, name)(*args, **named)

        return call


class LongWorld(World):
    """The same with a clip, and masks, of any length."""

    def __init__(self, frames: int, window: int = 4) -> None:
        super().__init__(window)
        self.frames = frames
        for name, count in {"clip": frames, "head": frames}.items():
            media = Media(id=f"{name}{'0' * 12}", kind="pictures", name=name, width=64, height=36, frames=count)
            self.blobs.put(keys.media_doc(media.id), media.model_dump_json().encode())
        self.most_rows = 0

    def _found(self, lease: Lease) -> list[NewTask]:
        if lease.kind == "scan":
            return list(self.after_scan(lease))
        self.most_rows = max(self.most_rows, len(self.ledger.tasks(lease.job, TaskFilter(), limit=100_000)))
        return super()._found(lease)

    def _frames(self, lease: Lease) -> int:
        job = self.farm.document(lease.job)
        return spans(job).frames(lease.chunk) if lease.kind == "paste" else 0

    def after_scan(self, lease: Lease) -> tuple[NewTask, ...]:
        """What the real step adds, given that the masks were looked at before."""
        job = self.farm.document(lease.job)
        if lease.task == SEGMENTS:
            return ()
        number = int(lease.task.split(".")[1])
        self.blobs.put(keys.scan(job.id, number), b"looked at")
        tools = Tools(self.blobs, Path("cache"), lambda: pytest.fail("no engine"), 10**6)
        return scan(Task(job, lease.task, "scan", -1, lambda *_: None, lambda _: {}), tools).tasks


def test_a_chunk_costs_the_same_all_through_a_job() -> None:
    world = LongWorld(104 * 16)
    counted = Counted(world.ledger)
    world.farm.ledger = counted
    job = world.submit()
    seen = []
    for chunks in (24, 64, 104):
        while world.farm.status(job).chunks_done < chunks:
            world.run(most=1)
        seen.append((counted.calls.total(), counted.size, world.most_rows))
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert max(Counter(world.ran).values()) == 1, "no read is run again because its row was dropped too early"
    early, late = ([after - before for before, after in zip(*pair, strict=True)] for pair in (seen[:2], seen[1:]))
    assert late[0] <= 1.05 * early[0], "questions to the ledger"
    assert late[1] <= 1.05 * early[1], "things named in them"
    assert late[2] == 0, "rows that the ledger holds at the most"


@pytest.mark.parametrize("job_type", ["mask", "animatediff"])
def test_submission_adds_as_much_for_any_length(job_type: str) -> None:
    rows = set()
    for frames in (20_000, 200_000):
        world = LongWorld(frames)
        rows.add(len(world.ledger.tasks(world.submit(job_type), TaskFilter(), limit=100_000)))
    assert len(rows) == 1


@pytest.mark.parametrize("frames", [500, 512 * 8, 512 * 8 + 1, 512 * 30])
def test_scans_and_their_reads_are_few_at_a_time(frames: int) -> None:
    world = LongWorld(frames)
    job = world.submit("animatediff")
    scans = [task.id for task in world.ledger.tasks(job, TaskFilter(layer="scan"), limit=1000)]
    assert len(scans) == min(8, -(-frames // 512)) + 1


def test_every_scan_comes_in_its_turn_and_once() -> None:
    world = LongWorld(512 * 20 + 7)
    world.submit("animatediff", segments=[{"name": "head", "mask": "upload:one000000000000"}])
    world.run(most=80)
    scans = [task for task in world.ran if task.startswith("scan.")]
    assert sorted(scans, key=lambda task: int(task.split(".")[1])) == [f"scan.{number}" for number in range(21)]
    assert world.ran.index(SEGMENTS) > max(world.ran.index(task) for task in scans)
    assert max(Counter(world.ran).values()) == 1


def test_a_recovered_job_goes_on_behind_any_number_of_finished_chunks() -> None:
    world = LongWorld(800 * 16)
    job = world.submit()
    world.ledger.forget(job)
    for chunk in range(700):
        world.blobs.put(keys.chunk(job, chunk), b"{}")
    world.farm.recover(job)
    status = world.farm.status(job)
    assert (status.chunks_opened, status.frames_contiguous) == (704, 700 * 16)
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED


def test_the_window_follows_the_workers() -> None:
    assert [window_for(alive) for alive in (0, 1, 8, 1000)] == [4, 4, 32, 512]


def test_runs_of_a_clip_are_found_by_arithmetic_or_in_a_list() -> None:
    pictures = Media(id="p", kind="pictures", name="p", width=8, height=8, frames=35)
    assert [group_at(pictures, n).frames for n in numbers(pictures, 0, 34)] == [16, 16, 3]
    assert numbers(pictures, 15, 16) == range(2)
    with pytest.raises(IndexError):
        group_at(pictures, 3)
    groups = (Group(start=0, frames=24), Group(start=24, frames=300), Group(start=324, frames=40))
    video = Media(id="v", kind="video", name="v", blob="b", width=8, height=8, frames=364, groups=groups)
    found = [group_at(video, n) for n in numbers(video, 0, 363)]
    assert sum(run.frames for run in found) == 364
    assert [run.start for run in found][:3] == [0, 24, 62]
    for position in range(364):
        (number,) = numbers(video, position, position)
        run = group_at(video, number)
        assert run.start <= position < run.start + run.frames
