"""A job of which somebody wants to see some chunks before the others are made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import Conflict
from farm.ports import TaskFilter
from tests.contract.ledger_world import World, chunk_tasks, job_facts

LOOKED_AT = (0, 2)


def begin(world: World) -> None:
    """A job of four chunks, of which two are made first."""
    world.ledger.create(replace(job_facts(chunks=4), trial=len(LOOKED_AT)))
    world.ledger.extend("job", [task for chunk in LOOKED_AT for task in chunk_tasks(chunk)], 0)


def rest(world: World) -> None:
    """Open the others."""
    world.ledger.extend("job", [task for chunk in range(4) for task in chunk_tasks(chunk)], 4)


def state(world: World) -> JobState:
    """The job's."""
    return world.ledger.status("job").state


def asked(world: World) -> int:
    """How often somebody was asked for approval."""
    return sum(event.kind == "approval.wanted" for event in world.ledger.events().events)


def test_a_job_waits_when_the_chunks_to_look_at_have_ended(world: World) -> None:
    begin(world)
    for chunk in LOOKED_AT:
        assert state(world) is not JobState.AWAITING_APPROVAL
        for task in chunk_tasks(chunk)[:1] + chunk_tasks(chunk)[2:]:
            world.do(task.id, frames=16 if task.kind == "paste" else 0)
    status = world.ledger.status("job")
    assert status.state is JobState.AWAITING_APPROVAL
    assert sum(status.counts.values()) == status.tasks == 6
    assert (status.chunks_done, status.trial, asked(world)) == (2, 2, 1)
    assert world.claim() is None


def test_approval_lets_the_job_go_on_to_its_end(world: World) -> None:
    begin(world)
    world.run_all()
    status = world.ledger.act("job", "approve", "fine", "ann")
    assert (status.state, status.trial, status.activity) == (JobState.ACTIVE, 0, "approved by ann: fine")
    rest(world)
    done = world.run_all()
    assert sorted({int(task.split(".")[1]) for task in done}) == [1, 3]
    assert world.ledger.status("job").chunks_done == 4
    assert asked(world) == 1
    # Once more changes nothing.
    before = world.ledger.status("job")
    assert world.ledger.act("job", "approve", "", "") == before


def test_approval_may_come_before_it_is_asked_for(world: World) -> None:
    begin(world)
    world.ledger.act("job", "approve", "", "ann")
    rest(world)
    world.run_all()
    assert world.ledger.status("job").chunks_done == 4
    assert asked(world) == 0


def test_a_job_that_was_paused_waits_once_it_is_resumed(world: World) -> None:
    begin(world)
    last = "encode.2"
    while (lease := world.claim()) is not None and lease.task != last:
        world.ledger.finish(lease, "output")
    assert lease is not None
    world.ledger.act("job", "pause", "", "")
    world.ledger.finish(lease, "output")
    assert (state(world), asked(world)) == (JobState.PAUSED, 0)
    world.ledger.act("job", "resume", "", "")
    assert (state(world), asked(world)) == (JobState.AWAITING_APPROVAL, 1)


def test_a_job_that_waits_can_be_canceled_and_opened_again(world: World) -> None:
    begin(world)
    world.run_all()
    assert world.ledger.act("job", "cancel", "not like this", "ann").state is JobState.CANCELED
    with pytest.raises(Conflict, match="nothing left to approve"):
        world.ledger.act("job", "approve", "", "")
    world.ledger.retry("job", TaskFilter(), "", "")
    assert (state(world), asked(world)) == (JobState.AWAITING_APPROVAL, 2)


def test_a_job_that_waits_is_not_paused(world: World) -> None:
    begin(world)
    world.run_all()
    with pytest.raises(Conflict, match="awaits approval"):
        world.ledger.act("job", "pause", "", "")


def test_what_failed_of_the_first_chunks_is_tried_again_before_anybody_approves(world: World) -> None:
    begin(world)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    world.run_all()
    assert (state(world), world.ledger.status("job").chunks_failed) == (JobState.AWAITING_APPROVAL, 1)
    world.ledger.retry("job", TaskFilter(states=(TaskState.FAILED,)), "", "")
    assert state(world) is JobState.ACTIVE
    world.run_all()
    status = world.ledger.status("job")
    assert (status.state, status.chunks_done, status.chunks_failed) == (JobState.AWAITING_APPROVAL, 2, 0)
    assert asked(world) == 2


def test_a_recovered_job_whose_first_chunks_are_done_waits_at_once(world: World) -> None:
    facts = replace(job_facts(chunks=4), trial=2)
    world.ledger.create(facts, [(0, 16), (2, 16)], recovered=True)
    assert (state(world), asked(world)) == (JobState.AWAITING_APPROVAL, 1)
    assert world.ledger.act("job", "approve", "", "").state is JobState.QUEUED
