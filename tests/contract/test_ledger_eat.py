"""What is given up lets the others go on; chunks that are opened again are as if they had never been."""

from __future__ import annotations

import pytest

from farm.domain.state import JobState, TaskState
from farm.errors import Conflict, NotFound
from tests.contract.ledger_faults import fail, finish_all, poisoned
from tests.contract.ledger_world import TTL_S, WRAP, World, chunk_tasks, detail, names

# --- what is eaten ---


def test_an_eaten_task_lets_the_others_go_on(world: World) -> None:
    poisoned(world)
    count, offers = world.ledger.eat("job", ["detail.0.0.1"], [], [], "let it be", "ann")
    assert names(offers) == ["detail.0.0"]
    assert count == 5
    status = world.ledger.status("job")
    assert (status.state, status.activity) == (JobState.ACTIVE, "eaten by ann: let it be")
    assert (status.eaten, status.chunks_failed) == ((0,), 0)
    assert world.ledger.outputs("job", ["detail.0.0.0", "detail.0.0.1"]) == {
        "detail.0.0.0": "output of detail.0.0.0",
        "detail.0.0.1": "eaten",
    }
    lease = world.take("detail.0.0")
    assert (lease.parts, lease.amended) == (3, True)
    world.ledger.finish(lease, "without one")
    assert finish_all(world) == ["detail.0.1", "paste.0", "encode.0", "wrap.0"]
    status = world.ledger.status("job")
    assert status.state is JobState.COMPLETED
    assert status.counts[TaskState.EATEN] == 1
    assert sum(status.counts.values()) == status.tasks


def test_only_what_failed_by_itself_is_eaten(world: World) -> None:
    poisoned(world)
    before = world.ledger.status("job")
    assert world.ledger.eat("job", ["paste.0", "detail.0.0.0", "nothing"], [], [], "", "") == (0, ())
    assert world.ledger.status("job") == before


def test_a_task_that_is_not_eaten_may_be_tried_again_in_the_same_breath(world: World) -> None:
    world.open(chunks=2)
    fail(world, world.take("plan.0"), None)
    count, offers = world.ledger.eat("job", [], ["plan.0"], [], "", "")
    assert (count, names(offers)) == (3, ["plan.0"])
    assert world.take("plan.0").amended
    assert not world.take("plan.1").amended


def test_chunks_may_count_as_eaten_from_the_beginning(world: World) -> None:
    world.open(chunks=2)
    before = world.ledger.status("job").activity
    assert world.ledger.eat("job", [], [], [1], "", "") == (0, ())
    status = world.ledger.status("job")
    assert (status.eaten, status.activity) == ((1,), before)


def test_a_task_may_be_added_as_eaten(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0, output="eaten"), detail(0, 1, waits=["detail.0.0"])])
    assert world.state("detail.0.0") is TaskState.EATEN
    assert world.run_all() == ["detail.0.1", "paste.0", "encode.0"]


def test_a_canceled_job_that_has_not_ended_eats_nothing(world: World) -> None:
    world.open(chunks=1)
    world.take("plan.0")
    world.ledger.act("job", "cancel", "", "")
    with pytest.raises(Conflict):
        world.ledger.eat("job", [], [], [0], "", "")
    with pytest.raises(Conflict):
        world.ledger.reopen("job", [(0, 0, 0)], "", "")
    with pytest.raises(NotFound):
        world.ledger.eat("nothing", [], [], [], "", "")


def test_what_was_eaten_is_kept_until_the_job_is_forgotten(world: World) -> None:
    poisoned(world)
    world.ledger.eat("job", ["detail.0.0.1"], [], [], "", "")
    finish_all(world)
    world.ledger.drop("job", [0])
    assert world.state("detail.0.0.1") is TaskState.EATEN


# --- chunks that are opened again ---


def test_a_chunk_that_is_opened_again_is_as_if_it_had_never_been(world: World) -> None:
    world.open(chunks=3)
    world.run_all()
    world.ledger.extend("job", [WRAP], 3)
    world.do("wrap.0")
    before = world.ledger.status("job")
    assert (before.state, before.frames_contiguous) == (JobState.COMPLETED, 48)
    world.ledger.reopen("job", [(1, 16, 16)], "a better model", "ann")
    status = world.ledger.status("job")
    assert (status.state, status.reopened, status.activity) == (JobState.ACTIVE, (1,), "retried by ann: a better model")
    assert (status.frames_done, status.frames_contiguous, status.chunks_done) == (32, 16, 2)
    assert world.ledger.chunk_states("job", [0, 1, 2]) == {0: "done", 1: "open", 2: "done"}
    assert not {task for task in world.states() if task.split(".")[1] == "1" and task != "wrap.0"}
    world.ledger.extend("job", chunk_tasks(1), 3)
    assert world.ledger.status("job").reopened == ()
    world.run_all()
    world.ledger.extend("job", [WRAP], 3)
    world.do("wrap.0")
    after = world.ledger.status("job")
    assert (after.state, after.frames_done, after.frames_contiguous, after.chunks_done) == (
        JobState.COMPLETED,
        48,
        48,
        3,
    )
    assert sum(after.counts.values()) == after.tasks == before.tasks


def test_neighbors_are_opened_again_together(world: World) -> None:
    world.open(chunks=4)
    world.run_all()
    world.ledger.reopen("job", [(1, 16, 16), (2, 16, 32)], "", "")
    status = world.ledger.status("job")
    assert (status.frames_done, status.frames_contiguous, status.reopened) == (32, 16, (1, 2))
    world.ledger.extend("job", chunk_tasks(2), 4)
    world.run_all()
    assert world.ledger.status("job").frames_contiguous == 16
    world.ledger.extend("job", chunk_tasks(1), 4)
    world.run_all()
    status = world.ledger.status("job")
    assert (status.frames_done, status.frames_contiguous) == (64, 64)


def test_a_worker_in_a_chunk_that_is_opened_again_finds_its_lease_lost(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    world.ledger.reopen("job", [(0, 0, 0)], "", "")
    assert world.ledger.renew([lease], TTL_S) == ("lost",)
    assert world.ledger.status("job").workers_active == 0


def test_chunks_that_are_made_again_one_by_one_are_counted_once_and_where_they_lie(world: World) -> None:
    world.open(chunks=6)
    world.run_all()
    world.ledger.reopen("job", [(1, 16, 16)], "", "ann")
    world.ledger.reopen("job", [(3, 16, 48)], "", "ann")
    world.ledger.reopen("job", [(4, 16, 64)], "", "ann")
    told = []
    for chunk in (1, 4, 3):
        world.ledger.extend("job", chunk_tasks(chunk), 6)
        world.run_all()
        status = world.ledger.status("job")
        told.append((status.frames_contiguous, status.frames_done))
    assert told == [(48, 64), (48, 80), (96, 96)]
