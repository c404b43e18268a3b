"""What the ledger is told and what it says: records, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from farm.domain.state import JobState, TaskState

DRAINED_CODE = 80
"""Exit code of a worker that ended since a person asked it to: who keeps it alive does not start it again."""


class Offer(NamedTuple):
    """A task that is ready, as it is carried by the queue: names only."""

    job: str
    task: str
    kind: str
    queue: str


class NewTask(NamedTuple):
    """A task to be added to a job's ledger."""

    id: str
    """Unique in its job; ends in `.<chunk>` or `.<chunk>.<n>`."""
    kind: str
    """`ingest`, `detect`, `scan`, `plan`, `detail`, `paste`, `encode`, or `barrier`: nobody runs it, it ends with its
    waits."""
    queue: str
    """Queue it is offered on; "" for a barrier."""
    chunk: int = -1
    """Chunk it belongs to; -1 for the job's own tasks."""
    layer: str = ""
    """`detail:<source>` and so on; what people filter by."""
    key: str = ""
    """Content key, if it has one."""
    waits: tuple[str, ...] = ()
    """Tasks that must be completed (or eaten) before; if one fails, this one fails with it. May be unknown yet."""
    settles: tuple[str, ...] = ()
    """Tasks that must have ended before, well or badly."""
    feeds: tuple[str, ...] = ()
    """Tasks, there already and still in `depend`, that from now on wait for this one too."""
    closes: bool = False
    """When this task ends, its chunk has ended (as it ended)."""
    final: bool = False
    """When this task ends, the job has ended: completed if no task of it is failed, else failed. Left out if it waits
    for nothing and a chunk has not ended yet; a retry removes it, to be added again."""
    output: str = ""
    """Not empty: the task is known to be done, with this output; it is added as completed, or as eaten if it is
    `eaten`."""
    parts: int = 0
    """Tasks that take its place, if it was split before it was added; it waits for them."""


@dataclass(frozen=True)
class Lease:
    """The right to run a task for a while. `fence` is refused by the ledger once the lease was given to another."""

    job: str
    task: str
    kind: str
    queue: str
    chunk: int
    layer: str
    key: str
    attempt: int
    """Starts at 1; attempts that do not count against the job's `max_attempts` are left out."""
    fence: str
    """`<incarnation of the ledger>-<name of the claim, where it may be forgotten>-<counter>`."""
    worker: str
    parts: int = 0
    """Tasks that it was split into: their results are to be put together; 0: it was not."""
    amended: bool = False
    """Something of its chunk was eaten: the decisions in the store say what."""
    waited_s: float = 0.0
    """Seconds for which the task was ready before it was claimed."""


@dataclass(frozen=True)
class Ended:
    """What the end of an attempt led to."""

    accepted: bool
    """False: the fence was old; nothing was changed."""
    offers: tuple[Offer, ...] = ()
    """Tasks that became ready; send them."""
    chunk_ended: bool = False
    job_ended: bool = False
    task_state: TaskState | None = None


@dataclass(frozen=True)
class JobFacts:
    """What the ledger knows of a job from its document."""

    id: str
    name: str
    type: str
    user: str
    created: str
    priority: int
    frames: int
    chunks: int
    max_attempts: int
    max_workers: int = 0
    """Workers that may be at work on it at the same time; 0: any number."""
    trial: int = 0
    """Chunks that are rendered first; when they have ended the job awaits approval. 0: it asks for none."""
    weight: float = 1.0
    """Share of its user, beside 1 of others."""


class Blocked(NamedTuple):
    """A worker that is given no more tasks of one kind of a job, as long as there are others."""

    worker: str
    kind: str
    tasks: tuple[str, ...]
    """Those that it failed."""


@dataclass(frozen=True)
class JobStatus:
    """A job's counts, kept as they change: reading them costs the same for any job."""

    facts: JobFacts
    state: JobState
    activity: str
    """Last change, in words."""
    revision: int
    """Grows with every change."""
    counts: Mapping[TaskState, int]
    """Tasks that are planned so far, by state; they sum to `tasks`."""
    tasks: int
    frames_done: int
    frames_contiguous: int
    """Frames from the first on that are final without a gap (whole chunks)."""
    chunks_opened: int
    """Chunks 0 .. chunks_opened-1 have their tasks in the ledger or have ended."""
    chunks_done: int
    chunks_failed: int
    steps_done: int
    """Sampler steps of detail tasks so far, of all attempts."""
    started: float | None
    """Server time, seconds since 1970."""
    ended: float | None
    cache_hits: int
    cache_misses: int
    """Detail tasks that were known done when planned, and those that were not."""
    workers_active: int
    blocked: tuple[Blocked, ...] = ()
    eaten: tuple[int, ...] = ()
    """Chunks in which something was eaten."""
    reopened: tuple[int, ...] = ()
    """Chunks whose tasks must be added again."""
    trial: int = 0
    """Chunks that must have ended before the job awaits approval; 0 once it was given, or if none is wanted."""
    kinds: Mapping[tuple[str, TaskState], int] = field(default_factory=dict)
    """`counts` by kind of task too; what there is none of is left out."""


@dataclass(frozen=True)
class TaskStatus:
    """One task as the ledger has it."""

    id: str
    kind: str
    layer: str
    chunk: int
    state: TaskState
    attempt: int
    key: str
    output: str
    worker: str
    error: str
    step: int
    steps: int
    cause: str = ""
    """The task that failed, so that this one was not run."""
    history: tuple[Mapping[str, object], ...] = ()
    """Attempts: worker, started, ended (server time), outcome, error."""


@dataclass(frozen=True)
class Drain:
    """A person's wish that a worker takes nothing more and ends."""

    actor: str = ""
    reason: str = ""
    since: float = 0.0
    """Server time of the wish, seconds since 1970."""
    grace_s: float | None = None
    """Seconds that it may take to finish what it runs, from when it hears of it; None: its own setting."""


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as it last described itself."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    device: str
    seen: float
    """Server time of its last sign of life."""
    tasks: tuple[str, ...] = ()
    """`job/task` of its leases."""
    info: Mapping[str, object] = field(default_factory=dict)
    drain: Drain | None = None
    """Who asked it to end; None: nobody."""

    @property
    def leaves(self) -> bool:
        """Whether it takes nothing more: a person, or its machine, has told it to end."""
        return self.drain is not None or bool(self.info.get("draining"))


@dataclass(frozen=True)
class Swept:
    """What a sweep found."""

    offers: tuple[Offer, ...] = ()
    expired: tuple[str, ...] = ()
    """`job/task` whose lease ran out."""
    jobs: tuple[str, ...] = ()
    """Jobs that are not ended, to be advanced."""


class QueueLoad(NamedTuple):
    """How much there is to do on a queue, of jobs that run."""

    queue: str
    waiting: int
    """Tasks that are ready and that nobody has claimed."""
    running: int
    """Tasks that a worker has claimed."""


class TaskFilter(NamedTuple):
    """Which tasks are meant; empty fields mean all."""

    states: tuple[TaskState, ...] = ()
    layer: str = ""
    chunk: int | None = None
    tasks: tuple[str, ...] = ()
