"""What people decide: pause, resume, cancel, retry."""

from __future__ import annotations

import pytest

from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import Conflict, Rejected
from farm.ports import NewTask, TaskFilter
from tests.contract.ledger_world import TTL_S, WRAP, World, chunk_tasks, detail, job_facts, names

EVERYTHING = TaskFilter()


def test_a_paused_job_gives_nothing_and_what_runs_ends_well(world: World) -> None:
    world.open(chunks=2)
    lease = world.take("plan.0")
    status = world.ledger.act("job", "pause", "lunch", "ann")
    assert (status.state, status.activity) == (JobState.PAUSED, "paused by ann: lunch")
    assert world.claim() is None
    ended = world.ledger.finish(lease, "x")
    assert (ended.accepted, ended.offers) == (True, ())
    assert world.state("paste.0") is TaskState.QUEUED
    assert world.ledger.ready("job") == ()
    world.pass_time(1000)
    assert world.ledger.sweep(10).offers == ()
    assert world.ledger.act("job", "pause", "again", "").revision == world.ledger.status("job").revision
    status = world.ledger.act("job", "resume", "", "")
    assert (status.state, status.activity) == (JobState.ACTIVE, "resumed")
    assert [offer.task for offer in world.ledger.ready("job")] == ["paste.0", "plan.1"]
    world.do("paste.0")


def test_a_job_that_never_began_is_queued_again_after_a_pause(world: World) -> None:
    world.open(chunks=1)
    world.ledger.act("job", "pause", "", "")
    assert world.ledger.act("job", "resume", "", "").state is JobState.QUEUED
    assert world.ledger.act("job", "resume", "", "").state is JobState.QUEUED


def test_a_long_pause_gives_no_claim_on_the_past(world: World) -> None:
    world.open("job1", chunks=3)
    world.ledger.act("job1", "pause", "", "")
    world.open("job2", chunks=3)
    for task in ("plan.0", "plan.1"):
        world.ledger.finish(world.take(task, "job2"), "x", seconds=100)
    world.ledger.act("job1", "resume", "", "")
    order = []
    for _ in range(3):
        lease = world.claim()
        assert lease is not None
        order.append(lease.job)
        world.ledger.finish(lease, "x", seconds=10)
    assert order == ["job1", "job2", "job1"]


def test_the_last_task_of_a_paused_job_ends_it(world: World) -> None:
    world.open(chunks=1)
    world.run_all()
    world.ledger.extend("job", [WRAP], 1)
    lease = world.take("wrap.0")
    world.ledger.act("job", "pause", "", "")
    assert world.ledger.finish(lease, "x").job_ended
    assert world.ledger.status("job").state is JobState.COMPLETED


def test_a_job_without_work_in_hand_is_canceled_at_once(world: World) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0)])
    status = world.ledger.act("job", "cancel", "wrong clip", "ann")
    assert (status.state, status.activity) == (JobState.CANCELED, "canceled by ann: wrong clip")
    assert status.ended == world.clock.now
    assert (status.counts[TaskState.CANCELED], status.counts[TaskState.COMPLETED]) == (6, 1)
    assert world.claim() is None
    assert world.ledger.sweep(0).jobs == ()
    assert world.ledger.act("job", "cancel", "", "").revision == status.revision


def test_who_works_on_a_canceled_job_is_told_and_its_end_ends_the_job(world: World) -> None:
    world.open(chunks=3)
    leases = [world.take(f"plan.{n}") for n in range(3)]
    assert world.ledger.act("job", "cancel", "", "").state is JobState.CANCEL_REQUESTED
    assert world.ledger.progress(leases[0], 1, 9) == "canceled"
    assert world.ledger.renew(leases, TTL_S) == ("canceled",) * 3
    ended = world.ledger.fail(leases[0], Outcome.CANCELED, "", None)
    assert (ended.task_state, ended.job_ended) == (TaskState.CANCELED, False)
    ended = world.ledger.finish(leases[1], "done all the same", [detail(1, 0), detail(1, 1, output="known")])
    assert (ended.task_state, ended.offers, ended.job_ended) == (TaskState.COMPLETED, (), False)
    assert world.state("detail.1.0") is TaskState.CANCELED
    assert world.state("detail.1.1") is TaskState.COMPLETED
    ended = world.ledger.fail(leases[2], Outcome.ERROR, "broken", 5.0)
    assert (ended.task_state, ended.job_ended) == (TaskState.CANCELED, True)
    assert world.ledger.status("job").state is JobState.CANCELED
    assert world.ledger.extend("job", [WRAP, *chunk_tasks(7)], 8) == ()


def test_a_lease_that_runs_out_lets_a_canceled_job_end(world: World) -> None:
    world.open(chunks=1)
    world.take("plan.0")
    world.ledger.act("job", "cancel", "", "")
    world.pass_time(TTL_S)
    swept = world.ledger.sweep(1000)
    assert (swept.expired, swept.offers) == (("job/plan.0",), ())
    assert world.state("plan.0") is TaskState.CANCELED
    assert world.ledger.status("job").state is JobState.CANCELED


def test_what_the_state_does_not_allow_is_a_conflict(world: World) -> None:
    world.open(chunks=1)
    world.take("plan.0")
    world.ledger.act("job", "cancel", "", "")
    for action in ("pause", "resume"):
        with pytest.raises(Conflict, match="being canceled"):
            world.ledger.act("job", action, "", "")
    with pytest.raises(Conflict, match="being canceled"):
        world.ledger.retry("job", EVERYTHING, "", "")
    world.open("done", chunks=1)
    world.run_all("done")
    world.ledger.extend("done", [WRAP], 1)
    world.do("wrap.0", job="done")
    for action in ("pause", "resume", "cancel"):
        with pytest.raises(Conflict, match="completed"):
            world.ledger.act("done", action, "", "")
    with pytest.raises(Rejected, match="dance"):
        world.ledger.act("done", "dance", "", "")


def test_retry_resets_what_failed_and_what_failed_with_it_and_opens_the_job(world: World) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0), detail(0, 1)])
    world.ledger.fail(world.take("detail.0.1"), Outcome.ERROR, "broken", None)
    world.run_all()
    world.ledger.extend("job", [WRAP], 2)
    world.do("wrap.0")
    assert world.ledger.status("job").state is JobState.FAILED
    count, offers = world.ledger.retry("job", EVERYTHING, "new driver", "ann")
    assert (count, names(offers)) == (3, ["detail.0.1"])
    status = world.ledger.status("job")
    assert (status.state, status.ended, status.chunks_failed) == (JobState.ACTIVE, None, 0)
    assert status.activity == "retried by ann: new driver"
    assert "wrap.0" not in world.states()
    assert world.ledger.chunk_states("job", [0, 1]) == {0: "open", 1: "done"}
    lease = world.take("detail.0.1")
    assert (lease.attempt, world.ledger.task("job", "detail.0.1").error) == (1, "")
    world.ledger.finish(lease, "x")
    world.run_all()
    assert names(world.ledger.extend("job", [WRAP], 2)) == ["wrap.0"]
    world.do("wrap.0")
    status = world.ledger.status("job")
    assert (status.state, status.chunks_done, status.tasks) == (JobState.COMPLETED, 2, 11)


def test_retried_tasks_go_first(world: World) -> None:
    world.open(chunks=3)
    world.ledger.fail(world.take("plan.2"), Outcome.ERROR, "broken", None)
    world.ledger.retry("job", EVERYTHING, "", "")
    lease = world.claim()
    assert lease is not None
    assert lease.task == "plan.2"


def test_retry_can_be_narrowed(world: World) -> None:
    world.open(chunks=3)
    for number in range(3):
        world.ledger.fail(world.take(f"plan.{number}"), Outcome.ERROR, "broken", None)
    assert names(world.ledger.retry("job", TaskFilter(chunk=1), "", "")[1]) == ["plan.1"]
    assert names(world.ledger.retry("job", TaskFilter(tasks=("plan.0",)), "", "")[1]) == ["plan.0"]
    assert world.ledger.retry("job", TaskFilter(layer="paste"), "", "") == (0, ())
    assert world.ledger.retry("job", TaskFilter(states=(TaskState.CANCELED,)), "", "") == (0, ())
    failed = TaskFilter(states=(TaskState.FAILED,), layer="plan")
    assert world.ledger.retry("job", failed, "", "")[0] == 3
    assert world.ledger.retry("job", EVERYTHING, "", "") == (0, ())


def test_a_task_with_two_failed_causes_waits_for_both(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0), detail(0, 1)])
    for index in range(2):
        world.ledger.fail(world.take(f"detail.0.{index}"), Outcome.ERROR, "broken", None)
    assert world.ledger.retry("job", TaskFilter(tasks=("detail.0.0",)), "", "")[0] == 1
    assert world.state("paste.0") is TaskState.FAILED
    assert world.ledger.retry("job", TaskFilter(tasks=("detail.0.1",)), "", "")[0] == 3
    assert world.run_all() == ["detail.0.0", "detail.0.1", "paste.0", "encode.0"]


def test_a_canceled_job_can_be_taken_up_again(world: World) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0)])
    lease = world.take("plan.1")
    world.ledger.act("job", "cancel", "", "")
    world.ledger.finish(lease, "x", [detail(1, 0)])
    count, offers = world.ledger.retry("job", EVERYTHING, "", "")
    assert (count, names(offers)) == (6, ["detail.0.0", "detail.1.0"])
    assert len(world.run_all()) == 6
    assert world.ledger.status("job").chunks_done == 2


def test_a_canceled_job_with_nothing_left_to_reset_is_opened_all_the_same(world: World) -> None:
    world.ledger.create(job_facts(chunks=3))
    world.ledger.act("job", "cancel", "", "")
    assert world.ledger.retry("job", TaskFilter(chunk=1), "", "") == (0, ())
    assert world.ledger.status("job").state is JobState.CANCELED
    assert world.ledger.retry("job", EVERYTHING, "", "") == (0, ())
    assert world.ledger.status("job").state is JobState.ACTIVE
    assert names(world.ledger.extend("job", chunk_tasks(0), 1)) == ["plan.0"]


def test_a_failed_last_task_can_be_added_again(world: World) -> None:
    world.open(chunks=1)
    world.run_all()
    world.ledger.extend("job", [WRAP], 1)
    assert world.ledger.fail(world.take("wrap.0"), Outcome.ERROR, "disk full", None).job_ended
    assert world.ledger.status("job").state is JobState.FAILED
    assert world.ledger.retry("job", EVERYTHING, "", "") == (1, ())
    assert names(world.ledger.extend("job", [WRAP], 1)) == ["wrap.0"]
    world.do("wrap.0")
    status = world.ledger.status("job")
    assert (status.state, status.counts[TaskState.FAILED]) == (JobState.COMPLETED, 0)


def test_a_last_task_that_runs_while_others_are_retried_loses_its_lease(world: World) -> None:
    world.open(chunks=1)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    world.ledger.extend("job", [WRAP], 1)
    lease = world.take("wrap.0")
    world.ledger.retry("job", EVERYTHING, "", "")
    assert world.ledger.renew([lease], TTL_S) == ("lost",)
    assert not world.ledger.finish(lease, "too early").accepted
    assert world.ledger.status("job").workers_active == 0


def test_a_task_that_was_let_on_by_a_failure_waits_again_when_that_is_retried(world: World) -> None:
    world.ledger.create(job_facts(chunks=2))
    world.ledger.extend("job", [task for n in range(2) for task in chunk_tasks(n, last=1)], 2)
    world.do("plan.0")
    assert names(world.ledger.fail(world.take("plan.1"), Outcome.ERROR, "broken", None).offers) == ["paste.0"]
    world.ledger.retry("job", EVERYTHING, "", "")
    assert world.state("paste.0") is TaskState.DEPEND
    assert names(world.do("plan.1").offers) == ["paste.0", "paste.1"]


def test_a_task_in_hand_goes_back_to_waiting_if_what_it_waited_for_was_retried(world: World) -> None:
    world.ledger.create(job_facts(chunks=2))
    world.ledger.extend("job", [task for n in range(2) for task in chunk_tasks(n, last=1)], 2)
    world.do("plan.0")
    world.ledger.fail(world.take("plan.1"), Outcome.ERROR, "broken", None)
    lease = world.take("paste.0")
    world.ledger.retry("job", EVERYTHING, "", "")
    assert world.ledger.fail(lease, Outcome.INTERRUPTED, "", None).task_state is TaskState.DEPEND
    assert names(world.do("plan.1").offers) == ["paste.0", "paste.1"]


def test_a_last_task_may_wait_for_others_and_be_added_again(world: World) -> None:
    last = NewTask("wrap.0", "encode", "cpu", final=True, waits=("encode.0", "encode.1"))
    world.ledger.create(job_facts(chunks=2))
    world.ledger.extend("job", [*chunk_tasks(0), *chunk_tasks(1), last], 2)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    assert world.ledger.status("job").state is JobState.FAILED
    world.ledger.retry("job", EVERYTHING, "", "")
    assert world.ledger.sweep(1000).jobs == ("job",)
    world.ledger.extend("job", [last], 2)
    for task in ("plan.0", "paste.0", "encode.0"):
        world.do(task)
    assert world.state("wrap.0") is TaskState.DEPEND, "it waits for the second chunk too"
    assert world.run_all(details=0)[-1] == "wrap.0"
    assert world.ledger.status("job").state is JobState.COMPLETED


def test_a_last_task_that_is_ready_while_others_are_retried_is_taken_back(world: World) -> None:
    world.open(chunks=1)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    assert names(world.ledger.extend("job", [WRAP], 1)) == ["wrap.0"]
    world.ledger.retry("job", EVERYTHING, "", "")
    assert world.run_all(details=0) == ["plan.0", "paste.0", "encode.0"]
