"""Both ledgers side by side through random histories: always the same answers, and the rules hold all the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from farm.adapters.memory_moves import Change
from farm.adapters.memory_rows import Row
from farm.domain.state import TASK_NEXT, Outcome, TaskState
from farm.ports import Drain, NewTask, Offer, TaskFilter, WorkerStatus
from tests.contract.ledger_twins import CHUNKS, Details, Pair, TwinLedgers
from tests.contract.ledger_world import CPU, GPU, TTL_S, WRAP, chunk_tasks, job_facts

JOBS = st.sampled_from(["job1", "job2"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])
ROOMIER = "gpu.24"
"""Queue of a task that met too little memory."""
CLAIMED = st.sampled_from([(CPU, GPU, ROOMIER), (CPU, GPU), (ROOMIER, GPU)])
WISHES = st.sampled_from([None, None, ("plan.1", CPU), ("plan.2", CPU), ("detail.0.1", GPU), ("wrap.0", CPU)])
SECONDS = st.sampled_from([0.25, 4.0, 7.5])
OUTCOMES = st.sampled_from([Outcome.ERROR, Outcome.OOM, Outcome.INTERRUPTED, Outcome.LOST, Outcome.CANCELED])
RETRY_IN = st.sampled_from([None, 0.0, 5.0])
DETAILS = st.lists(st.tuples(st.booleans(), st.sampled_from(["face", "hand"]), st.booleans()), max_size=3)
TASKS = st.sampled_from(["plan.0", "plan.1", "detail.0.0", "detail.0.1", "detail.0.0.0", "detail.1.0"])
FILTERS = st.just(TaskFilter()) | st.builds(
    TaskFilter,
    states=st.sampled_from([(), (TaskState.FAILED,), (TaskState.CANCELED, TaskState.FAILED)]),
    layer=st.sampled_from(["", "", "detail:face", "paste", "wrap"]),
    chunk=st.sampled_from([None, None, 0, 1]),
    tasks=st.sampled_from([(), (), ("plan.0", "detail.0.0", "wrap.0")]),
)


class Histories(RuleBasedStateMachine):
    """What workers, people and time do to two jobs of three chunks each."""

    url = ""
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.twins = TwinLedgers(self.url)

    @initialize(both=st.booleans())
    def begin(self, both: bool) -> None:
        self.create("job1", 50, [])
        self.open_chunks("job1", CHUNKS)
        if both:
            self.create("job2", 50, [(0, 16)])

    @rule(
        job=JOBS,
        priority=st.sampled_from([50, 50, 80]),
        done=st.sampled_from([[], [], [(0, 16)], [(1, 16)]]),
        trial=st.sampled_from([0, 0, 1, 2]),
    )
    def create(self, job: str, priority: int, done: list[tuple[int, int]], trial: int = 0) -> None:
        facts = replace(job_facts(job, chunks=CHUNKS, priority=priority, max_attempts=2), trial=trial)
        self.twins.both(lambda ledger: ledger.create(facts, done, recovered=bool(done)))

    @rule(job=JOBS, opened=st.integers(1, CHUNKS))
    def open_chunks(self, job: str, opened: int) -> None:
        for chunk in range(opened):
            ingest = NewTask(f"ingest.frame-a.{chunk // 2}", "ingest", CPU, layer="ingest")
            plan, *others = chunk_tasks(chunk, last=CHUNKS - 1)
            self.twins.extend(job, [ingest, plan._replace(waits=(ingest.id,)), *others], chunk + 1)

    @rule(job=JOBS)
    def wrap(self, job: str) -> None:
        self.twins.extend(job, [WRAP], CHUNKS)

    @rule(
        target=leases,
        worker=WORKERS,
        queues=CLAIMED,
        wish=WISHES,
        job=JOBS,
    )
    def claim(self, worker: str, queues: tuple[str, ...], wish: tuple[str, str] | None, job: str) -> Any:  # noqa: ANN401 - one or none
        pair = self.twins.take(worker, queues, Offer(job, wish[0], "", wish[1]) if wish else None)
        return multiple() if pair is None else pair

    @rule(worker=WORKERS, tasks=st.integers(1, 12), details=DETAILS)
    def work(self, worker: str, tasks: int, details: Details) -> None:
        for _ in range(tasks):
            pair = self.twins.take(worker, (CPU, GPU, ROOMIER))
            if pair is not None:
                self.twins.finish(pair, details, 1.0)

    @rule(job=JOBS, details=DETAILS)
    def to_the_end(self, job: str, details: Details) -> None:
        self.act(job, "resume")
        self.act(job, "approve")
        self.open_chunks(job, CHUNKS)
        self.work("w1", 40, details)
        self.wrap(job)

    @rule(pair=consumes(leases), details=DETAILS, seconds=SECONDS)
    def finish(self, pair: Pair, details: Details, seconds: float) -> None:
        self.twins.finish(pair, details, seconds)
        before = self.twins.both(lambda ledger: ledger.jobs())
        again = self.twins.on(pair, lambda ledger, lease: ledger.finish(lease, "other", [], 99, seconds))
        assert again.offers == ()
        assert before == self.twins.both(lambda ledger: ledger.jobs()), "a repeated finish changed something"

    @rule(pair=consumes(leases), outcome=OUTCOMES, retry_in=RETRY_IN)
    def fail(self, pair: Pair, outcome: Outcome, retry_in: float | None) -> None:
        queue = ROOMIER if outcome is Outcome.OOM else ""
        ended = self.twins.on(pair, lambda ledger, lease: ledger.fail(lease, outcome, "an error", retry_in, queue))
        assert ended.accepted == self.twins.holds(pair)
        self.twins.over(pair)

    @rule(worker=WORKERS, wish=WISHES, job=JOBS, outcome=OUTCOMES, retry_in=RETRY_IN)
    def stumble(
        self, worker: str, wish: tuple[str, str] | None, job: str, outcome: Outcome, retry_in: float | None
    ) -> None:
        pair = self.twins.take(worker, (GPU, CPU, ROOMIER), Offer(job, wish[0], "", wish[1]) if wish else None)
        if pair is not None:
            self.fail(pair, outcome, retry_in)

    @rule(pair=leases, step=st.integers(0, 20))
    def progress(self, pair: Pair, step: int) -> None:
        told = self.twins.on(pair, lambda ledger, lease: ledger.progress(lease, step, 20))
        assert (told != "lost") == self.twins.holds(pair)
        assert self.twins.on(pair, lambda ledger, lease: ledger.renew([lease], TTL_S)) == (told,)

    @rule(seconds=st.sampled_from([1.0, 6.0, TTL_S, 100.0]))
    def sweep(self, seconds: float) -> None:
        self.twins.clock.now += seconds
        mine, theirs = self.twins.memory.sweep(30.0), self.twins.real.sweep(30.0)
        assert (mine.expired, mine.jobs) == (theirs.expired, theirs.jobs)
        assert sorted(mine.offers) == sorted(theirs.offers)
        for name in mine.expired:
            job, task = name.split("/")
            del self.twins.held[job, task]

    @rule(job=JOBS, action=st.sampled_from(["pause", "resume", "resume", "approve", "cancel"]))
    def act(self, job: str, action: str) -> None:
        self.twins.ask(lambda ledger: ledger.act(job, action, "why not", "ann"))

    @rule(job=JOBS, which=FILTERS)
    def retry(self, job: str, which: TaskFilter) -> None:
        self.twins.ask(lambda ledger: ledger.retry(job, which, "", ""))
        self.twins.forget_wrap(job)

    @rule(worker=WORKERS, parts=st.integers(1, 3), known=st.booleans())
    def split(self, worker: str, parts: int, known: bool) -> None:
        pair = self.twins.take(worker, (GPU,))
        if pair is not None:
            self.twins.split(pair, parts, known=known)

    @rule(job=JOBS, tasks=st.lists(TASKS, max_size=3), again=st.booleans(), chunks=st.sampled_from([(), (), (1,)]))
    def eat(self, job: str, tasks: list[str], again: bool, chunks: tuple[int, ...]) -> None:
        plans = [task for task in tasks if task.startswith("plan.")] if again else []
        details = [task for task in tasks if task.startswith("detail.")]
        self.twins.ask(lambda ledger: ledger.eat(job, details, plans, chunks, "so be it", "ann"))
        self.twins.forget_wrap(job)

    @rule(job=JOBS, first=st.integers(0, CHUNKS - 1), both=st.booleans(), back=st.booleans())
    def reopen(self, job: str, first: int, both: bool, back: bool) -> None:
        chunks = range(first, min(CHUNKS, first + 1 + both))
        self.twins.reopen(job, chunks)
        if back:
            self.open_chunks(job, CHUNKS)

    @rule(job=JOBS, worker=st.sampled_from(["", "w1", "w2"]))
    def unblock(self, job: str, worker: str) -> None:
        self.twins.ask(lambda ledger: ledger.unblock(job, worker, "", ""))

    @rule(job=JOBS, priority=st.sampled_from([None, 50, 80]), most=st.sampled_from([None, 0, 1]))
    def adjust(self, job: str, priority: int | None, most: int | None) -> None:
        self.twins.ask(lambda ledger: ledger.adjust(job, priority, most, "", "ann"))

    @rule(job=JOBS, chunks=st.sets(st.integers(0, CHUNKS - 1), max_size=3), ingest=st.integers(0, 2))
    def drop(self, job: str, chunks: set[int], ingest: int) -> None:
        self.twins.both(lambda ledger: ledger.drop(job, sorted(chunks), [f"ingest.frame-a.{ingest}"]))

    @rule(job=JOBS)
    def ready(self, job: str) -> None:
        self.twins.ask(lambda ledger: ledger.ready(job))

    @rule(worker=WORKERS, queues=st.sampled_from([(CPU,), (CPU, GPU)]), draining=st.booleans())
    def beat(self, worker: str, queues: tuple[str, ...], draining: bool) -> None:
        status = WorkerStatus(worker, "host", 1, queues, "cpu", seen=0, info={"draining": draining})
        self.twins.both(lambda ledger: ledger.beat(status, 40.0))

    @rule(worker=WORKERS, wish=st.sampled_from(["drain", "undrain", "undrain", "leave"]))
    def drain(self, worker: str, wish: str) -> None:
        if wish == "drain":
            self.twins.ask(lambda ledger: ledger.drain(worker, Drain("ann", "why")))
        elif wish == "undrain":
            self.twins.ask(lambda ledger: ledger.undrain(worker))
        else:
            self.twins.both(lambda ledger: ledger.leave(worker))

    @invariant()
    def all_is_well(self) -> None:
        self.twins.check()

    def teardown(self) -> None:
        self.twins.close()


@pytest.mark.servers
def test_the_twins_agree_and_keep_the_rules(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    move = Change.move

    def checked(self: Change, row: Row, state: TaskState) -> None:
        assert state in TASK_NEXT[row.state], f"{row.new.id}: {row.state} -> {state}"
        move(self, row, state)

    monkeypatch.setattr(Change, "move", checked)
    machine = type("HistoriesHere", (Histories,), {"url": redis_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
