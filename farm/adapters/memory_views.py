"""The reading half of the ledger in memory, and its list of workers."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import RLock

from farm.adapters.ledger_rules import milliseconds, no_job, no_task, system_clock
from farm.adapters.memory_rows import LISTED, MemoryJob
from farm.domain.queues import QUEUES
from farm.domain.state import TaskState
from farm.ports import JobStatus, Offer, QueueLoad, TaskFilter, TaskStatus, WorkerStatus


class MemoryViews:
    """What a ledger answers without a change of any job."""

    def __init__(self, clock: Callable[[], float] = system_clock) -> None:
        """
        Args:
            clock: seconds since 1970; what Redis calls its own time.
        """
        self._clock = clock
        self._lock = RLock()
        self._jobs: dict[str, MemoryJob] = {}
        self._workers: dict[str, tuple[WorkerStatus, int]] = {}
        self._kept: dict[str, tuple[str, int]] = {}
        self._tallied: dict[str, float] = {}
        self._incarnation = secrets.token_hex(4)
        self._fences = 0

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

    def beat(self, worker: WorkerStatus, ttl_s: float) -> None:
        """A worker's sign of life."""
        with self._lock:
            now = self._now()
            self._workers[worker.id] = (replace(worker, seen=now / 1000), now + milliseconds(ttl_s))

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those alive, by id, with their leases."""
        with self._lock:
            now = self._now()
            alive = sorted((name, worker) for name, (worker, until) in self._workers.items() if until > now)
            return tuple(replace(worker, tasks=self._leases(name)) for name, worker in alive)

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

    def ping(self) -> None:
        """Memory is always there."""
