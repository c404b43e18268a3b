"""The sweep of the ledger in memory; the twin of `redis_ledger/sweep.lua`."""

from collections.abc import Callable

from farm.adapters.ledger_rules import OFFER_AGAIN_MAX, SWEEP_LIMIT, milliseconds
from farm.adapters.memory_resets import Reset
from farm.adapters.memory_rows import LISTED, MemoryJob, Row
from farm.adapters.memory_views import MemoryViews
from farm.domain.state import Outcome, TaskState
from farm.ports import Offer, Swept


class MemorySweep(MemoryViews):
    """What looks after jobs and workers that nobody looks after."""

    def sweep(self, offer_after_s: float) -> Swept:
        """Look after what nobody looks after; at most SWEEP_LIMIT of each kind."""
        with self._lock:
            now = self._now()
            changes = {name: Reset(job, now) for name, job in self._jobs.items()}
            expired = self._rows(TaskState.ACTIVE, lambda row: row.expires, now)
            for job, row in expired:
                change = changes[job.facts.id]
                error = f"the lease of {row.worker} ran out"
                # Charged for as long as the worker is known to have been at it: not for the wait, or others would come
                # first then.
                change.let_go(row, Outcome.LOST, error, max(0, row.expires - row.ttl - row.started))
                change.fall_short(row, Outcome.LOST, error, None)
                change.settle()
            due = self._rows(TaskState.SOFT_FAILED, lambda row: row.due, now)
            for job, row in due:
                changes[job.facts.id].back(row)
            for name in {job.facts.id for job, _ in (*expired, *due)}:
                self._jobs[name].revision += 1
            offers = [offer for change in changes.values() for offer in change.offers]
            offers += self._offer_again(now, milliseconds(offer_after_s))
            self._bid_farewell(now)
            self._log.trim(now)
            names = tuple(f"{job.facts.id}/{row.new.id}" for job, row in expired)
            return Swept(tuple(offers), names, self._to_advance(now))

    def _bid_farewell(self, now: int) -> None:
        for name in sorted((name for name, (_, until) in self._workers.items() if until <= now), key=self._last_seen):
            self._take_off(now, name)

    def _last_seen(self, worker: str) -> tuple[int, str]:
        return self._workers[worker][1], worker

    def _rows(self, state: TaskState, when: Callable[[Row], int], until: int) -> list[tuple[MemoryJob, Row]]:
        """Rows in a state, those whose time has come, in the order of their times."""
        found = [(job, row) for job in self._jobs.values() for row in job.rows.values() if row.state is state]
        found = [item for item in found if when(item[1]) <= until]
        found.sort(key=lambda item: (when(item[1]), f"{item[0].facts.id}/{item[1].new.id}"))
        return found[:SWEEP_LIMIT]

    def _offer_again(self, now: int, after: int) -> list[Offer]:
        offers = []
        for job, row in self._rows(TaskState.QUEUED, lambda row: row.offered, now - after):
            row.offered = now
            if job.state in LISTED:
                row.offered += after * (min(2**row.offers, OFFER_AGAIN_MAX) - 1)
                row.offers += 1
                offers.append(row.offer(job.facts.id))
        return offers

    def _to_advance(self, now: int) -> tuple[str, ...]:
        """Open jobs, those first that were not looked at for longest."""
        jobs = sorted((job for job in self._jobs.values() if not job.over), key=lambda job: (job.swept, job.facts.id))
        for job in jobs[:SWEEP_LIMIT]:
            job.swept = now
        return tuple(job.facts.id for job in jobs[:SWEEP_LIMIT])
