"""Attempts: leases and their fences, losses, retries, what a sweep puts right; and the workers that make them."""

from __future__ import annotations

import pytest

from farm.adapters.ledger_rules import LOSSES_MAX
from farm.domain.state import Outcome, TaskState
from farm.errors import Rejected
from farm.ports import NewTask
from tests.contract.ledger_world import CPU, GPU, START_S, TTL_S, WRAP, World, detail, job_facts, names


def test_a_finish_that_is_sent_twice_counts_once(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    first = world.ledger.finish(lease, "plan", [detail(0, 0)], seconds=1.0)
    before = world.ledger.status("job")
    again = world.ledger.finish(lease, "another plan", [detail(0, 9)], frames=99, seconds=50.0)
    assert (first.accepted, again.accepted) == (True, True)
    assert (again.offers, again.task_state) == ((), TaskState.COMPLETED)
    assert world.ledger.status("job") == before
    assert world.ledger.outputs("job", ["plan.0"]) == {"plan.0": "plan"}


def test_a_repeated_finish_still_says_what_it_led_to(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0")
    world.do("paste.0", frames=16)
    lease = world.take("encode.0")
    world.ledger.finish(lease, "video")
    assert world.ledger.finish(lease, "video").chunk_ended
    world.ledger.extend("job", [WRAP], 1)
    lease = world.take("wrap.0")
    world.ledger.finish(lease, "manifest")
    assert world.ledger.finish(lease, "manifest").job_ended


def test_an_old_fence_changes_nothing(world: World) -> None:
    world.open(chunks=1)
    old = world.take("plan.0", worker="zombie")
    world.pass_time(TTL_S)
    assert world.ledger.sweep(1000).expired == ("job/plan.0",)
    new = world.take("plan.0", worker="w2")
    assert old.fence != new.fence
    before = world.ledger.status("job")
    assert not world.ledger.finish(old, "late", [detail(0, 0)], frames=5).accepted
    assert not world.ledger.fail(old, Outcome.ERROR, "late", None).accepted
    assert world.ledger.renew([old, new], TTL_S) == ("lost", "ok")
    assert world.ledger.progress(old, 3, 10) == "lost"
    assert world.ledger.status("job") == before
    assert world.ledger.finish(new, "in time").accepted


def test_a_lease_lasts_as_long_as_it_is_renewed(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    for _ in range(5):
        world.pass_time(TTL_S - 1)
        assert world.ledger.renew([lease], TTL_S) == ("ok",)
        assert world.ledger.sweep(1000).expired == ()
    assert world.ledger.renew([], TTL_S) == ()
    world.pass_time(TTL_S)
    assert world.ledger.sweep(1000).expired == ("job/plan.0",)


def test_a_lease_that_ran_out_holds_until_somebody_noticed(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    world.pass_time(TTL_S * 3)
    assert world.ledger.finish(lease, "late, but nobody else began").accepted


def test_a_lost_task_goes_back_to_the_front_and_is_offered(world: World) -> None:
    world.open(chunks=3)
    lease = world.take("plan.2")
    world.pass_time(TTL_S)
    swept = world.ledger.sweep(1000)
    assert names(swept.offers) == ["plan.2"]
    again = world.claim()
    assert again is not None
    assert (again.task, again.attempt) == ("plan.2", 1), "a loss uses up no attempt"
    history = world.ledger.task("job", "plan.2").history
    assert history == (
        {
            "worker": "w1",
            "started": START_S,
            "ended": START_S + TTL_S,
            "outcome": "lost",
            "error": "the lease of w1 ran out",
        },
    )
    assert lease.fence != again.fence


def test_a_job_pays_for_a_lost_worker_only_as_long_as_that_was_heard_of(world: World) -> None:
    """Else its lost task, which others wait for, would come after a lease's worth of other jobs' tasks."""
    world.open("a", chunks=1)
    world.open("b", chunks=1)
    lease = world.take("plan.0", job="a")
    world.pass_time(TTL_S)
    world.ledger.sweep(1000)
    again = world.claim()
    assert again is not None
    assert (again.job, again.task) == ("a", "plan.0")
    world.pass_time(2.0)
    assert world.ledger.renew([again], TTL_S) == ("ok",)
    world.pass_time(TTL_S)
    world.ledger.sweep(1000)
    after = world.claim()
    assert after is not None
    assert after.job == "b", "two seconds of work are charged"
    assert lease.fence != again.fence


def test_a_task_that_kills_its_workers_is_given_up(world: World) -> None:
    world.open(chunks=1)
    for _ in range(LOSSES_MAX):
        world.take("plan.0")
        world.pass_time(TTL_S)
        world.ledger.sweep(1000)
    task = world.ledger.task("job", "plan.0")
    assert task.state is TaskState.FAILED
    assert f"{LOSSES_MAX} workers were lost" in task.error
    assert len(task.history) == LOSSES_MAX
    assert world.ledger.status("job").chunks_failed == 1


def test_errors_use_up_attempts_and_wait_for_their_time(world: World) -> None:
    world.open(chunks=1, max_attempts=3)
    for attempt in (1, 2):
        lease = world.take("plan.0")
        assert lease.attempt == attempt
        ended = world.ledger.fail(lease, Outcome.ERROR, f"error {attempt}", 8.0)
        assert (ended.task_state, ended.offers) == (TaskState.SOFT_FAILED, ())
        world.pass_time(7.9)
        assert world.ledger.sweep(1000).offers == ()
        assert world.claim() is None
        world.pass_time(0.1)
        assert names(world.ledger.sweep(1000).offers) == ["plan.0"]
    ended = world.ledger.fail(world.take("plan.0"), Outcome.OOM, "error 3", 8.0)
    assert ended.task_state is TaskState.FAILED
    task = world.ledger.task("job", "plan.0")
    assert (task.error, task.attempt) == ("error 3", 3)
    assert [attempt["outcome"] for attempt in task.history] == ["error", "error", "oom"]


@pytest.mark.parametrize("pause", [0.0, 5.0])
def test_a_task_may_be_moved_to_another_queue_when_it_fails(world: World, pause: float) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0), detail(0, 1)])
    first = world.take("detail.0.0")
    world.ledger.fail(first, Outcome.OOM, "too little memory", pause, "gpu.24")
    world.pass_time(pause)
    offers = world.ledger.sweep(0.0).offers
    assert {(offer.task, offer.queue) for offer in offers} == {("detail.0.0", "gpu.24"), ("detail.0.1", GPU)}
    other = world.claim(GPU)
    assert other is not None
    assert other.task == "detail.0.1"
    assert world.claim(GPU) is None
    moved = world.claim("gpu.24", GPU)
    assert moved is not None
    assert (moved.task, moved.queue, moved.attempt) == ("detail.0.0", "gpu.24", 2)


def test_an_error_without_a_next_time_is_final(world: World) -> None:
    world.open(chunks=1)
    ended = world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    assert ended.task_state is TaskState.FAILED


def test_a_retry_without_a_pause_is_ready_at_once(world: World) -> None:
    world.open(chunks=1)
    ended = world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "hiccup", 0.0)
    assert names(ended.offers) == ["plan.0"]
    assert world.take("plan.0").attempt == 2


def test_an_interrupted_task_goes_back_and_uses_up_nothing(world: World) -> None:
    world.open(chunks=1, max_attempts=1)
    for outcome in (Outcome.INTERRUPTED, Outcome.SUPERSEDED, Outcome.LOST):
        ended = world.ledger.fail(world.take("plan.0"), outcome, "going down", None)
        assert (ended.task_state, names(ended.offers)) == (TaskState.QUEUED, ["plan.0"])
    ended = world.ledger.fail(world.take("plan.0"), Outcome.INTERRUPTED, "the store is away", 5.0)
    assert ended.task_state is TaskState.SOFT_FAILED
    world.pass_time(5)
    world.ledger.sweep(1000)
    assert world.take("plan.0").attempt == 1


def test_an_attempt_cannot_fail_with_the_outcome_ok(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    with pytest.raises(Rejected, match="finish"):
        world.ledger.fail(lease, Outcome.OK, "", None)


def test_only_the_latest_attempts_are_remembered(world: World) -> None:
    world.open(chunks=1)
    for number in range(25):
        world.ledger.fail(world.take("plan.0"), Outcome.INTERRUPTED, f"number {number}", None)
    history = world.ledger.task("job", "plan.0").history
    assert [attempt["error"] for attempt in history] == [f"number {number}" for number in range(5, 25)]


def test_sampler_steps_are_counted_over_all_attempts(world: World) -> None:
    world.open(chunks=1)
    lease = world.take("plan.0")
    assert world.ledger.progress(lease, 7, 9) == "ok"
    world.ledger.finish(lease, "x", [detail(0, 0)])
    assert world.ledger.status("job").steps_done == 0, "a plan samples nothing"
    lease = world.take("detail.0.0")
    for step in (1, 2, 2, 5):
        assert world.ledger.progress(lease, step, 20) == "ok"
    task = world.ledger.task("job", "detail.0.0")
    assert (task.step, task.steps) == (5, 20)
    world.ledger.fail(lease, Outcome.ERROR, "", 0.0)
    world.ledger.progress(world.take("detail.0.0"), 4, 20)
    assert world.ledger.status("job").steps_done == 9


def test_what_is_ready_is_offered_again_and_then_ever_more_rarely(world: World) -> None:
    world.open(chunks=1)
    seen = []
    for second in range(1, 200):
        world.pass_time(1)
        if world.ledger.sweep(10).offers:
            seen.append(second)
    assert seen == [10, 30, 70, 150]
    world.do("plan.0")
    world.pass_time(10)
    assert names(world.ledger.sweep(10).offers) == ["paste.0"]


def test_a_sweep_does_a_bounded_amount_of_work(world: World) -> None:
    world.ledger.create(job_facts())
    world.ledger.extend("job", [NewTask(f"t{k:03d}.0", "plan", CPU, 0) for k in range(450)], 1)
    world.pass_time(60)
    sizes = [len(world.ledger.sweep(30).offers) for _ in range(4)]
    assert sizes == [200, 200, 50, 0]


def test_a_sweep_names_the_jobs_that_are_open(world: World) -> None:
    for job in ("job1", "job2", "job3"):
        world.open(job)
    world.ledger.act("job2", "pause", "", "")
    world.ledger.act("job3", "cancel", "", "")
    assert sorted(world.ledger.sweep(1000).jobs) == ["job1", "job2"]
