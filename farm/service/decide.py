"""What people decide about jobs: each decision is in the store before the ledger acts on it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from datetime import datetime, timedelta

from farm.domain import keys
from farm.domain.state import JobState
from farm.errors import NotFound, Rejected
from farm.ports import Blobs, Drain, JobStatus, Ledger, Queue, TaskFilter, WorkerStatus
from farm.service.approval import check_asked
from farm.service.documents import Documents, compact
from farm.service.eat import Meant, counted, meal, to_reopen


class Decisions(ABC):
    """The half of the farm that people decide with."""

    blobs: Blobs
    ledger: Ledger
    queue: Queue
    documents: Documents

    @abstractmethod
    def advance(self, job_id: str) -> None:
        """Let the job's next chunks in, or close it; what became ready is offered."""

    @abstractmethod
    def _now(self) -> str:
        """UTC, ISO 8601 with microseconds."""

    def act(self, job_id: str, action: str, reason: str = "", actor: str = "") -> JobStatus:
        """`pause`, `resume`, `cancel` or `approve`. The decision is in the store before the ledger acts on it."""
        status = self.ledger.status(job_id)
        if action == "approve":
            check_asked(self.documents.job(job_id))
            if not status.trial:
                return status  # it was given before
        record = self._decide(job_id, action, reason, actor)
        try:
            status = self.ledger.act(job_id, action, reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise
        if action in ("resume", "approve"):
            self.queue.send(self.ledger.ready(job_id))
            self.advance(job_id)
            status = self.ledger.status(job_id)
        return status

    def retry(self, job_id: str, which: TaskFilter | None = None, reason: str = "", actor: str = "") -> int:
        """Try failed and canceled tasks again, and make again where something was eaten; the number of tasks that were
        reset."""
        job, status, meant = self.documents.job(job_id), self.ledger.status(job_id), which or TaskFilter()
        # A job that is being canceled refuses: then nothing must have been touched.
        again = [] if status.state is JobState.CANCEL_REQUESTED else to_reopen(job, status, meant)
        found = counted(job, self.blobs, status.eaten, again)
        self._decide(job_id, "retry", reason, actor, reopened=again)
        if again:
            # The manifest, too: a job that has one and all of its chunks counts as ended when its ledger is rebuilt.
            self.blobs.delete([keys.manifest(job_id), *(keys.chunk(job_id, chunk) for chunk in again)])
            self.ledger.reopen(job_id, found, reason, actor)
        count, offers = self.ledger.retry(job_id, meant, reason, actor)
        self.queue.send(offers)
        self.advance(job_id)
        return count + len(again)

    def eat(self, job_id: str, meant: Meant, reason: str = "", actor: str = "") -> int:
        """Give up what failed: the frames keep the input's pixels there, a frame that cannot be read is left out. The
        number of tasks that go on. Raises NotFound, Conflict, Rejected."""
        job = self.documents.job(job_id)
        self.ledger.status(job_id)
        what = meal(job, self.documents.media(job.input.id), meant, self.ledger, self.blobs)
        if not what.eaten and not what.again:
            return 0
        record = self._decide(job_id, "eat", reason, actor, tasks=what.tasks, frames=what.frames)
        try:
            count, offers = self.ledger.eat(job_id, what.eaten, what.again, (), reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise
        self.queue.send(offers)
        self.advance(job_id)
        return count

    def unblock(self, job_id: str, worker: str = "", reason: str = "", actor: str = "") -> int:
        """Let a worker ("": any) have tasks of the job again that it has failed; the number of blocks that are gone."""
        count = self.ledger.unblock(job_id, worker, reason, actor)
        self.queue.send(self.ledger.ready(job_id))
        return count

    def drain(self, worker: str, wish: Drain) -> WorkerStatus:
        """Have a worker take nothing more, finish or hand back what it has, and end. Raises NotFound."""
        self.ledger.drain(worker, wish)
        return self._worker(worker)

    def undrain(self, worker: str) -> WorkerStatus:
        """Let a worker that was asked to end, and has not yet, go on. Raises NotFound."""
        self.ledger.undrain(worker)
        return self._worker(worker)

    def _worker(self, name: str) -> WorkerStatus:
        found = next((worker for worker in self.ledger.workers() if worker.id == name), None)
        if found is None:
            raise NotFound(f"Worker {name!r} has ended in this very moment. `farm workers` lists those that are alive.")
        return found

    def adjust(
        self,
        job_id: str,
        priority: int | None = None,
        max_workers: int | None = None,
        reason: str = "",
        actor: str = "",
    ) -> JobStatus:
        """Change a job's priority or the number of its workers while it runs. Raises NotFound, Rejected."""
        self.ledger.status(job_id)
        record = self._decide(job_id, "adjust", reason, actor, priority=priority, max_workers=max_workers)
        try:
            return self.ledger.adjust(job_id, priority, max_workers, reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise

    def _decide(self, job_id: str, action: str, reason: str, actor: str, **more: object) -> str:
        stamp = self._after_the_last(job_id)
        record = {"action": action, "reason": reason, "actor": actor, "at": stamp, **more}
        name = keys.decision(job_id, stamp.replace(":", ""), action)
        self.blobs.put(name, compact(record), "application/json")
        return name

    def _after_the_last(self, job_id: str) -> str:
        """Now; but later than the job's last decision, whoever took it by whichever clock."""
        now = self._now()
        last = max(self.blobs.list(keys.job(job_id, "decisions/")), default="")
        if not last:
            return now
        before = datetime.fromisoformat(json.loads(self.blobs.get(last))["at"])
        return max(now, (before + timedelta(microseconds=1)).isoformat(timespec="microseconds"))
