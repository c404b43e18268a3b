"""What the ledger in memory keeps: jobs and the rows of their tasks."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from farm.adapters.ledger_rules import BARRIER, FAULTS_MAX, job_order
from farm.domain.state import JOB_ENDED, JobState, TaskState
from farm.ports import Blocked, JobFacts, JobStatus, Lease, NewTask, Offer, TaskFilter, TaskStatus

LISTED = frozenset({JobState.QUEUED, JobState.ACTIVE})
"""States in which a job's ready tasks are given out."""

CANCELING = frozenset({JobState.CANCEL_REQUESTED, JobState.CANCELED})
"""States in which nothing becomes ready any more."""

GOOD = frozenset({TaskState.COMPLETED, TaskState.EATEN})
BAD = frozenset({TaskState.FAILED, TaskState.CANCELED})


@dataclass
class Row:
    """A task. Times are in milliseconds of server time."""

    new: NewTask
    seq: int
    state: TaskState = TaskState.DEPEND
    open: int = 0
    """Waits that are not met."""
    bad: int = 0
    """Hard waits that ended badly; more than 0: this task cannot run until they were retried."""
    front: bool = False
    """Goes before the job's other ready tasks: it was given out before."""
    attempt: int = 0
    losses: int = 0
    parts: int = 0
    """Tasks that it was split into."""
    failed: set[str] = field(default_factory=set)
    """Workers that failed it."""
    since: int = 0
    """When it last became ready."""
    offers: int = 0
    """How often it was offered since it became ready."""
    fence: str = ""
    worker: str = ""
    error: str = ""
    output: str = ""
    cause: str = ""
    """The task whose bad end was handed down to this one."""
    started: int = 0
    ttl: int = 0
    """Length of its lease when it was claimed."""
    expires: int = 0
    """End of its lease."""
    due: int = 0
    """When its next attempt may begin."""
    offered: int = 0
    step: int = 0
    steps: int = 0
    history: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def counted(self) -> bool:
        """Whether it is a task in people's eyes."""
        return self.new.kind != BARRIER

    @property
    def order(self) -> tuple[bool, int, int]:
        """Its place among the ready tasks of its job."""
        return (not self.front, self.new.chunk, self.seq)

    def offer(self, job: str) -> Offer:
        """What the queue carries."""
        return Offer(job, self.new.id, self.new.kind, self.new.queue)

    def lease(self, job: str, *, amended: bool) -> Lease:
        """What its worker holds."""
        new = self.new
        held = (self.attempt, self.fence, self.worker, self.parts, amended, (self.started - self.since) / 1000)
        return Lease(job, new.id, new.kind, new.queue, new.chunk, new.layer, new.key, *held)

    def status(self) -> TaskStatus:
        """What people see."""
        return TaskStatus(
            id=self.new.id,
            kind=self.new.kind,
            layer=self.new.layer,
            chunk=self.new.chunk,
            state=self.state,
            attempt=self.attempt,
            key=self.new.key,
            output=self.output,
            worker=self.worker,
            error=self.error,
            step=self.step,
            steps=self.steps,
            cause=self.cause,
            history=tuple(self.history),
        )

    def meant(self, which: TaskFilter) -> bool:
        """Whether the filter lets it through."""
        return (
            (not which.states or self.state in which.states)
            and which.layer in ("", self.new.layer)
            and which.chunk in (None, self.new.chunk)
            and (not which.tasks or self.new.id in which.tasks)
        )


@dataclass
class MemoryJob:
    """A job and all that is known of its tasks."""

    facts: JobFacts
    state: JobState = JobState.QUEUED
    activity: str = "submitted"
    fault: str = ""
    """The task that failed last, and why; nothing once tasks were opened again."""
    revision: int = 1
    vtime: int = 0
    """Milliseconds of work that it had; fair share gives the next task to the job that had least."""
    seq: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    dependents: dict[str, list[tuple[str, int, bool]]] = field(default_factory=dict)
    """Task -> who waits for it (id and number), and whether its bad end is theirs too."""
    counts: Counter[TaskState] = field(default_factory=Counter)
    kinds: Counter[tuple[str, TaskState]] = field(default_factory=Counter)
    """The same by kind and state."""
    workers: Counter[str] = field(default_factory=Counter)
    """Worker -> leases of this job that it holds."""
    tell: Callable[[int, str, Mapping[str, object]], object] = lambda *_: None
    """Write an event of this job: server time in milliseconds, kind, data."""
    trial: int = 0
    """Chunks that must have ended before the job awaits approval; 0: it does not."""
    peers: Callable[[], int] = lambda: 1
    """Jobs of its user that are in the line."""
    faults: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Kind and worker -> tasks that it failed and that others may well do."""
    eaten: set[int] = field(default_factory=set)
    """Chunks in which something was eaten."""
    reopened: set[int] = field(default_factory=set)
    """Chunks whose tasks must be added again."""
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    chunk_frames: dict[int, int] = field(default_factory=dict)
    """Final frames of chunks that are not yet counted in `frames_contiguous`; of some that follow each other without a
    gap all are under the first."""
    frames_before: dict[int, int] = field(default_factory=dict)
    """For such a first chunk: the frames of all chunks before it."""
    next_chunk: int = 0
    """First chunk that is not counted in `frames_contiguous`."""
    frames_done: int = 0
    frames_contiguous: int = 0
    opened: int = 0
    steps_done: int = 0
    started: int = 0
    ended: int = 0
    hits: int = 0
    misses: int = 0
    swept: int = 0

    @property
    def order(self) -> str:
        """What sorts jobs by age."""
        return job_order(self.facts.created, self.facts.id)

    @property
    def merit(self) -> tuple[int, int]:
        """Lower is served first; jobs with the same are equally good."""
        return (-self.facts.priority, self.vtime)

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in JOB_ENDED

    def tell_of(self, row: Row, now: int, kind: str, more: Mapping[str, object] | None = None) -> None:
        """Write an event of a task; `more` is what belongs to this kind of event only."""
        new = row.new
        own = {"task": new.id, "kind": new.kind, "chunk": new.chunk, "layer": new.layer}
        self.tell(now, kind, {**own, "worker": row.worker, "attempt": row.attempt, **(more or {})})

    def count(self, row: Row, by: int) -> None:
        """A task comes into its state, or leaves it."""
        if row.counted:
            self.counts[row.state] += by
            self.kinds[row.new.kind, row.state] += by

    def barred(self, kind: str, worker: str) -> bool:
        """Whether a worker failed too many tasks of a kind."""
        return len(self.faults.get((kind, worker), ())) >= FAULTS_MAX

    def charge(self, work: int) -> None:
        """Work is charged to the user: who has several jobs in the line has a part of a share for each."""
        self.vtime += math.floor(work * max(1, self.peers()) / self.facts.weight + 0.5)

    def drop(self, rows: Sequence[Row]) -> None:
        """Forget rows, if all of them ended well."""
        if all(row.state in GOOD for row in rows):
            for row in rows:
                del self.rows[row.new.id]
                self.dependents.pop(row.new.id, None)

    def count_contiguous(self) -> None:
        """Take in whole chunks as far as they follow without a gap."""
        while self.next_chunk in self.done:
            self.frames_contiguous += self.chunk_frames.pop(self.next_chunk, 0)
            self.frames_before.pop(self.next_chunk, None)
            self.next_chunk += 1

    def status(self) -> JobStatus:
        """What people see."""
        return JobStatus(
            facts=self.facts,
            state=self.state,
            activity=self.activity,
            revision=self.revision,
            counts={state: self.counts[state] for state in TaskState},
            tasks=self.counts.total(),
            frames_done=self.frames_done,
            frames_contiguous=self.frames_contiguous,
            chunks_opened=self.opened,
            chunks_done=len(self.done),
            chunks_failed=len(self.failed),
            steps_done=self.steps_done,
            started=self.started / 1000 if self.started else None,
            ended=self.ended / 1000 if self.ended else None,
            cache_hits=self.hits,
            cache_misses=self.misses,
            workers_active=len(self.workers),
            blocked=tuple(
                Blocked(worker, kind, tuple(tasks))
                for (kind, worker), tasks in sorted(self.faults.items())
                if self.barred(kind, worker)
            ),
            eaten=tuple(sorted(self.eaten)),
            reopened=tuple(sorted(self.reopened)),
            trial=self.trial,
            kinds={which: tasks for which, tasks in self.kinds.items() if tasks > 0},
        )
