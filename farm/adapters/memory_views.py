"""The reading half of the ledger in memory, and its list of workers."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import RLock

from farm.adapters.ledger_rules import (
    EVENTS_KEPT,
    REASON_MAX,
    milliseconds,
    no_job,
    no_task,
    no_worker,
    system_clock,
)
from farm.adapters.memory_log import MemoryLog
from farm.adapters.memory_rows import LISTED, MemoryJob
from farm.domain.queues import QUEUES
from farm.domain.state import JOB_ENDED, TaskState
from farm.ports import Drain, EventPage, JobStatus, Offer, QueueLoad, TaskFilter, TaskStatus, WorkerStatus


class MemoryViews:
    """What a ledger answers without a change of any job."""

    def __init__(self, clock: Callable[[], float] = system_clock, events_kept: int = EVENTS_KEPT) -> None:
        """
        Args:
            clock: seconds since 1970; what Redis calls its own time.
            events_kept: in the log, at the most.
        """
        self._clock = clock
        self._lock = RLock()
        self._jobs: dict[str, MemoryJob] = {}
        self._workers: dict[str, tuple[WorkerStatus, int]] = {}
        self._drains: dict[str, Drain] = {}
        self._kept: dict[str, tuple[str, int]] = {}
        self._tallied: dict[str, float] = {}
        self._incarnation = secrets.token_hex(4)
        self._fences = 0
        self._log = MemoryLog(self._lock, events_kept)
        self._bookmarks: dict[str, str] = {}

    def _now(self) -> int:
        return milliseconds(self._clock())

    def _job(self, job: str) -> MemoryJob:
        try:
            return self._jobs[job]
        except KeyError:
            raise no_job(job) from None

    def ready(self, job: str) -> tuple[Offer, ...]:
        """All ready tasks of a job that runs, in the order in which they are given out."""
        with self._lock:
            found = self._job(job)
            if found.state not in LISTED:
                return ()
            rows = sorted((row for row in found.rows.values() if row.state is TaskState.QUEUED), key=lambda r: r.order)
            for row in rows:
                row.offers, row.offered = 1, self._now()
            return tuple(row.offer(job) for row in rows)

    def status(self, job: str) -> JobStatus:
        """Counts of a job. Raises NotFound."""
        with self._lock:
            return self._job(job).status()

    def jobs(self, after: str = "", limit: int = 100) -> tuple[JobStatus, ...]:
        """Newest first. Raises NotFound if there is no job `after`."""
        with self._lock:
            before = self._job(after).order if after else None
            jobs = sorted(self._jobs.values(), key=lambda job: job.order, reverse=True)
            return tuple(job.status() for job in jobs if before is None or job.order < before)[:limit]

    def unfinished(self, user: str) -> dict[str, int]:
        """A user's jobs that have not ended, each with its frames."""
        with self._lock:
            found = (job for job in self._jobs.values() if job.state not in JOB_ENDED and job.facts.user == user)
            return {job.facts.id: job.facts.frames for job in found}

    def tasks(self, job: str, which: TaskFilter, after: str = "", limit: int = 200) -> tuple[TaskStatus, ...]:
        """Tasks by id, barriers left out."""
        with self._lock:
            rows = sorted(self._job(job).rows.items())
            meant = (row for name, row in rows if row.counted and name > after and row.meant(which))
            return tuple(row.status() for row in meant)[:limit]

    def task(self, job: str, task: str) -> TaskStatus:
        """Raises NotFound."""
        with self._lock:
            row = self._job(job).rows.get(task)
            if row is None or not row.counted:
                raise no_task(job, task)
            return row.status()

    def outputs(self, job: str, tasks: Sequence[str]) -> dict[str, str]:
        """Outputs of those that are completed; `eaten` for those that were eaten."""
        with self._lock:
            rows = {name: row for name, row in self._job(job).rows.items() if name in set(tasks)}
            done = {name: row.output for name, row in rows.items() if row.state is TaskState.COMPLETED and row.counted}
            return done | {name: "eaten" for name, row in rows.items() if row.state is TaskState.EATEN}

    def chunk_states(self, job: str, chunks: Sequence[int]) -> dict[int, str]:
        """`open`, `done` or `failed`."""
        with self._lock:
            found = self._job(job)
            states = {chunk: "open" for chunk in chunks if 0 <= chunk < found.opened}
            states |= {chunk: "failed" for chunk in chunks if chunk in found.failed}
            return states | {chunk: "done" for chunk in chunks if chunk in found.done}

    def beat(self, worker: WorkerStatus, ttl_s: float) -> Drain | None:
        """A worker's sign of life; the wish that it ends, if there is one."""
        with self._lock:
            now = self._now()
            if worker.id not in self._workers:
                joined = {"worker": worker.id, "host": worker.host, "device": worker.device}
                self._log.tell(now, "worker.joined", "", joined)
            self._workers[worker.id] = (replace(worker, seen=now / 1000), now + milliseconds(ttl_s))
            return self._drains.get(worker.id)

    def leave(self, worker: str) -> None:
        """Take a worker off the list."""
        with self._lock:
            self._take_off(self._now(), worker)

    def _take_off(self, now: int, worker: str) -> None:
        self._drains.pop(worker, None)
        if self._workers.pop(worker, None):
            self._log.tell(now, "worker.left", "", {"worker": worker})

    def drain(self, worker: str, wish: Drain) -> Drain:
        """Have a worker be given nothing more. Raises NotFound."""
        with self._lock:
            self._must_live(worker)
            self._drains[worker] = replace(wish, reason=wish.reason[:REASON_MAX], since=self._now() / 1000)
            return self._drains[worker]

    def undrain(self, worker: str) -> bool:
        """Take that wish back; whether there was one. Raises NotFound."""
        with self._lock:
            self._must_live(worker)
            return self._drains.pop(worker, None) is not None

    def _must_live(self, worker: str) -> None:
        if worker not in self._workers or self._workers[worker][1] <= self._now():
            raise no_worker(worker)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those alive, by id, with their leases."""
        with self._lock:
            now = self._now()
            alive = sorted((name, worker) for name, (worker, until) in self._workers.items() if until > now)
            return tuple(
                replace(worker, tasks=self._leases(name), drain=self._drains.get(name)) for name, worker in alive
            )

    def alive(self) -> int:
        """How many workers are alive."""
        with self._lock:
            return sum(until > self._now() for _, until in self._workers.values())

    def _leases(self, worker: str) -> tuple[str, ...]:
        rows = ((job.facts.id, row) for job in self._jobs.values() for row in job.rows.values())
        return tuple(sorted(f"{job}/{row.new.id}" for job, row in rows if row.expires and row.worker == worker))

    def queues(self) -> tuple[QueueLoad, ...]:
        """How much there is to do, queue by queue."""
        with self._lock:
            rows = [(job.state, row) for job in self._jobs.values() for row in job.rows.values() if row.counted]
            waiting = Counter(r.new.queue for state, r in rows if r.state is TaskState.QUEUED and state in LISTED)
            running = Counter(row.new.queue for _, row in rows if row.state is TaskState.ACTIVE)
            return tuple(QueueLoad(queue, waiting[queue], running[queue]) for queue in QUEUES)

    def tally(self, increments: Mapping[str, float]) -> None:
        """Add to the farm's counts."""
        with self._lock:
            for name, by in increments.items():
                self._tallied[name] = self._tallied.get(name, 0.0) + by

    def tallied(self) -> dict[str, float]:
        """The farm's counts."""
        with self._lock:
            return dict(self._tallied)

    def remember(self, key: str, value: str, ttl_s: float) -> str:
        """The value that is kept under `key`."""
        with self._lock:
            now = self._now()
            kept, until = self._kept.get(key, ("", 0))
            if until > now:
                return kept
            self._kept[key] = (value, now + milliseconds(ttl_s))
            return value

    def events(self, after: str = "", limit: int = 500, wait_s: float = 0.0) -> EventPage:
        """What came after an id; where that is nothing, wait for it a while. Raises Rejected."""
        return self._log.page(after, limit, wait_s)

    def announce(self, kind: str, job: str, data: Mapping[str, object]) -> str:
        """Write an event; its id."""
        return self._log.tell(self._now(), kind, job, data)

    def bookmark(self, name: str) -> str:
        """What was last kept under a name, or ""."""
        with self._lock:
            return self._bookmarks.get(name, "")

    def keep_bookmark(self, name: str, value: str) -> None:
        """Keep a short text under a name."""
        with self._lock:
            self._bookmarks[name] = value

    def ping(self) -> None:
        """Memory is always there."""
