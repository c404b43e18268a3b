"""Two ledgers that are asked the same, and a model of what must be true of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.redis_ledger import RedisLedger
from farm.domain.events import KINDS
from farm.domain.state import JOB_NEXT, TASK_ENDED, JobState, Outcome, TaskState
from farm.errors import Conflict, NotFound
from farm.ports import Ended, JobStatus, Lease, Ledger, NewTask, Offer, TaskFilter, TaskStatus
from tests.contract.ledger_world import GPU, TTL_S, HandClock, detail

_T = TypeVar("_T")

CHUNKS = 3
GOOD = {TaskState.COMPLETED, TaskState.EATEN}
Pair = tuple[Lease, Lease]
"""The same lease of both ledgers; only the fences differ."""
Details = Sequence[tuple[bool, str, bool]]
"""What a plan finds, for each task: known to be done, its layer, whether it waits for the one before it."""


class TwinLedgers:
    """The ledger in memory and the one on Redis, with one clock."""

    def __init__(self, url: str) -> None:
        self.clock = HandClock()
        self.memory = MemoryLedger(self.clock)
        # A ledger of its own for every history: the server is shared.
        self.real = RedisLedger(url, prefix=f"twins-{uuid4().hex}:", clock=self.clock)
        self.waits: dict[tuple[str, str], set[str]] = {}
        self.settles: dict[tuple[str, str], set[str]] = {}
        self.held: dict[tuple[str, str], str] = {}
        """Tasks that are given out, and the fence in memory."""
        self.last: dict[str, JobState] = {}
        self.heard = ("", "")
        """The last event of each ledger."""

    def close(self) -> None:
        """Give the connections back."""
        self.real.close()

    def both(self, question: Callable[[Ledger], _T]) -> _T:
        """Ask both; the answer, which must be the same. Raises Conflict where both refuse."""
        answers: list[tuple[_T | None, str]] = []
        for ledger in (self.memory, self.real):
            try:
                answers.append((question(ledger), ""))
            except (NotFound, Conflict) as error:
                answers.append((None, str(error)))
        assert answers[0] == answers[1]
        answer, refusal = answers[0]
        if refusal:
            raise Conflict(refusal)
        return answer  # type: ignore[return-value]  # None only where the question gives None

    def ask(self, question: Callable[[Ledger], _T]) -> _T | None:
        """As `both`; None where they refuse."""
        try:
            return self.both(question)
        except Conflict:
            return None

    def on(self, pair: Pair, question: Callable[[Ledger, Lease], _T]) -> _T:
        """Ask both about their lease."""
        mine, theirs = question(self.memory, pair[0]), question(self.real, pair[1])
        assert mine == theirs
        return mine

    def tasks(self, job: str) -> tuple[TaskStatus, ...]:
        """All rows of a job; none without the job."""
        return self.ask(lambda ledger: ledger.tasks(job, TaskFilter(), limit=1000)) or ()

    def note(self, job: str, tasks: Sequence[NewTask]) -> None:
        """Remember what new tasks wait for."""
        known = {task.id for task in self.tasks(job)}
        for task in tasks:
            if task.id not in known:
                self.waits.setdefault((job, task.id), set()).update(task.waits)
                self.settles.setdefault((job, task.id), set()).update(task.settles)

    def extend(self, job: str, tasks: Sequence[NewTask], opened: int) -> None:
        """Add tasks to both."""
        self.note(job, tasks)
        self.ask(lambda ledger: ledger.extend(job, tasks, opened))

    def take(self, worker: str, queues: tuple[str, ...], wish: Offer | None = None) -> Pair | None:
        """Claim; what is given out must be the same, given to nobody else, and lack nothing."""
        mine, theirs = (ledger.claim(worker, queues, wish, TTL_S) for ledger in (self.memory, self.real))
        if mine is None or theirs is None:
            assert mine is theirs
            return None
        assert replace(mine, fence="") == replace(theirs, fence="")
        assert mine.queue in queues
        assert (mine.job, mine.task) not in self.held, "given to two"
        self.held[mine.job, mine.task] = mine.fence
        self._lacks_nothing(mine)
        return mine, theirs

    def _lacks_nothing(self, lease: Lease) -> None:
        states = {task.id: task.state for task in self.tasks(lease.job)}
        for name in self.waits.get((lease.job, lease.task), ()):
            if not name.startswith("patched"):
                assert states.get(name, TaskState.COMPLETED) in GOOD
        if lease.kind == "paste":
            mine = [state for name, state in states.items() if name.startswith(f"detail.{lease.chunk}.")]
            assert set(mine) <= GOOD
            for barrier in self.settles[lease.job, lease.task]:
                plan = f"plan.{barrier.split('.')[1]}"
                assert states.get(plan, TaskState.COMPLETED) in TASK_ENDED, "a neighbor is not settled"

    def holds(self, pair: Pair) -> bool:
        """Whether the ledgers must still accept this lease."""
        return self.held.get((pair[0].job, pair[0].task)) == pair[0].fence

    def over(self, pair: Pair) -> None:
        """Its attempt has ended."""
        if self.holds(pair):
            del self.held[pair[0].job, pair[0].task]

    def finish(self, pair: Pair, details: Details, seconds: float) -> Ended:
        """End an attempt well; accepted exactly if the lease holds."""
        lease = pair[0]
        new = _found(lease.chunk, details) if lease.kind == "plan" else []
        holds = self.holds(pair)
        if holds:
            self.note(lease.job, new)
        frames = 16 if lease.kind == "paste" else 0
        ended = self.on(pair, lambda ledger, lease: ledger.finish(lease, "output", new, frames, seconds))
        assert ended.accepted == holds
        self.over(pair)
        return ended

    def split(self, pair: Pair, parts: int, *, known: bool) -> None:
        """End an attempt badly and split its task, unless it was split before."""
        lease = pair[0]
        new = [
            NewTask(f"{lease.task}.{n}", "detail", GPU, lease.chunk, lease.layer, output="known" if known and n else "")
            for n in range(0 if lease.parts or lease.task.count(".") > 2 else parts)
        ]
        if self.holds(pair) and new:
            self.note(lease.job, new)
            self.waits.setdefault((lease.job, lease.task), set()).update(part.id for part in new)
        self.on(pair, lambda ledger, lease: ledger.fail(lease, Outcome.ERROR, "broken", 0.0, parts=new))
        self.over(pair)

    def reopen(self, job: str, chunks: Sequence[int]) -> None:
        """Forget all tasks of chunks; workers lose their leases."""
        given = [(chunk, 16, 16 * chunk) for chunk in chunks]
        self.ask(lambda ledger: ledger.reopen(job, given, "", "ann"))
        known = {task.id for task in self.tasks(job)}
        self.held = {at: fence for at, fence in self.held.items() if at[0] != job or at[1] in known}
        # Pastes of neighbors that waited for these chunks' patches before do not wait for the new ones.
        for at in [at for at in self.settles if at[0] == job]:
            self.settles[at] -= {f"patched.{chunk}" for chunk in chunks}
        for of in (self.waits, self.settles):
            for at in [at for at in of if at[0] == job and at[1] not in known]:
                del of[at]

    def forget_wrap(self, job: str) -> None:
        """A decision may have removed a job's last task while somebody ran it."""
        if "wrap.0" not in {task.id for task in self.tasks(job)}:
            self.held.pop((job, "wrap.0"), None)

    def listen(self) -> None:
        """Both tell the same of what happened since the last time."""
        told = []
        ledgers: tuple[Ledger, ...] = (self.memory, self.real)
        for ledger, after in zip(ledgers, self.heard, strict=True):
            page = ledger.events(after, 10_000)
            assert page.knows(after or page.floor)
            told.append(page)
        mine, theirs = ([(e.at, e.kind, e.job, dict(e.data)) for e in page.events] for page in told)
        assert mine == theirs
        assert all(kind in KINDS for _, kind, _, _ in mine)
        self.heard = (told[0].newest, told[1].newest)

    def check(self) -> None:
        """What must be true at any time."""
        self.listen()
        self.both(lambda ledger: ledger.workers())
        self.both(lambda ledger: ledger.alive())
        for status in self.both(lambda ledger: ledger.jobs()):
            self._check_job(status)

    def _check_job(self, status: JobStatus) -> None:
        job, tasks = status.facts.id, self.tasks(status.facts.id)
        chunks = list(self.both(lambda ledger: ledger.chunk_states(job, range(-1, CHUNKS + 2))).values())
        self.both(lambda ledger: ledger.outputs(job, [task.id for task in tasks]))
        assert sum(status.counts.values()) == status.tasks
        for state in TaskState:
            listed = sum(task.state is state for task in tasks)
            # Rows that were dropped keep their count.
            assert listed == status.counts[state] or (state is TaskState.COMPLETED and listed < status.counts[state])
        active = {task.id: task.worker for task in tasks if task.state is TaskState.ACTIVE}
        assert set(active) == {task for known, task in self.held if known == job}
        assert status.workers_active == len(set(active.values()))
        assert (status.chunks_done, status.chunks_failed) == (chunks.count("done"), chunks.count("failed"))
        done = self.both(lambda ledger: ledger.chunk_states(job, range(CHUNKS)))
        first = next((chunk for chunk in range(CHUNKS) if done.get(chunk) != "done"), CHUNKS)
        assert status.frames_contiguous == 16 * first
        assert 16 * status.chunks_done <= status.frames_done <= status.facts.frames
        assert status.state is not JobState.CANCELED or all(task.state in TASK_ENDED for task in tasks)
        assert status.state in _two_steps(self.last.get(job, status.state)), "no such transition"
        self.last[job] = status.state


def _found(chunk: int, details: Details) -> list[NewTask]:
    return [
        detail(
            chunk,
            index,
            waits=[f"detail.{chunk}.{index - 1}"] if chained and index else [],
            layer=layer,
            output="known" if known else "",
        )
        for index, (known, layer, chained) in enumerate(details)
    ]


def _two_steps(state: JobState) -> set[JobState]:
    """Where one verb may lead: cancel may go through `cancel-requested`, retry through `active`."""
    return {state, *JOB_NEXT[state], *(after for step in JOB_NEXT[state] for after in JOB_NEXT[step])}
