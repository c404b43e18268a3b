"""What the farm needs of the world: three protocols, no code. One test suite holds all adapters to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple, Protocol

from farm.domain.events import Event, EventPage
from farm.domain.records import (
    Blocked,
    Drain,
    Ended,
    JobFacts,
    JobStatus,
    Lease,
    NewTask,
    Offer,
    QueueLoad,
    Swept,
    TaskFilter,
    TaskStatus,
    WorkerStatus,
)
from farm.domain.state import Outcome

__all__ = [
    "Blobs",
    "Blocked",
    "Drain",
    "Ended",
    "Entry",
    "Event",
    "EventPage",
    "JobFacts",
    "JobStatus",
    "Lease",
    "Ledger",
    "NewTask",
    "Offer",
    "Queue",
    "QueueLoad",
    "Swept",
    "TaskFilter",
    "TaskStatus",
    "WorkerStatus",
]


class Entry(NamedTuple):
    """An object as a listing tells of it."""

    name: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970, by the store's clock."""


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

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, with size and age. What vanishes meanwhile is left out."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; names that are not there are ignored."""

    def url(self, name: str, expires_s: int) -> str | None:
        """A link that anybody may read for `expires_s` seconds, or None if the store has none."""


class Ledger(Protocol):
    """What is done, who does what: every change is atomic. All of it can be rebuilt from the store."""

    def create(self, facts: JobFacts, done_chunks: Sequence[tuple[int, int]] = (), *, recovered: bool = False) -> bool:
        """Open a job (state queued). `done_chunks` are (chunk, frames) that ended well before. False: it exists.
        `recovered`: it is not new, only this ledger has lost it."""

    def extend(self, job: str, tasks: Sequence[NewTask], opened: int) -> tuple[Offer, ...]:
        """Add tasks (those that exist, or whose chunk is done, are left alone), raise `chunks_opened` to `opened`;
        those that became ready. Raises NotFound."""

    def claim(self, worker: str, queues: Sequence[str], prefer: Offer | None, ttl_s: float) -> Lease | None:
        """A lease on the best ready task of these queues: higher priority first, then the job that had least, then
        earlier chunks; `prefer` only among equals. A worker that has failed a task, or three of its kind, is not
        given it as long as another one alive could do it. None: nothing is ready for this worker."""

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

    def fail(
        self,
        lease: Lease,
        outcome: Outcome,
        error: str,
        retry_in_s: float | None,
        queue: str = "",
        parts: Sequence[NewTask] = (),
    ) -> Ended:
        """End an attempt badly. With `parts` the task is split: it waits for them and is then given out again, to put
        their results together. `retry_in_s` None, or no attempt left: the task is failed and what waits for it with
        it; else it is tried again then. interrupted, lost and superseded use up no attempt (None: again at once), but
        a task lost too often is failed. canceled cancels it. `queue`: what the task is offered on from now on, if not
        what it was offered on before."""

    def sweep(self, offer_after_s: float) -> Swept:
        """Put expired leases and due retries back; offer again what was ready for `offer_after_s` without a claim, and
        then ever more rarely. Bounded work: what is left is found by the next sweep."""

    def act(self, job: str, action: str, reason: str, actor: str) -> JobStatus:
        """`pause`, `resume`, `cancel`, `approve`. Raises NotFound, Conflict."""

    def retry(self, job: str, which: TaskFilter, reason: str, actor: str) -> tuple[int, tuple[Offer, ...]]:
        """Reset failed and canceled tasks and what failed with them; reopens an ended job. Tasks reset, ready ones."""

    def eat(
        self, job: str, tasks: Sequence[str], again: Sequence[str], chunks: Sequence[int], reason: str, actor: str
    ) -> tuple[int, tuple[Offer, ...]]:
        """Give failed `tasks` up: those who wait for them go on; reset the failed tasks `again`. Their chunks, and
        `chunks`, count as eaten. Reopens an ended job. Tasks eaten or reset, ready ones. Raises NotFound, Conflict."""

    def reopen(self, job: str, chunks: Sequence[tuple[int, int, int]], reason: str, actor: str) -> None:
        """Forget all tasks of chunks, done or not: (chunk, its final frames, final frames of all before it). They are
        to be added again (`JobStatus.reopened`). Reopens an ended job. Raises NotFound, Conflict."""

    def unblock(self, job: str, worker: str, reason: str, actor: str) -> int:
        """Forget what a worker ("": any) has failed; the number of blocks that are gone. Raises NotFound."""

    def adjust(self, job: str, priority: int | None, max_workers: int | None, reason: str, actor: str) -> JobStatus:
        """Change what is not None. Raises NotFound, Rejected."""

    def ready(self, job: str) -> tuple[Offer, ...]:
        """All ready tasks of a job, to be offered anew (after resume)."""

    def status(self, job: str) -> JobStatus:
        """Raises NotFound."""

    def jobs(self, after: str = "", limit: int = 100) -> tuple[JobStatus, ...]:
        """Newest first, those behind the job `after`."""

    def unfinished(self, user: str) -> dict[str, int]:
        """A user's jobs that have not ended, each with its frames; costs as much as all such jobs of the farm."""

    def tasks(self, job: str, which: TaskFilter, after: str = "", limit: int = 200) -> tuple[TaskStatus, ...]:
        """Tasks that the ledger still holds, by id; completed ones of ended chunks are in the chunk documents."""

    def task(self, job: str, task: str) -> TaskStatus:
        """Raises NotFound."""

    def outputs(self, job: str, tasks: Sequence[str]) -> dict[str, str]:
        """Outputs of those tasks that are completed; an eaten task has the output `eaten`."""

    def chunk_states(self, job: str, chunks: Sequence[int]) -> dict[int, str]:
        """`open`, `done` or `failed` of each; chunks never opened are left out."""

    def drop(self, job: str, chunks: Sequence[int], tasks: Sequence[str] = ()) -> None:
        """Forget the rows of those chunks that ended well, and of those tasks that are completed; counts stay."""

    def beat(self, worker: WorkerStatus, ttl_s: float) -> Drain | None:
        """A worker's sign of life; it is gone `ttl_s` after its last. The wish that it ends, if there is one."""

    def drain(self, worker: str, wish: Drain) -> Drain:
        """Have a worker that is alive be given nothing more, from now on; the wish as it is kept, with its time. It
        ends with the worker. A later wish takes the place of an earlier one. Raises NotFound."""

    def undrain(self, worker: str) -> bool:
        """Take that wish back; whether there was one. Raises NotFound."""

    def leave(self, worker: str) -> None:
        """Take a worker off the list, and what was wished of it: it ends now. Its leases are left alone."""

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those alive."""

    def alive(self) -> int:
        """How many workers are alive; costs the same for any number."""

    def queues(self) -> tuple[QueueLoad, ...]:
        """How much there is to do, queue by queue; costs as much as there are jobs that run and leases."""

    def tally(self, increments: Mapping[str, float]) -> None:
        """Add to the farm's counts, by name. What is sent twice, in an outage, counts twice."""

    def tallied(self) -> dict[str, float]:
        """The farm's counts: of all processes, also of those that are gone."""

    def remember(self, key: str, value: str, ttl_s: float) -> str:
        """Keep `value` under `key` if there is none yet; the value that is kept (idempotency keys, elections)."""

    def forget(self, job: str) -> None:
        """Remove a job from the ledger (not from the store)."""

    def events(self, after: str = "", limit: int = 500, wait_s: float = 0.0) -> EventPage:
        """What happened after the event with this id ("": all that is kept), oldest first. Every verb tells in the same
        moment what it changes. If there is nothing yet, it is waited for, some seconds at the most. Raises Rejected."""

    def announce(self, kind: str, job: str, data: Mapping[str, object]) -> str:
        """Write an event that is no verb's; its id."""

    def bookmark(self, name: str) -> str:
        """How far somebody has read, as last kept under a name; "" if nothing was."""

    def keep_bookmark(self, name: str, value: str) -> None:
        """Keep it."""

    def ping(self) -> None:
        """Raises Unavailable with what to check."""


class Queue(Protocol):
    """Carries offers to workers. May lose, double or delay them: the ledger decides."""

    def send(self, offers: Sequence[Offer]) -> None:
        """Raises Unavailable."""
