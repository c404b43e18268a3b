"""Which task a worker is given by the ledger in memory; the twin of `redis_ledger/claim.lua`."""

from collections.abc import Iterator, Mapping, Sequence

from farm.adapters.ledger_rules import HASTE_MAX, WITHHELD_S, milliseconds
from farm.adapters.memory_rows import LISTED, MemoryJob, Row
from farm.domain.state import TaskState
from farm.ports import Offer, WorkerStatus

Choice = tuple[MemoryJob, Row]


class Chooser:
    """One claim: who asks, for which queues, and who else is alive."""

    def __init__(
        self, worker: str, queues: Sequence[str], jobs: Mapping[str, MemoryJob], crew: Sequence[WorkerStatus], now: int
    ) -> None:
        """
        Args:
            crew: workers that are alive.   now: server time in milliseconds.
        """
        self._worker = worker
        self._queues = queues
        self._jobs = jobs
        self._crew = [other for other in crew if other.id != worker and not other.info.get("draining")]
        self._now = now

    def choose(self, wish: Offer | None) -> Choice | None:
        """The best task that this worker may have; the wish only among jobs that are as good as the best one."""
        line = sorted(
            (job for job in self._jobs.values() if job.state in LISTED), key=lambda job: (job.merit, job.order)
        )
        best = next((choice for job in line if not self._full(job) for choice in self._of(job)), None)
        wished = self._wished(wish) if wish else None
        if best and wished and wished[1].new.queue in self._queues and wished[0].merit == best[0].merit:
            return wished
        return best

    def _of(self, job: MemoryJob) -> Iterator[Choice]:
        rows = [row for row in job.rows.values() if row.state is TaskState.QUEUED and row.new.queue in self._queues]
        yield from ((job, row) for row in sorted(rows, key=lambda row: row.order) if self._may(job, row))

    def _wished(self, wish: Offer) -> Choice | None:
        job = self._jobs.get(wish.job)
        row = job.rows.get(wish.task) if job else None
        if job is None or row is None or job.state not in LISTED or row.state is not TaskState.QUEUED:
            return None
        if row.new.queue != wish.queue or self._full(job):
            return None
        if self._may(job, row):
            return job, row
        if row.offers < HASTE_MAX:
            row.offered = 0
        return None

    def _may(self, job: MemoryJob, row: Row) -> bool:
        """A worker that is barred, or has failed this very task, leaves it to others as long as there are any."""
        again = self._worker in row.failed and self._now < row.since + milliseconds(WITHHELD_S)
        return not (job.barred(row.new.kind, self._worker) and self._another(job, row, set())) and not (
            again and self._another(job, row, row.failed)
        )

    def _another(self, job: MemoryJob, row: Row, failed: set[str]) -> bool:
        """Whether another worker that is alive serves the task's queue and gets such tasks."""
        return any(
            row.new.queue in other.queues and other.id not in failed and not job.barred(row.new.kind, other.id)
            for other in self._crew
        )

    def _full(self, job: MemoryJob) -> bool:
        most = job.facts.max_workers
        return most > 0 and self._worker not in job.workers and len(job.workers) >= most
