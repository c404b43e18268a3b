"""What the farm needs of the world: three protocols, no code. One test suite holds all adapters to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple, Protocol

from farm.domain.state import JobState, Outcome, TaskState


class Blobs(Protocol):
    """Objects by name: pixels and documents. Names are relative, with `/` between parts; a put is atomic."""

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store `data` under `name`, replacing what was there."""

    def put_file(self, name: str, path: PurePath, content_type: str = "application/octet-stream") -> None:
        """Store a file, streaming."""

    def get(self, name: str) -> bytes:
        """The object's bytes. Raises NotFound."""

    def get_to_file(self, name: str, path: PurePath) -> None:
        """Write the object to a file, streaming. Raises NotFound."""

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`. Raises NotFound."""

    def exists(self, name: str) -> bool:
        """Whether an object of this name is there."""

    def size(self, name: str) -> int | None:
        """Bytes, or None if it is not there."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that start with `prefix`, sorted, those up to `after` left out; read page by page."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; names that are not there are ignored."""

    def url(self, name: str, expires_s: int) -> str | None:
        """A link that anybody may read for `expires_s` seconds, or None if the store has none."""


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
    """`ingest`, `scan`, `plan`, `detail`, `paste`, `encode`, or `barrier`: nobody runs it, it ends with its waits."""
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
    """Not empty: the task is known to be done, with this output; it is added as completed."""


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
    """`<incarnation of the ledger>-<counter>`."""
    worker: str


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
    history: tuple[Mapping[str, object], ...] = ()
    """Attempts: worker, started, ended (server time), outcome, error."""


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


@dataclass(frozen=True)
class Swept:
    """What a sweep found."""

    offers: tuple[Offer, ...] = ()
    expired: tuple[str, ...] = ()
    """`job/task` whose lease ran out."""
    jobs: tuple[str, ...] = ()
    """Jobs that are not ended, to be advanced."""


class TaskFilter(NamedTuple):
    """Which tasks are meant; empty fields mean all."""

    states: tuple[TaskState, ...] = ()
    layer: str = ""
    chunk: int | None = None
    tasks: tuple[str, ...] = ()


class Ledger(Protocol):
    """What is done, who does what: every change is atomic. All of it can be rebuilt from the store."""

    def create(self, facts: JobFacts, done_chunks: Sequence[tuple[int, int]] = ()) -> bool:
        """Open a job (state queued). `done_chunks` are (chunk, frames) that ended well before. False: it exists."""

    def extend(self, job: str, tasks: Sequence[NewTask], opened: int) -> tuple[Offer, ...]:
        """Add tasks (those that exist, or whose chunk is done, are left alone), raise `chunks_opened` to `opened`;
        those that became ready. Raises NotFound."""

    def claim(self, worker: str, queues: Sequence[str], prefer: Offer | None, ttl_s: float) -> Lease | None:
        """A lease on the best ready task of these queues: higher priority first, then the job that had least, then
        earlier chunks; `prefer` only among equals. None: nothing is ready."""

    def renew(self, leases: Sequence[Lease], ttl_s: float) -> tuple[str, ...]:
        """Lengthen leases; for each `ok`, `lost` or `canceled`."""

    def progress(self, lease: Lease, step: int, steps: int) -> str:
        """Note progress; `ok`, `lost` or `canceled`. Steps of detail tasks count for the job. Cheap: called at every
        step."""

    def finish(
        self, lease: Lease, output: str, tasks: Sequence[NewTask] = (), frames: int = 0, seconds: float = 0.0
    ) -> Ended:
        """End an attempt well: the task is completed with `output`, `tasks` are added in the same moment,
        `frames` final frames are counted, `seconds` are charged to the job's fair share. Idempotent by fence."""

    def fail(self, lease: Lease, outcome: Outcome, error: str, retry_in_s: float | None) -> Ended:
        """End an attempt badly. `retry_in_s` None, or no attempt left: the task is failed and what waits for it with
        it; else it is tried again then. interrupted, lost and superseded use up no attempt (None: again at once), but
        a task lost too often is failed. canceled cancels it."""

    def sweep(self, offer_after_s: float) -> Swept:
        """Put expired leases and due retries back; offer again what was ready for `offer_after_s` without a claim, and
        then ever more rarely. Bounded work: what is left is found by the next sweep."""

    def act(self, job: str, action: str, reason: str, actor: str) -> JobStatus:
        """`pause`, `resume`, `cancel`. Raises NotFound, Conflict."""

    def retry(self, job: str, which: TaskFilter, reason: str, actor: str) -> tuple[int, tuple[Offer, ...]]:
        """Reset failed and canceled tasks and what failed with them; reopens an ended job. Tasks reset, ready ones."""

    def ready(self, job: str) -> tuple[Offer, ...]:
        """All ready tasks of a job, to be offered anew (after resume)."""

    def status(self, job: str) -> JobStatus:
        """Raises NotFound."""

    def jobs(self, after: str = "", limit: int = 100) -> tuple[JobStatus, ...]:
        """Newest first, those behind the job `after`."""

    def tasks(self, job: str, which: TaskFilter, after: str = "", limit: int = 200) -> tuple[TaskStatus, ...]:
        """Tasks that the ledger still holds, by id; completed ones of ended chunks are in the chunk documents."""

    def task(self, job: str, task: str) -> TaskStatus:
        """Raises NotFound."""

    def outputs(self, job: str, tasks: Sequence[str]) -> dict[str, str]:
        """Outputs of those tasks that are completed; an eaten task has the output `eaten`."""

    def chunk_states(self, job: str, chunks: Sequence[int]) -> dict[int, str]:
        """`open`, `done` or `failed` of each; chunks never opened are left out."""

    def drop(self, job: str, chunk: int) -> None:
        """Forget the rows of a chunk that ended well; its counts stay."""

    def beat(self, worker: WorkerStatus, ttl_s: float) -> None:
        """A worker's sign of life; it is gone `ttl_s` after its last."""

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those alive."""

    def remember(self, key: str, value: str, ttl_s: float) -> str:
        """Keep `value` under `key` if there is none yet; the value that is kept (idempotency keys, elections)."""

    def forget(self, job: str) -> None:
        """Remove a job from the ledger (not from the store)."""

    def ping(self) -> None:
        """Raises Unavailable with what to check."""


class Queue(Protocol):
    """Carries offers to workers. May lose, double or delay them: the ledger decides."""

    def send(self, offers: Sequence[Offer]) -> None:
        """Raises Unavailable."""
