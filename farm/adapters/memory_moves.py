"""How one change of a job runs its course in the ledger in memory: who becomes ready, who falls with whom, what ends.

The twin of `redis_ledger/moves.lua`, rule by rule and in the same order; the contract tests compare the two.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from farm.adapters.ledger_rules import AWAITED, CANCEL_ASKED, EATEN, HISTORY_MAX, chunk_of, short
from farm.adapters.memory_rows import BAD, CANCELING, GOOD, LISTED, MemoryJob, Row
from farm.domain.state import JobState, Outcome, TaskState
from farm.ports import NewTask, Offer


class Change:
    """One verb's work on one job. `settle` runs it to its end; nothing is handed down before."""

    def __init__(self, job: MemoryJob, now: int) -> None:
        self.job = job
        self.now = now
        self.offers: list[Offer] = []
        self.chunk_ended = False
        self.job_ended = False
        self._ended: deque[Row] = deque()
        self._final_ended = False
        self._known_to_be_over = False

    def tell(self, kind: str, data: Mapping[str, object] | None = None) -> None:
        """Write an event of the job."""
        self.job.tell(self.now, kind, data or {})

    @property
    def canceling(self) -> bool:
        """Whether nothing may become ready any more."""
        return self.job.state in CANCELING

    def move(self, row: Row, state: TaskState) -> None:
        """The only place where a task changes its state, and with it the counts."""
        self.job.count(row, -1)
        row.state = state
        self.job.count(row, 1)

    def ready(self, row: Row) -> None:
        """Give the task out to whoever asks; offer it if the job runs."""
        self.move(row, TaskState.QUEUED)
        row.worker = row.fence = ""
        row.offers, row.offered, row.since = 1, self.now, self.now
        if self.job.state in LISTED:
            self.offers.append(row.offer(self.job.facts.id))

    def look(self, row: Row) -> None:
        """Decide about a task in `depend`: it may be ready, or never become so."""
        if self.canceling:
            self.end(row, TaskState.CANCELED)
        elif row.bad:
            self.end(row, TaskState.FAILED, f"not run, because {row.cause} failed")
        elif row.open:
            return
        elif row.counted:
            self.ready(row)
        else:
            self.end(row, TaskState.COMPLETED)

    def end(self, row: Row, state: TaskState, error: str = "") -> None:
        """End a task; `settle` tells those that wait for it."""
        self.move(row, state)
        row.error = error
        if row.new.closes:
            self._end_chunk(row.new.chunk, state)
        if state is TaskState.FAILED and not row.cause:
            self.job.activity = f"{row.new.id} failed: {row.error}"
            self.job.fault = f"{row.new.id}: {row.error}"
            self.job.tell_of(row, self.now, "task.failed", {"error": short(error)})
        if row.new.final and state is not TaskState.CANCELED:
            self._final_ended = True
        self.tell_of(row)

    def tell_of(self, row: Row) -> None:
        """Have `settle` tell those that wait for a task of its end."""
        self._ended.append(row)

    def _end_chunk(self, chunk: int, state: TaskState) -> None:
        job = self.job
        if state in GOOD and chunk not in job.done:
            job.done.add(chunk)
            job.count_contiguous()
            job.activity = f"chunk {chunk} done"
            self.tell("chunk.done", {"chunk": chunk, "chunks_done": len(job.done)})
        elif state is TaskState.FAILED and chunk not in job.done:
            job.failed.add(chunk)
            self.tell("chunk.failed", {"chunk": chunk, "chunks_failed": len(job.failed)})
        self.chunk_ended = self.chunk_ended or state is not TaskState.CANCELED

    def settle(self) -> None:
        """Tell everybody who waits, to the end; then see whether the job has ended."""
        while self._ended:
            row = self._ended.popleft()
            for other, hard in self.dependents(row):
                self._tell(other, row, hard)
        if self.job.state is JobState.CANCEL_REQUESTED and not self.job.counts[TaskState.ACTIVE]:
            self._end_job(JobState.CANCELED)
        elif self._final_ended and not self.job.over and not self.canceling:
            failed = self.job.failed or self.job.counts[TaskState.FAILED]
            self._end_job(JobState.FAILED if failed else JobState.COMPLETED)
        self.hold()

    def hold(self) -> None:
        """The chunks that somebody wants to see first have all ended: the others wait for a word."""
        job = self.job
        if job.trial and len(job.done) + len(job.failed) >= job.trial and job.state in LISTED:
            job.state, job.activity = JobState.AWAITING_APPROVAL, AWAITED
            self.tell("approval.wanted", {"chunks_done": len(job.done), "chunks_failed": len(job.failed)})

    def dependents(self, row: Row) -> list[tuple[Row, bool]]:
        """Who waits for a task, and whether its bad end is theirs too."""
        named = self.job.dependents.get(row.new.id, ())
        rows = ((self.job.rows.get(name), seq, hard) for name, seq, hard in named)
        # One that was removed and added again has another number, and its own entry.
        return [(other, hard) for other, seq, hard in rows if other is not None and other.seq == seq]

    def _tell(self, row: Row, ended: Row, hard: bool) -> None:
        if hard and ended.state in BAD:
            row.bad += 1
            row.cause = row.cause or ended.cause or ended.new.id
        else:
            row.open -= 1
        if row.state is TaskState.DEPEND:
            self.look(row)

    def _end_job(self, state: JobState) -> None:
        self.job.state = state
        self.job.ended = self.now
        asked = self.job.activity.startswith(CANCEL_ASKED)
        why = self.job.activity[len(CANCEL_ASKED) :] if asked else ""
        if state is JobState.FAILED and self.job.fault:
            why = f": {self.job.fault}"
        self.job.activity = state.value + why
        self.job_ended = True
        counted = {"frames_done": self.job.frames_done, "chunks_failed": len(self.job.failed)}
        self.tell(f"job.{state.value}", {**counted, "recovered": self._known_to_be_over or None})

    def add(self, tasks: Sequence[NewTask]) -> int:
        """Add those that are not there yet, and count them: first all rows, then who waits for whom, then what is
        ready."""
        new = [self._insert(task) for task in tasks if self._wanted(task)]
        for row in new:
            self._tie(row)
        for row in new:
            if row.new.output:
                row.output = row.new.output
                self._known_to_be_over = row.new.final
                self.end(row, TaskState.EATEN if row.output == EATEN else TaskState.COMPLETED)
            elif row.state is TaskState.DEPEND:
                self.look(row)
        return len(new)

    def _wanted(self, task: NewTask) -> bool:
        job = self.job
        # A process that was asleep may add what is finished and dropped, or close a job that was reopened meanwhile.
        early = task.final and not task.waits and len(job.done) + len(job.failed) < job.facts.chunks
        return task.id not in job.rows and task.chunk not in job.done and not early

    def _insert(self, task: NewTask) -> Row:
        job = self.job
        job.seq += 1
        row = job.rows[task.id] = Row(task, job.seq, parts=task.parts)
        job.reopened.discard(task.chunk)
        job.count(row, 1)
        if task.kind == "detail":
            job.hits += bool(task.output)
            job.misses += not task.output
        return row

    def _tie(self, row: Row) -> None:
        for name in row.new.waits:
            self.wait(row, name, hard=True)
        for name in row.new.settles:
            self.wait(row, name, hard=False)
        for name in row.new.feeds:
            fed = self.job.rows.get(name)
            if fed is not None and fed.state in (TaskState.DEPEND, *BAD):
                self.wait(fed, row.new.id, hard=True)

    def wait(self, row: Row, name: str, *, hard: bool) -> None:
        """Have a task wait for another one, which may not be there yet."""
        other = self.job.rows.get(name)
        if other.state in GOOD if other else chunk_of(name) in self.job.done:
            return
        # Remembered although it ended badly: a retry makes it a wait again.
        self.job.dependents.setdefault(name, []).append((row.new.id, row.seq, hard))
        bad = other is not None and other.state in BAD
        if hard or not bad:
            row.open += 1
        if hard and bad and other is not None:
            row.bad += 1
            row.cause = row.cause or other.cause or name

    def let_go(self, row: Row, outcome: Outcome, error: str, charge: int) -> None:
        """Take the lease back, note the attempt and charge the job's fair share for it."""
        job = self.job
        job.workers[row.worker] -= 1
        if not job.workers[row.worker]:
            del job.workers[row.worker]
        job.charge(charge)
        row.expires = 0
        row.error = error
        attempt = {"worker": row.worker, "started": row.started / 1000, "ended": self.now / 1000}
        row.history = [*row.history, {**attempt, "outcome": outcome.value, "error": row.error}][-HISTORY_MAX:]

    def back(self, row: Row) -> None:
        """Put a task that was given out before the others; it waits if what it waits for was opened again."""
        row.front = True
        if row.open:
            self.move(row, TaskState.DEPEND)
            row.worker = row.fence = ""
        else:
            self.ready(row)

    def share_from_here(self, others: Sequence[MemoryJob]) -> None:
        """A job that comes (back) into the line starts where the others are: it has no claim on the past."""
        self.job.vtime = max(self.job.vtime, self.least_share(others) or 0)

    def least_share(self, others: Sequence[MemoryJob]) -> int | None:
        """The least share that another job in the line of this priority had."""
        return min((other.vtime for other in others if other is not self.job and self._in_line(other)), default=None)

    def _in_line(self, other: MemoryJob) -> bool:
        return other.state in LISTED and other.facts.priority == self.job.facts.priority
