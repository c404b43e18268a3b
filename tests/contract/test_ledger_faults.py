"""Faults: workers that fail are left out, tasks that fail go to others and are split."""

from __future__ import annotations

import pytest

from farm.adapters.ledger_rules import WITHHELD_S
from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import NotFound
from farm.ports import Blocked, Offer, WorkerStatus
from tests.contract.ledger_faults import beat, block, fail, parts_of, poisoned, split
from tests.contract.ledger_world import CPU, GPU, World, detail, names

# --- workers that fail ---


def test_a_worker_that_fails_three_tasks_of_a_kind_gets_no_more_of_it(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=5)
    failed = block(world, "w1")
    assert world.ledger.status("job").blocked == (Blocked("w1", "plan", tuple(failed)),)
    assert world.claim(worker="w1") is None
    taken = world.claim(worker="w2")
    assert taken is not None
    world.ledger.finish(taken, "plan")
    other = world.claim(worker="w1")
    assert other is not None
    assert other.kind == "paste", "other kinds it may have"


def test_a_block_is_of_one_job(world: World) -> None:
    beat(world, "w1", "w2")
    world.open("job1", chunks=5)
    block(world, "w1")
    world.open("job2", chunks=1)
    lease = world.claim(worker="w1")
    assert lease is not None
    assert lease.job == "job2"


def test_one_task_that_fails_often_blocks_nobody(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=2, max_attempts=9)
    for _ in range(5):
        fail(world, world.take("plan.0", worker="w1"))
        world.pass_time(WITHHELD_S)
        world.ledger.sweep(1000)
    assert world.ledger.status("job").blocked == ()


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.LOST, Outcome.SUPERSEDED])
def test_what_is_not_the_workers_fault_does_not_count(outcome: Outcome, world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=5)
    for _ in range(5):
        lease = world.claim(worker="w1")
        assert lease is not None
        world.ledger.fail(lease, outcome, "", 100.0)
    assert world.ledger.status("job").blocked == ()


def test_a_wrong_input_does_not_count_against_the_worker(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=5)
    for _ in range(4):
        fail(world, world.claim(worker="w1"), None)
    assert world.ledger.status("job").blocked == ()
    assert world.claim(worker="w1") is not None


def test_where_all_are_blocked_they_are_tried_all_the_same_and_it_is_said(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=8)
    for worker in ("w1", "w2"):
        block(world, worker)
    assert {entry.worker for entry in world.ledger.status("job").blocked} == {"w1", "w2"}
    assert world.claim(worker="w1") is not None


@pytest.mark.parametrize("others", [[], ["draining"], ["cpu"]])
def test_a_worker_is_better_than_none(others: list[str], world: World) -> None:
    beat(world, "w1")
    if others == ["draining"]:
        beat(world, "w2", draining=True)
    if others == ["cpu"]:
        world.ledger.beat(WorkerStatus("w2", "host", 1, (GPU,), "cpu", seen=0), 3600)
    world.open(chunks=5)
    block(world, "w1")
    assert world.claim(worker="w1") is not None


def test_a_block_can_be_lifted(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=5)
    block(world, "w1")
    assert world.ledger.unblock("job", "w2", "", "") == 0
    assert world.claim(worker="w1") is None
    assert world.ledger.unblock("job", "w1", "a new cable", "ann") == 1
    assert world.ledger.status("job").activity == "workers unblocked by ann: a new cable"
    assert world.ledger.status("job").blocked == ()
    assert world.claim(worker="w1") is not None
    with pytest.raises(NotFound):
        world.ledger.unblock("nothing", "", "", "")


def test_what_failed_on_several_workers_is_no_fault_of_theirs(world: World) -> None:
    beat(world, "w1", "w2", "w3", "w4")
    world.open(chunks=5, max_attempts=3)
    for number in range(3):
        for worker in ("w1", "w2", "w3"):
            fail(world, world.take(f"plan.{number}", worker=worker))
        assert world.state(f"plan.{number}") is TaskState.FAILED
    assert world.ledger.status("job").blocked == ()
    assert world.claim(worker="w1") is not None


def test_an_offer_that_reached_the_wrong_worker_is_sent_again_soon(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=1)
    fail(world, world.take("plan.0", worker="w1"))
    world.pass_time(1)
    assert world.ledger.sweep(30).offers == ()
    assert world.claim(worker="w1", prefer=Offer("job", "plan.0", "plan", CPU)) is None
    assert names(world.ledger.sweep(30).offers) == ["plan.0"]
    assert world.ledger.sweep(30).offers == ()


# --- tasks that fail ---


def test_a_task_that_failed_goes_to_another_worker(world: World) -> None:
    beat(world, "w1", "w2", "w3")
    world.open(chunks=2)
    fail(world, world.take("plan.0", worker="w1"))
    mine = world.claim(worker="w1")
    assert mine is not None
    assert mine.task == "plan.1"
    fail(world, world.take("plan.0", worker="w2"))
    assert world.claim(worker="w1") is None
    assert world.claim(worker="w2") is None
    fail(world, world.take("plan.0", worker="w3"))
    task = world.ledger.task("job", "plan.0")
    assert task.state is TaskState.FAILED
    assert [attempt["worker"] for attempt in task.history] == ["w1", "w2", "w3"]


def test_with_one_worker_it_fails_after_as_many_attempts(world: World) -> None:
    beat(world, "w1")
    world.open(chunks=1)
    for _ in range(3):
        fail(world, world.take("plan.0", worker="w1"))
    assert world.state("plan.0") is TaskState.FAILED


def test_it_is_not_kept_for_others_for_ever(world: World) -> None:
    beat(world, "w1", "busy")
    world.open(chunks=1)
    fail(world, world.take("plan.0", worker="w1"))
    assert world.claim(worker="w1") is None
    world.pass_time(WITHHELD_S)
    assert world.claim(worker="w1") is not None


def test_a_task_that_is_split_waits_for_its_parts_and_is_run_again(world: World) -> None:
    offers = split(world)
    assert names(offers) == ["detail.0.0.0", "detail.0.0.1", "detail.0.0.2"]
    assert world.state("detail.0.0") is TaskState.DEPEND
    for number in range(3):
        world.do(f"detail.0.0.{number}")
    lease = world.take("detail.0.0")
    assert (lease.parts, lease.attempt) == (3, 1)
    ended = world.ledger.finish(lease, "put together")
    assert names(ended.offers) == ["detail.0.1"]
    assert world.run_all() == ["detail.0.1", "paste.0", "encode.0"]


def test_parts_that_are_known_need_not_be_run(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0)])
    parts = [part._replace(output="known") for part in parts_of("detail.0.0", 2)]
    ended = world.ledger.fail(world.take("detail.0.0"), Outcome.ERROR, "no", 5.0, parts=parts)
    assert names(ended.offers) == ["detail.0.0"]
    assert world.take("detail.0.0").parts == 2


def test_a_task_that_was_split_before_is_added_so(world: World) -> None:
    world.open(chunks=1)
    parts = parts_of("detail.0.0", 2)
    whole = detail(0, 0, waits=[part.id for part in parts])._replace(parts=2)
    world.do("plan.0", [*parts, whole])
    for part in parts:
        world.do(part.id)
    assert world.take("detail.0.0").parts == 2


def test_one_bad_part_fails_its_chunk_and_no_other_part(world: World) -> None:
    poisoned(world)
    states = world.states()
    failed = {task for task, state in states.items() if state is TaskState.FAILED}
    assert failed == {"detail.0.0.1", "detail.0.0", "detail.0.1", "paste.0", "encode.0"}
    assert world.ledger.status("job").state is JobState.FAILED


def test_a_split_does_not_count_against_who_failed(world: World) -> None:
    beat(world, "w1", "w2")
    world.open(chunks=1)
    world.do("plan.0", [detail(0, k) for k in range(4)])
    for number in range(4):
        fail(world, world.take(f"detail.0.{number}", worker="w1"))
        lease = world.take(f"detail.0.{number}", worker="w2")
        world.ledger.fail(lease, Outcome.ERROR, "no", 5.0, parts=parts_of(lease.task, 2))
    assert world.ledger.status("job").blocked == ()
