"""Chunks that are made first, and a job that waits until somebody has looked at them."""

from __future__ import annotations

from collections import Counter

import pytest

from farm.adapters.memory_ledger import MemoryLedger
from farm.domain.state import JobState
from farm.errors import Conflict, Rejected
from farm.ports import TaskFilter
from farm.service import approval
from farm.service.approval import first_chunks
from tests.unit.service.test_farm import World

CHUNKS = 9
"""Of the world's clip in a `mask` job of 16 frames a chunk."""


def pasted(world: World) -> list[int]:
    """Chunks whose frames were made, in order."""
    return [int(task.split(".")[1]) for task in world.ran if task.startswith("paste.")]


def asked(world: World) -> int:
    """How often somebody was asked for approval."""
    return sum(event.kind == "approval.wanted" for event in world.ledger.events().events)


FOUND = {"segments": [{"name": "head", "detect": {"detector": "face"}}]}


@pytest.mark.parametrize("found", [{}, FOUND], ids=["masked", "found"])
@pytest.mark.parametrize("job_type", ["mask", "animatediff"])
def test_every_so_manieth_chunk_is_made_first_and_then_the_job_waits(job_type: str, found: dict[str, object]) -> None:
    world = World()
    changes = {"chunk": 24} if job_type == "animatediff" else {}
    job = world.submit(job_type, approve_every=3, **changes, **found)
    world.run()
    status = world.farm.status(job)
    first = list(first_chunks(world.farm.document(job)))
    assert first[:2] == [0, 3]
    assert pasted(world) == first
    assert status.state is JobState.AWAITING_APPROVAL
    assert sum(status.counts.values()) == status.tasks
    world.farm.act(job, "approve")
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert sorted(pasted(world)) == list(range(status.facts.chunks))
    assert max(Counter(world.ran).values()) == 1, "something was made twice"
    assert asked(world) == 1


def test_neighbors_of_chunks_that_fade_are_sampled_and_not_pasted() -> None:
    world = World()
    job = world.submit("animatediff", approve_every=4, chunk=24)
    world.run()
    sampled = {int(task.split(".")[1]) for task in world.ran if task.startswith("detail.")}
    assert sampled == {0, 1, 3, 4, 5}
    assert pasted(world) == [0, 4]
    assert world.farm.status(job).chunks_opened == 0


def test_no_more_than_a_window_of_first_chunks_is_in_flight() -> None:
    world = World(window=3)
    job = world.submit(approve_every=2)
    assert {task.chunk for task in world.farm.tasks(job, TaskFilter())} <= {-1, 0, 2, 4}
    world.run()
    assert pasted(world) == [0, 2, 4, 6, 8]


def test_approval_that_comes_early_lets_the_rest_in_at_once() -> None:
    world = World()
    job = world.submit(approve_every=3)
    world.run(most=4)
    world.farm.act(job, "approve", actor="ann")
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert asked(world) == 0


def test_approval_may_be_said_twice_and_only_where_it_was_asked_for() -> None:
    world = World()
    job, other = world.submit(approve_every=3), world.submit()
    world.run()
    for _ in range(2):
        world.farm.act(job, "approve")
    assert len(list(world.blobs.list(f"jobs/{job}/decisions/"))) == 1
    with pytest.raises(Conflict, match="asks for no approval"):
        world.farm.act(other, "approve")


@pytest.mark.parametrize("approved", [False, True])
def test_a_lost_ledger_remembers_whether_the_job_was_approved(approved: bool) -> None:
    world = World()
    job = world.submit(approve_every=3)
    world.run()
    if approved:
        world.farm.act(job, "approve")
        world.run(most=5)
    made = list(world.ran)
    for chunk in {int(task.split(".")[1]) for task in made if task.startswith("paste.")}:
        world.blobs.put(f"jobs/{job}/chunks/{chunk:06}.json", b'{"core_frames": 16}')
    world.farm.ledger = world.ledger = MemoryLedger()
    status = world.farm.recover(job)
    assert status.state is (JobState.QUEUED if approved else JobState.AWAITING_APPROVAL)
    if not approved:
        world.farm.act(job, "approve")
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    assert sorted(pasted(world)) == list(range(CHUNKS))


def test_a_lost_ledger_goes_on_with_the_first_chunks() -> None:
    world = World()
    job = world.submit(approve_every=3)
    world.blobs.put(f"jobs/{job}/chunks/000003.json", b'{"core_frames": 16}')
    world.farm.ledger = world.ledger = MemoryLedger()
    world.farm.recover(job)
    world.run()
    assert pasted(world) == [0, 6]
    assert world.farm.status(job).state is JobState.AWAITING_APPROVAL


def test_a_job_of_which_nothing_would_be_left_does_not_wait() -> None:
    world = World()
    job = world.submit(approve_every=2, chunk=132)
    assert "has no effect" in world.farm.document(job).warnings[-1]
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED


def test_more_first_chunks_than_anybody_looks_at_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval, "FIRST_MAX", 40)
    world = World()
    with pytest.raises(Rejected, match="66 of 132 chunks made first; 40 is the most"):
        world.submit(approve_every=2, chunk=1)
    assert len(first_chunks(world.farm.document(world.submit(approve_every=4, chunk=1)))) == 33
