"""The service over twins in memory: a job's life without a pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.domain import keys
from farm.domain.job import JobRequest
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import Conflict, NotFound, Unavailable
from farm.ports import Lease, NewTask, Offer, TaskFilter
from farm.service.documents import compact
from farm.service.farm import Bounds, Clock, Farm
from farm.service.rebuild import stored_jobs

FRAMES = 132


class Sent:
    """A queue that remembers."""

    def __init__(self) -> None:
        self.offers: list[Offer] = []

    def send(self, offers: Sequence[Offer]) -> None:
        self.offers.extend(offers)


class World:
    """A farm in memory and a worker that does nothing but finish."""

    def __init__(self, window: int = 4) -> None:
        self.blobs, self.ledger, self.queue = MemoryBlobs(), MemoryLedger(), Sent()
        ids = iter(f"job{n}" for n in range(100))
        ticks = iter(f"2026-01-01T00:00:00.{n:06d}+00:00" for n in range(1000))
        clock = Clock(new_id=lambda: next(ids), now=lambda: next(ticks))
        self.farm = Farm(self.blobs, self.ledger, self.queue, clock, engine="fake-1", bounds=Bounds(window))
        for name, frames in {"clip": FRAMES, "head": FRAMES, "one": 1}.items():
            media = Media(id=f"{name}{'0' * 12}", kind="pictures", name=name, width=64, height=36, frames=frames)
            self.blobs.put(keys.media_doc(media.id), media.model_dump_json().encode())
        ref = ModelRef(name="demo", hash="0" * 64, has_motion=True)
        self.blobs.put("models/names/demo.json", ref.model_dump_json().encode())
        self.ran: list[str] = []
        self.details = 2
        """Detail tasks of each chunk."""

    def request(self, job_type: str = "mask", **changes: object) -> JobRequest:
        uri = "upload:{}000000000000".format
        values: dict[str, object] = {
            "type": job_type,
            "input": {"uri": uri("clip")},
            "segments": [{"name": "head", "mask": uri("head")}],
            "outputs": [],
        }
        return JobRequest.model_validate(values | changes)

    def submit(self, job_type: str = "mask", **changes: object) -> str:
        return self.farm.submit(self.request(job_type, **changes)).facts.id

    def run(self, most: int = 10_000, fail: str = "") -> None:
        """Claim and finish until nothing is ready; `fail` is a task that is rejected."""
        while most and (lease := self.ledger.claim("w", ["cpu", "gpu.0"], None, 15)) is not None:
            most -= 1
            self.ran.append(lease.task)
            if lease.task == fail:
                ended = self.ledger.fail(lease, Outcome.ERROR, "cannot be read", None)
            else:
                ended = self.ledger.finish(lease, f"out/{lease.task}", self._found(lease), self._frames(lease))
            if ended.chunk_ended and not ended.job_ended:
                self.farm.advance(lease.job)

    def _found(self, lease: Lease) -> list[NewTask]:
        if lease.kind != "plan":
            return []
        feeds = (f"patched.{lease.chunk}",)
        return [
            NewTask(f"detail.{lease.chunk}.{i}", "detail", "gpu.0", lease.chunk, "detail:head", f"k{i}", feeds=feeds)
            for i in range(self.details)
        ]

    def _frames(self, lease: Lease) -> int:
        if lease.kind != "paste":
            return 0
        frames = min(16, FRAMES - lease.chunk * 16)
        record = {"chunk": lease.chunk, "core_frames": frames}
        self.blobs.put(keys.chunk(lease.job, lease.chunk), compact(record))
        return frames


@pytest.mark.parametrize("job_type", ["mask", "animatediff"])
def test_a_job_runs_to_its_end_and_every_task_runs_once(job_type: str) -> None:
    world = World()
    job = world.submit(job_type)
    world.run()
    status = world.farm.status(job)
    assert status.state is JobState.COMPLETED
    assert max(Counter(world.ran).values()) == 1
    assert status.counts[TaskState.COMPLETED] == status.tasks == len(world.ran)
    assert status.chunks_done == status.facts.chunks == (9 if job_type == "mask" else 3)


def test_only_a_window_of_chunks_has_tasks_at_a_time() -> None:
    world = World(window=3)
    job = world.submit()
    assert world.farm.status(job).chunks_opened == 3
    while world.farm.status(job).state is not JobState.COMPLETED:
        world.run(most=1)
        status = world.farm.status(job)
        assert status.chunks_opened - status.chunks_done <= 3
        assert sum(status.counts.values()) == status.tasks


def test_rows_of_ended_chunks_are_dropped() -> None:
    world = World(window=3)
    job = world.submit()
    world.run()
    kept = {task.chunk for task in world.farm.tasks(job, TaskFilter(), limit=1000)}
    assert 1 not in kept


def test_a_chunk_that_fails_leaves_the_others_alone() -> None:
    world = World()
    job = world.submit()
    world.run(fail="plan.4")
    status = world.farm.status(job)
    assert status.state is JobState.FAILED
    assert (status.chunks_done, status.chunks_failed) == (8, 1)
    assert world.farm.task(job, "plan.4").error == "cannot be read"


def test_retry_runs_what_failed_and_nothing_else() -> None:
    world = World()
    job = world.submit()
    world.run(fail="plan.4")
    before = len(world.ran)
    assert world.farm.retry(job) > 0
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert sorted(world.ran[before:]) == ["detail.4.0", "detail.4.1", "paste.4", "plan.4", "wrap.0"]


def test_a_failed_neighbor_does_not_hold_an_animatediff_chunk_up() -> None:
    world = World()
    job = world.submit("animatediff")
    world.run(fail="plan.1")
    status = world.farm.status(job)
    assert status.state is JobState.FAILED
    assert (status.chunks_done, status.chunks_failed) == (2, 1)


def test_a_lost_ledger_is_rebuilt_and_finished_chunks_do_not_run_again() -> None:
    world = World()
    job = world.submit()
    world.run(most=40)
    done = world.farm.status(job).chunks_done
    assert 0 < done < 9
    world.ledger.forget(job)
    world.ran.clear()
    world.farm.recover(job)
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert len([task for task in world.ran if task.startswith("paste")]) == 9 - done


def test_a_canceled_job_is_still_canceled_after_recovery() -> None:
    world = World()
    job = world.submit()
    world.run(most=5)
    world.farm.act(job, "cancel", "enough", "me")
    world.ledger.forget(job)
    assert world.farm.recover(job).state is JobState.CANCELED


def test_a_paused_job_runs_nothing_until_it_is_resumed() -> None:
    world = World()
    job = world.submit()
    world.farm.act(job, "pause")
    world.run()
    assert world.ran == []
    world.queue.offers.clear()
    world.farm.act(job, "resume")
    assert world.queue.offers
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED


def test_decisions_count_in_the_order_in_which_they_were_taken_whosever_clock_is_wrong() -> None:
    world = World()
    job = world.submit()
    ahead = iter(f"2026-01-01T00:10:00.{n:06d}+00:00" for n in range(10))
    elsewhere = Farm(
        world.blobs, world.ledger, world.queue, Clock(lambda: "none", lambda: next(ahead)), engine="fake-1"
    )
    elsewhere.act(job, "pause")
    for decide in (world.farm.act, elsewhere.act, world.farm.act):
        decide(job, "resume")
        decide(job, "pause")
    world.farm.act(job, "resume")
    world.ledger.forget(job)
    assert world.farm.recover(job).state is JobState.QUEUED


def test_a_decision_that_is_refused_leaves_no_trace() -> None:
    world = World()
    job = world.submit()
    world.run()
    with pytest.raises(Conflict):
        world.farm.act(job, "pause")
    assert not list(world.blobs.list(f"jobs/{job}/decisions/"))


def test_an_idempotency_key_gives_the_same_job_and_refuses_another_request() -> None:
    world = World()
    first = world.farm.submit(world.request(), idempotency_key="k")
    again = world.farm.submit(world.request(), idempotency_key="k")
    assert first.facts.id == again.facts.id
    with pytest.raises(Conflict, match="was used for another request"):
        world.farm.submit(world.request(name="other"), idempotency_key="k")
    assert len(world.farm.jobs()) == 1


@pytest.mark.parametrize("died_before", ["put", "create"])
def test_a_submission_whose_process_died_becomes_one_job_when_it_is_repeated(
    died_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    with monkeypatch.context() as dying:

        def die(*_: object) -> None:
            raise Unavailable("killed")

        dying.setattr(world.blobs if died_before == "put" else world.ledger, died_before, die)
        with pytest.raises(Unavailable):
            world.farm.submit(world.request(), idempotency_key="k")
    job = world.farm.submit(world.request(), idempotency_key="k").facts.id
    assert world.farm.submit(world.request(), idempotency_key="k").facts.id == job
    assert list(stored_jobs(world.blobs)) == [job]
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED


def test_a_submission_that_dies_early_leaves_nothing_that_a_recovery_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with monkeypatch.context() as dying:

        def die(*_: object) -> str:
            raise Unavailable("killed")

        dying.setattr(world.ledger, "remember", die)
        with pytest.raises(Unavailable):
            world.farm.submit(world.request(), idempotency_key="k")
    assert list(stored_jobs(world.blobs)) == []


def test_what_is_not_there_is_said_to_be_missing() -> None:
    world = World()
    with pytest.raises(NotFound):
        world.farm.status("nope")
    with pytest.raises(NotFound, match="no model 'sdxl' on this farm; it has: demo"):
        world.submit(model="sdxl")
    with pytest.raises(NotFound, match="no upload 'zzz'"):
        world.submit(input={"uri": "upload:zzz"})
