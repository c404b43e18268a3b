"""Who waits for whom, and who is served first."""

from __future__ import annotations

from farm.domain.state import JobState, Outcome, TaskState
from farm.ports import NewTask, Offer
from tests.contract.ledger_world import CPU, GPU, World, chunk_tasks, detail, job_facts, names


def task(name: str, *, waits: tuple[str, ...] = (), settles: tuple[str, ...] = (), queue: str = CPU) -> NewTask:
    return NewTask(name, "paste", queue, 0, waits=waits, settles=settles)


def test_a_task_is_ready_when_all_it_waits_for_is_completed(world: World) -> None:
    world.ledger.create(job_facts())
    offers = world.ledger.extend("job", [task("a.0"), task("b.0"), task("c.0", waits=("a.0", "b.0"))], 1)
    assert names(offers) == ["a.0", "b.0"]
    assert world.do("a.0").offers == ()
    assert world.state("c.0") is TaskState.DEPEND
    assert names(world.do("b.0").offers) == ["c.0"]


def test_a_wait_may_name_a_task_that_comes_later(world: World) -> None:
    world.ledger.create(job_facts())
    assert world.ledger.extend("job", [task("b.0", waits=("a.0",))], 1) == ()
    world.ledger.extend("job", [task("a.0")], 1)
    assert names(world.do("a.0").offers) == ["b.0"]


def test_a_wait_for_what_is_completed_is_met_at_once(world: World) -> None:
    world.ledger.create(job_facts())
    world.ledger.extend("job", [task("a.0")], 1)
    world.do("a.0")
    assert names(world.ledger.extend("job", [task("b.0", waits=("a.0",), settles=("a.0",))], 1)) == ["b.0"]


def test_a_barrier_ends_by_itself_and_at_once_where_nothing_is_to_wait_for(world: World) -> None:
    world.ledger.create(job_facts())
    tasks = [
        NewTask("x.0", "barrier", "", 0),
        NewTask("y.0", "barrier", "", 0, waits=("x.0",)),
        task("a.0", waits=("y.0",)),
    ]
    assert names(world.ledger.extend("job", tasks, 1)) == ["a.0"]


def test_tasks_that_feed_a_barrier_hold_it_back(world: World) -> None:
    world.open(chunks=1)
    assert names(world.do("plan.0", [detail(0, 0), detail(0, 1, waits=["detail.0.0"])]).offers) == ["detail.0.0"]
    assert names(world.do("detail.0.0").offers) == ["detail.0.1"]
    assert names(world.do("detail.0.1").offers) == ["paste.0"]


def test_a_plan_without_details_leads_straight_to_the_paste(world: World) -> None:
    world.open(chunks=1)
    assert names(world.do("plan.0").offers) == ["paste.0"]


def test_what_feeds_a_task_that_is_over_or_unknown_is_no_error(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0")
    late = [detail(0, 7), NewTask("odd.0", "detail", GPU, 0, feeds=("nobody",))]
    assert names(world.ledger.extend("job", late, 1)) == ["detail.0.7", "odd.0"]


def test_a_failure_fails_all_that_waits_for_it_and_nothing_else(world: World) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0), detail(0, 1, waits=["detail.0.0"]), detail(0, 2)])
    ended = world.ledger.fail(world.take("detail.0.0"), Outcome.ERROR, "a poor picture", None)
    assert ended.chunk_ended
    assert ended.task_state is TaskState.FAILED
    states = world.states()
    failed = sorted(name for name, state in states.items() if state is TaskState.FAILED)
    assert failed == ["detail.0.0", "detail.0.1", "encode.0", "paste.0"]
    assert states["detail.0.2"] is TaskState.QUEUED
    assert states["plan.1"] is TaskState.QUEUED
    assert world.ledger.task("job", "detail.0.0").error == "a poor picture"
    assert world.ledger.task("job", "encode.0").error == "not run, because detail.0.0 failed"


def test_a_wait_for_what_has_failed_fails_at_once(world: World) -> None:
    world.ledger.create(job_facts())
    world.ledger.extend("job", [task("a.0")], 1)
    world.ledger.fail(world.take("a.0"), Outcome.ERROR, "broken", None)
    offers = world.ledger.extend("job", [task("b.0", waits=("a.0",)), task("c.0", settles=("a.0",))], 1)
    assert names(offers) == ["c.0"]
    assert world.state("b.0") is TaskState.FAILED


def test_who_waits_until_another_is_settled_goes_on_either_way(world: World) -> None:
    world.ledger.create(job_facts(chunks=3))
    world.ledger.extend("job", [task for n in range(3) for task in chunk_tasks(n, last=2)], 3)
    world.do("plan.0")
    assert world.state("paste.0") is TaskState.DEPEND, "its right neighbor is not settled"
    failed = world.ledger.fail(world.take("plan.1"), Outcome.ERROR, "broken", None)
    assert names(failed.offers) == ["paste.0"]
    assert names(world.do("plan.2").offers) == ["paste.2"]


def test_higher_priority_goes_first(world: World) -> None:
    world.open("job1", priority=10)
    world.open("job2", priority=90)
    world.open("job3", priority=50)
    order = [lease.job for _ in range(3) if (lease := world.claim())]
    assert order == ["job2", "job3", "job1"]


def test_among_equals_the_job_that_had_least_work_goes_first(world: World) -> None:
    for job in ("job1", "job2"):
        world.ledger.create(job_facts(job))
        world.ledger.extend(job, [task(f"t{k}.0") for k in range(6)], 1)
    order = []
    for _ in range(8):
        lease = world.claim()
        assert lease is not None
        order.append(lease.job)
        world.ledger.finish(lease, "x", seconds=3.0 if lease.job == "job1" else 1.0)
    assert order.count("job2") == 6, "a job with tasks a third as long gets three times as many"
    assert order[:5] == ["job1", "job2", "job2", "job2", "job1"]


def test_a_new_job_has_no_claim_on_the_past(world: World) -> None:
    world.ledger.create(job_facts("job1"))
    world.ledger.extend("job1", [task(f"t{k}.0") for k in range(4)], 1)
    for _ in range(2):
        lease = world.claim()
        assert lease is not None
        world.ledger.finish(lease, "x", seconds=100.0)
    world.ledger.create(job_facts("job2"))
    world.ledger.extend("job2", [task(f"t{k}.0") for k in range(4)], 1)
    order = []
    for _ in range(4):
        lease = world.claim()
        assert lease is not None
        order.append(lease.job)
        world.ledger.finish(lease, "x", seconds=1.0)
    assert order == ["job1", "job2", "job1", "job2"]


def test_among_equals_that_had_as_much_the_older_job_goes_first(world: World) -> None:
    world.ledger.create(job_facts("job2"))
    world.ledger.extend("job2", [task("a.0", queue=CPU)], 1)
    world.ledger.create(job_facts("job1"))
    world.ledger.extend("job1", [task("a.0", queue=GPU)], 1)
    order = [lease.job for _ in range(2) if (lease := world.claim(CPU, GPU))]
    assert order == ["job1", "job2"]


def test_within_a_job_earlier_chunks_go_first(world: World) -> None:
    world.ledger.create(job_facts(chunks=12))
    world.ledger.extend("job", [task for n in (11, 2, 0) for task in chunk_tasks(n)], 12)
    world.ledger.extend("job", [NewTask("ingest.frame-a.3", "ingest", CPU)], 12)
    order = [lease.task for _ in range(4) if (lease := world.claim())]
    assert order == ["ingest.frame-a.3", "plan.0", "plan.2", "plan.11"]


def test_a_wish_is_granted_among_jobs_that_are_equally_good(world: World) -> None:
    world.open("job1", chunks=3)
    world.open("job2", chunks=3)
    lease = world.claim(prefer=Offer("job2", "plan.2", "plan", CPU))
    assert lease is not None
    assert (lease.job, lease.task) == ("job2", "plan.2")
    world.ledger.finish(lease, "x", seconds=1.0)
    lease = world.claim(prefer=Offer("job2", "plan.1", "plan", CPU))
    assert lease is not None
    assert (lease.job, lease.task) == ("job1", "plan.0"), "job2 had more"
    lease = world.claim(GPU, prefer=Offer("job1", "plan.1", "plan", CPU))
    assert lease is None, "a wish is no way to another queue"


def test_a_worker_is_given_tasks_of_its_queues_only(world: World) -> None:
    world.open(chunks=1)
    assert world.claim(GPU) is None
    world.do("plan.0", [detail(0, 0), NewTask("detail.0.1", "detail", "gpu.24", 0)])
    assert world.claim(CPU) is None
    lease = world.claim("gpu.24", GPU)
    assert lease is not None
    assert (lease.task, lease.queue, lease.layer, lease.key) == ("detail.0.0", GPU, "detail:face", "key-0-0")
    lease = world.claim("gpu.24", GPU)
    assert lease is not None
    assert lease.task == "detail.0.1"


def test_the_first_claim_makes_a_job_active(world: World) -> None:
    world.open()
    world.pass_time(5)
    lease = world.take("plan.0")
    status = world.ledger.status("job")
    assert (status.state, status.started, status.workers_active) == (JobState.ACTIVE, world.clock.now, 1)
    assert (lease.attempt, lease.worker, lease.chunk) == (1, "w1", 0)
    assert world.claim() is None
