"""Garbage collection: nothing that a kept job refers to goes, and all else does, however often it is killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from farm.adapters.file_blobs import FileBlobs
from farm.adapters.media import admit_path, limits_of
from farm.adapters.pictures import encode_png
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.like import LikeRequest
from farm.domain.state import JobState
from farm.errors import Conflict, NotFound
from farm.ports import JobStatus, Ledger
from farm.service.documents import Documents
from farm.service.gc import Collected, GcRequest, collect, remove_job
from farm.service.marks import Marks, mark_keys, mark_pictures, short
from farm.settings import Settings
from tests.bench.clips import draw_clip, draw_masks
from tests.bench.incremental import Bench, request

FRAMES = 24


class Killed(Exception):
    """The process was killed."""


class Mortal:
    """A store whose user dies after so many calls that remove something."""

    def __init__(self, blobs: FileBlobs, calls: int) -> None:
        self._blobs = blobs
        self._left = calls

    def delete(self, names: Iterable[str]) -> None:
        """Half of the names, and then the end."""
        found = list(names)
        self._left -= bool(found)
        if self._left < 0:
            self._blobs.delete(found[: len(found) // 2])
            raise Killed
        self._blobs.delete(found)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._blobs, name)


class Played(Bench):
    """Two jobs of one clip, with another prompt for one segment, and one of another clip. Made once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        clips = [
            self.farm.admit(draw_clip(folder / name, FRAMES, frozenset(other)))
            for name, other in (("a", ()), ("b", range(FRAMES)))
        ]
        masks = {name: self.farm.admit(path) for name, path in draw_masks(folder / "masks").items()}
        self.first = self.run(request(clips[0], masks, JobType.MASK)).id
        changed = LikeRequest(like=self.first, set={"segments.cup.prompt": "a glass"})
        self.second = self.run(changed).id
        self.third = self.run(request(clips[1], masks, JobType.MASK)).id
        self.store = folder / "store"


class Book:
    """What a ledger says of jobs that it was told of, until it is to forget them."""

    def __init__(self, statuses: Iterable[JobStatus]) -> None:
        self._statuses = {status.facts.id: status for status in statuses}

    def status(self, job: str) -> JobStatus:
        """Raises NotFound."""
        if job not in self._statuses:
            raise NotFound(job)
        return self._statuses[job]

    def forget(self, job: str) -> None:
        """Remove a job."""
        self._statuses.pop(job, None)

    def change(self, job: str, **more: Any) -> None:  # noqa: ANN401 - fields of JobStatus
        """Have another state of a job."""
        self._statuses[job] = replace(self._statuses[job], **more)


class World:
    """A copy of the store in which they lie."""

    def __init__(self, played: Played, folder: Path) -> None:
        shutil.copytree(played.store, folder)
        self.blobs = FileBlobs(folder)
        self.first, self.second, self.third = played.first, played.second, played.third
        self.book = Book(played.farm.farm.jobs())
        self.ledger = cast(Ledger, self.book)

    def collect(self, blobs: Any = None, **more: Any) -> Collected:  # noqa: ANN401 - a store, fields of GcRequest
        asked = GcRequest(**{"now": time.time() + 1, "grace_s": 0.0, **more})
        return collect(asked, blobs or self.blobs, self.ledger, lambda kind, seen: None)

    def names(self, prefix: str = "") -> set[str]:
        """All objects but models, and what this machine keeps of them."""
        return {name for name in self.blobs.list(prefix) if not name.startswith(("models/", "cache/"))}

    def whole(self, job: str) -> bool:
        """Whether all is there that a job's plans name, and that was ingested for it."""
        documents = Documents(self.blobs)
        marks = Marks()
        mark_pictures(documents.job(job), documents, marks)
        mark_keys(job, self.blobs, marks)
        there = {
            kind: {short(n.split("/")[1]) for n in self.names(f"{kind}/")} for kind in ("done", "patches", "frames")
        }
        return not marks.reading and marks.keys <= there["done"] & there["patches"] and marks.frames <= there["frames"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    found = Played(tmp_path_factory.mktemp("played"))
    yield found
    found.farm.close()


@pytest.fixture
def world(played: Played, tmp_path: Path) -> World:
    return World(played, tmp_path / "store")


def test_where_all_jobs_are_kept_nothing_is_garbage(world: World) -> None:
    before = world.names()
    assert world.collect().objects == {}
    assert world.names() == before


def test_a_dry_run_tells_what_a_run_removes_and_removes_nothing(world: World) -> None:
    before = world.names()
    foretold = world.collect(jobs=(world.first, world.third), dry_run=True)
    assert world.names() == before
    done = world.collect(jobs=(world.first, world.third))
    assert (done.objects, done.bytes, done.jobs) == (foretold.objects, foretold.bytes, foretold.jobs)
    assert sum(done.objects.values()) == len(before - world.names())
    assert set(done.objects) == {"jobs", "done", "patches", "ingest", "frames", "media"}


def test_what_another_job_shares_stays_and_is_not_made_again(world: World) -> None:
    collected = world.collect(jobs=(world.first,))
    assert collected.objects["patches"] == 2  # the cup of two chunks
    assert world.whole(world.second)
    assert not world.names(f"jobs/{world.first}/")
    with pytest.raises(NotFound):
        world.ledger.status(world.first)


def test_killed_at_any_point_and_run_again_it_ends_the_same(played: Played, tmp_path: Path) -> None:
    ends = []
    for calls in range(20):
        world = World(played, tmp_path / str(calls))
        try:
            world.collect(Mortal(world.blobs, calls), jobs=(world.first, world.third))
            break
        except Killed:
            assert world.whole(world.second)
            left = [job for job in (world.first, world.third) if world.names(f"jobs/{job}/")]
            world.collect(jobs=tuple(left))
            ends.append(world.names())
    else:
        pytest.fail("it was killed at every point")
    assert all(end == world.names() for end in ends)
    assert len(ends) > 5
    assert world.whole(world.second)


def test_outputs_may_be_kept_without_what_they_were_made_of(world: World) -> None:
    frames = {name: world.blobs.get(name) for name in world.names(f"jobs/{world.third}/frames/")}
    world.collect(jobs=(world.third,), keep_outputs=True)
    assert {name: world.blobs.get(name) for name in frames} == frames
    assert world.blobs.exists(keys.manifest(world.third))
    assert not world.names(f"jobs/{world.third}/plans/")
    left = world.names()
    assert world.collect().objects == {}
    assert world.names() == left
    assert world.ledger.status(world.third).facts.id == world.third


def test_jobs_go_by_the_time_since_their_end(world: World) -> None:
    assert world.collect(older_than_s=3600.0, dry_run=True).jobs == []
    later = time.time() + 7200
    assert len(world.collect(now=later, older_than_s=3600.0, dry_run=True).jobs) == 3


def test_what_is_young_is_left_alone(world: World) -> None:
    remove_job(world.third, world.blobs, world.ledger)
    assert world.collect(grace_s=3600.0).objects == {}
    assert world.collect().objects["patches"] > 0


def test_a_job_that_has_not_ended_is_not_removed_and_keeps_all_that_it_may_need(world: World) -> None:
    world.book.change(world.third, state=JobState.ACTIVE, ended=None)
    with pytest.raises(Conflict, match="Cancel it first"):
        world.collect(jobs=(world.third,))
    with pytest.raises(NotFound):
        world.collect(jobs=("nobody",))
    world.collect(jobs=(world.first, world.second), older_than_s=0.0, now=time.time() + 9)
    assert world.whole(world.third)


def test_frames_are_left_alone_while_a_job_reads_its_pictures(world: World) -> None:
    world.book.change(world.third, state=JobState.ACTIVE, ended=None)
    world.blobs.delete(list(world.blobs.list("ingest/"))[:9])
    frames = world.names("frames/")
    found = world.collect(jobs=(world.first, world.second))
    assert world.third in found.notes[0]
    assert world.names("frames/") == frames
    assert "ingest" not in found.objects
    assert found.objects["patches"] > 0


def test_uploads_that_no_job_reads_go_with_their_bytes(world: World, tmp_path: Path) -> None:
    limits = limits_of(Settings.read())
    shared = admit_path(draw_clip(tmp_path / "shared", 3), world.blobs, limits).id
    (tmp_path / "unused.png").write_bytes(encode_png(np.full((4, 4), 9, np.uint8)))
    unused = admit_path(tmp_path / "unused.png", world.blobs, limits).id
    before = len(world.names("media/"))
    assert world.collect(dry_run=True).objects["media"] == world.collect().objects["media"] == 3
    assert len(world.names("media/")) == before - 3  # two documents, and the bytes of one
    assert not any(world.blobs.exists(keys.media_doc(each)) for each in (unused, shared))
    assert world.whole(world.first)
