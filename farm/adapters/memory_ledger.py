"""A ledger in memory: the twin that tests use, held to the one on Redis by tests/contract/test_ledger*.py."""

from collections.abc import Sequence

from farm.adapters.ledger_rules import (
    ERROR_MAX,
    check_adjust,
    check_job,
    check_outcome,
    check_tasks,
    in_words,
    milliseconds,
)
from farm.adapters.memory_claim import Chooser
from farm.adapters.memory_decisions import Eat, act, adjust, eat, reopen, retry, unblock
from farm.adapters.memory_moves import Change
from farm.adapters.memory_resets import Reset
from farm.adapters.memory_rows import CANCELING, LISTED, MemoryJob, Row
from farm.adapters.memory_sweep import MemorySweep
from farm.domain.state import JobState, Outcome, TaskState
from farm.ports import (
    Ended,
    JobFacts,
    JobStatus,
    Lease,
    NewTask,
    Offer,
    TaskFilter,
)

_REFUSED = Ended(accepted=False)


class MemoryLedger(MemorySweep):
    """The `Ledger` of one process, safe for threads; it goes when the process goes."""

    def _held(self, lease: Lease) -> tuple[MemoryJob, Row] | None:
        """The job and the row of a lease that still holds."""
        job = self._jobs.get(lease.job)
        row = job.rows.get(lease.task) if job else None
        if job is None or row is None or row.state is not TaskState.ACTIVE or row.fence != lease.fence:
            return None
        return job, row

    def _line(self) -> list[MemoryJob]:
        return [job for job in self._jobs.values() if job.state in LISTED]

    def create(self, facts: JobFacts, done_chunks: Sequence[tuple[int, int]] = (), *, recovered: bool = False) -> bool:
        """Open a job. False: it exists."""
        check_job(facts, done_chunks)
        with self._lock:
            if facts.id in self._jobs:
                return False
            job = self._jobs[facts.id] = MemoryJob(facts)
            job.peers = lambda: sum(other.facts.user == facts.user for other in self._line())
            job.done = {chunk for chunk, _ in done_chunks}
            job.chunk_frames = dict(done_chunks)
            job.frames_done = sum(job.chunk_frames.values())
            job.count_contiguous()
            job.tell = lambda now, kind, data: self._log.tell(now, kind, facts.id, data)
            job.trial = facts.trial
            change = Change(job, self._now())
            change.share_from_here(self._line())
            change.tell("job.recovered" if recovered else "job.submitted", {"name": facts.name, "user": facts.user})
            change.hold()
            return True

    def extend(self, job: str, tasks: Sequence[NewTask], opened: int) -> tuple[Offer, ...]:
        """Add tasks; those that became ready."""
        check_tasks(tasks)
        with self._lock:
            found = self._job(job)
            change = Change(found, self._now())
            if change.add(tasks) or opened > found.opened:
                found.opened = max(found.opened, opened)
                change.settle()
                found.revision += 1
            return tuple(change.offers)

    def claim(self, worker: str, queues: Sequence[str], prefer: Offer | None, ttl_s: float) -> Lease | None:
        """The best ready task of these queues, or None."""
        with self._lock:
            now = self._now()
            if worker in self._drains:
                return None
            crew = [each for each, until in self._workers.values() if until > now and each.id not in self._drains]
            choice = Chooser(worker, queues, self._jobs, crew, now).choose(prefer)
            if choice is None:
                return None
            job, row = choice
            self._fences += 1
            Change(job, now).move(row, TaskState.ACTIVE)
            row.attempt += 1
            row.fence, row.worker = f"{self._incarnation}-{self._fences}", worker
            row.started, row.ttl = now, milliseconds(ttl_s)
            row.expires = now + row.ttl
            row.front, row.step, row.steps = False, 0, 0
            job.workers[worker] += 1
            job.revision += 1
            job.tell_of(row, now, "task.started")
            if job.state is JobState.QUEUED:
                job.state, job.activity = JobState.ACTIVE, "started"
                job.started = job.started or now
                job.tell(now, "job.started", {})
            return row.lease(job.facts.id, amended=row.new.chunk in job.eaten)

    def renew(self, leases: Sequence[Lease], ttl_s: float) -> tuple[str, ...]:
        """Lengthen leases: `ok`, `lost` or `canceled` for each."""
        with self._lock:
            return tuple(self._renew(lease, ttl_s) for lease in leases)

    def _renew(self, lease: Lease, ttl_s: float) -> str:
        held = self._held(lease)
        if held is None:
            return "lost"
        job, row = held
        row.expires = self._now() + milliseconds(ttl_s)
        return "canceled" if job.state in CANCELING else "ok"

    def progress(self, lease: Lease, step: int, steps: int) -> str:
        """Note sampler progress: `ok`, `lost` or `canceled`."""
        with self._lock:
            held = self._held(lease)
            if held is None:
                return "lost"
            job, row = held
            if row.new.kind == "detail":
                job.steps_done += max(0, step - row.step)
            job.revision += 1
            row.step, row.steps = step, steps
            return "canceled" if job.state in CANCELING else "ok"

    def finish(
        self, lease: Lease, output: str, tasks: Sequence[NewTask] = (), frames: int = 0, seconds: float = 0.0
    ) -> Ended:
        """End an attempt well; a second time with the same fence changes nothing."""
        check_tasks(tasks)
        with self._lock:
            held = self._held(lease)
            if held is None:
                return self._finished_before(lease)
            job, row = held
            change = Change(job, self._now())
            change.let_go(row, Outcome.OK, "", milliseconds(seconds))
            job.tell_of(row, change.now, "task.finished", {"seconds": milliseconds(seconds) / 1000})
            row.output = output
            job.frames_done += frames
            if frames:
                counted = {"chunk": row.new.chunk, "frames": frames, "frames_done": job.frames_done}
                change.tell("frames.finished", counted)
            if frames and row.new.chunk >= 0:
                job.chunk_frames[row.new.chunk] = job.chunk_frames.get(row.new.chunk, 0) + frames
            # The new tasks first: what they feed must still be waiting for this one.
            change.add(tasks)
            change.end(row, TaskState.COMPLETED)
            return _closed(change, row)

    def _finished_before(self, lease: Lease) -> Ended:
        job = self._jobs.get(lease.job)
        row = job.rows.get(lease.task) if job else None
        if job is None or row is None or row.state is not TaskState.COMPLETED or row.fence != lease.fence:
            return _REFUSED
        ended = row.new.final and job.over
        return Ended(True, chunk_ended=row.new.closes, job_ended=ended, task_state=TaskState.COMPLETED)

    def fail(
        self,
        lease: Lease,
        outcome: Outcome,
        error: str,
        retry_in_s: float | None,
        queue: str = "",
        parts: Sequence[NewTask] = (),
    ) -> Ended:
        """End an attempt badly."""
        check_outcome(outcome)
        check_tasks(parts)
        error = error[:ERROR_MAX]
        with self._lock:
            held = self._held(lease)
            if held is None:
                return _REFUSED
            job, row = held
            change = Reset(job, self._now())
            change.let_go(row, outcome, error, change.now - row.started)
            if queue:
                row.new = row.new._replace(queue=queue)
            retry_in = None if retry_in_s is None else max(0, milliseconds(retry_in_s))
            change.fall_short(row, outcome, error, retry_in, parts)
            return _closed(change, row)

    def act(self, job: str, action: str, reason: str, actor: str) -> JobStatus:
        """Pause, resume, cancel or approve. Raises NotFound, Conflict."""
        with self._lock:
            act(self._job(job), action, in_words(action, reason, actor), self._line(), self._now())
            return self._job(job).status()

    def retry(self, job: str, which: TaskFilter, reason: str, actor: str) -> tuple[int, tuple[Offer, ...]]:
        """Reset tasks; reopens an ended job. Raises NotFound, Conflict."""
        with self._lock:
            return retry(self._job(job), which, in_words("retry", reason, actor), self._line(), self._now())

    def eat(
        self, job: str, tasks: Sequence[str], again: Sequence[str], chunks: Sequence[int], reason: str, actor: str
    ) -> tuple[int, tuple[Offer, ...]]:
        """Give failed tasks up, try others again. Raises NotFound, Conflict."""
        with self._lock:
            words = in_words("eat", reason, actor)
            return eat(self._job(job), Eat(tasks, again, chunks), words, self._line(), self._now())

    def reopen(self, job: str, chunks: Sequence[tuple[int, int, int]], reason: str, actor: str) -> None:
        """Forget all tasks of chunks. Raises NotFound, Conflict."""
        with self._lock:
            reopen(self._job(job), chunks, in_words("retry", reason, actor), self._line(), self._now())

    def unblock(self, job: str, worker: str, reason: str, actor: str) -> int:
        """Forget what a worker ("": any) has failed. Raises NotFound."""
        with self._lock:
            return unblock(self._job(job), worker, in_words("unblock", reason, actor), self._now())

    def adjust(self, job: str, priority: int | None, max_workers: int | None, reason: str, actor: str) -> JobStatus:
        """Change what is not None. Raises NotFound, Rejected."""
        check_adjust(priority, max_workers)
        with self._lock:
            words = in_words("adjust", reason, actor)
            adjust(self._job(job), (priority, max_workers), words, self._line(), self._now())
            return self._job(job).status()

    def drop(self, job: str, chunks: Sequence[int], tasks: Sequence[str] = ()) -> None:
        """Forget the rows of chunks that are done, if all of their tasks ended well, and of tasks that did."""
        with self._lock:
            found = self._jobs.get(job)
            if found is None:
                return
            for chunk in found.done.intersection(chunks):
                # A retry may undo what was eaten, and with it the fades of the neighbors.
                if found.eaten & {chunk - 1, chunk, chunk + 1}:
                    continue
                found.drop([row for row in found.rows.values() if row.new.chunk == chunk])
            for name in tasks:
                found.drop([found.rows[name]] if name in found.rows else [])

    def forget(self, job: str) -> None:
        """Remove a job."""
        with self._lock:
            self._jobs.pop(job, None)


def _closed(change: Change, row: Row) -> Ended:
    """Run a change to its end and say what it led to."""
    change.settle()
    change.job.revision += 1
    return Ended(True, tuple(change.offers), change.chunk_ended, change.job_ended, row.state)
