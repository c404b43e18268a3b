"""Faults: workers that fail are left out, tasks that fail are split, eaten, taken back; counts hold all the time."""

from __future__ import annotations

import pytest

from farm.adapters.ledger_rules import FAULTS_MAX, WITHHELD_S
from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import Blocked, Lease, NewTask, Offer, WorkerStatus
from tests.contract.ledger_world import CPU, GPU, TTL_S, WRAP, World, chunk_tasks, detail, names


def beat(world: World, *workers: str, **info: object) -> None:
    """Workers that are alive for an hour and serve all queues."""
    for worker in workers:
        world.ledger.beat(WorkerStatus(worker, "host", 1, (CPU, GPU), "cpu", seen=0, info=info), 3600)


def fail(world: World, lease: Lease | None, retry_in_s: float | None = 0.0) -> Lease:
    """End an attempt with an error."""
    assert lease is not None
    assert world.ledger.fail(lease, Outcome.ERROR, "broken", retry_in_s).accepted
    return lease


def block(world: World, worker: str, kind: str = "plan") -> list[str]:
    """Have a worker fail as many tasks as it takes; the tasks."""
    return [fail(world, world.claim(worker=worker), 500.0).task for _ in range(FAULTS_MAX)]


def parts_of(task: str, count: int) -> list[NewTask]:
    """What a batch is split into."""
    chunk = int(task.split(".")[1])
    return [NewTask(f"{task}.{n}", "detail", GPU, chunk, "detail:face", key=f"key {n}") for n in range(count)]


def split(world: World, count: int = 3) -> tuple[Offer, ...]:
    """A job of one chunk whose first batch was split."""
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0), detail(0, 1, waits=["detail.0.0"])])
    lease = world.take("detail.0.0")
    return world.ledger.fail(lease, Outcome.ERROR, "no", 5.0, parts=parts_of("detail.0.0", count)).offers


def poisoned(world: World) -> None:
    """The same, one part has failed for good, the others are done, the job has ended."""
    split(world)
    world.do("detail.0.0.0")
    fail(world, world.take("detail.0.0.1"), None)
    world.do("detail.0.0.2")
    world.ledger.extend("job", [WRAP], 1)
    world.do("wrap.0")


def finish_all(world: World) -> list[str]:
    """Work until nothing is ready, then close the job."""
    done = world.run_all(details=0)
    world.ledger.extend("job", [WRAP], 1)
    return [*done, *world.run_all(details=0)]


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


# --- shares, priority, workers ---


def test_a_priority_may_be_changed_while_a_job_runs(world: World) -> None:
    world.open("job1", chunks=3, priority=50)
    world.open("job2", chunks=3, priority=50)
    lease = world.claim()
    assert lease is not None
    world.ledger.finish(lease, "x", seconds=900.0)
    status = world.ledger.adjust("job1", 80, None, "a deadline", "ann")
    assert (status.facts.priority, status.activity) == (80, "adjusted by ann: a deadline")
    assert [lease.job for lease in (world.claim(), world.claim()) if lease] == ["job1", "job1"]
    world.ledger.adjust("job1", 20, None, "", "")
    lease = world.claim()
    assert lease is not None
    assert lease.job == "job2"
    with pytest.raises(Rejected, match="0 to 100"):
        world.ledger.adjust("job1", 101, None, "", "")
    with pytest.raises(NotFound):
        world.ledger.adjust("nothing", 1, None, "", "")


def test_a_job_that_changes_its_class_has_no_claim_on_the_past_and_no_debt(world: World) -> None:
    world.open("job1", chunks=9, priority=50)
    world.ledger.finish(world.take("plan.0", "job1"), "x", seconds=900.0)
    world.open("job2", chunks=9, priority=60)
    world.ledger.finish(world.take("plan.0", "job2"), "x", seconds=5.0)
    world.ledger.adjust("job1", 60, None, "", "")
    given = []
    for _ in range(6):
        lease = world.claim()
        assert lease is not None
        given.append(lease.job)
        world.ledger.finish(lease, "x", seconds=1.0)
    assert sorted(given) == ["job1"] * 3 + ["job2"] * 3


def test_no_more_workers_than_a_job_allows_are_at_work_on_it(world: World) -> None:
    world.open("job1", chunks=9)
    world.open("job2", chunks=9, priority=10)
    assert world.ledger.adjust("job1", None, 2, "", "").facts.max_workers == 2
    first = world.claim(worker="w1")
    second = world.claim(worker="w2")
    assert first is not None
    assert second is not None
    others = [world.claim(worker=worker) for worker in ("w3", "w1", "w4")]
    assert [lease.job for lease in (first, second, *others) if lease] == ["job1", "job1", "job2", "job1", "job2"]
    world.ledger.finish(second, "x")
    taken = world.claim(worker="w3")
    assert taken is not None
    assert taken.job == "job1"
    assert world.ledger.adjust("job1", None, 0, "", "").facts.max_workers == 0
    with pytest.raises(Rejected, match="At most"):
        world.ledger.adjust("job1", None, -1, "", "")


def shares(world: World, turns: int) -> dict[str, int]:
    """Tasks that each job is given when each takes a second."""
    given: dict[str, int] = {}
    for _ in range(turns):
        lease = world.claim()
        assert lease is not None
        given[lease.job] = given.get(lease.job, 0) + 1
        world.ledger.finish(lease, "x", seconds=1.0)
    return given


def test_users_share_not_jobs(world: World) -> None:
    for job, user in (("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob")):
        world.open_for(job, user)
    given = shares(world, 60)
    assert given["b1"] == 30
    assert [given[job] for job in ("a1", "a2", "a3")] == [10, 10, 10]
    for job in ("a2", "a3"):
        world.ledger.act(job, "cancel", "", "")
    given = shares(world, 20)
    assert abs(given["a1"] - given["b1"]) <= 2


def test_users_share_by_their_weights(world: World) -> None:
    world.open_for("a1", "ann", weight=3.0)
    world.open_for("b1", "bob")
    assert shares(world, 40) == {"a1": 30, "b1": 10}
    with pytest.raises(Rejected, match="above 0"):
        world.open_for("c1", "cyd", weight=0.0)
