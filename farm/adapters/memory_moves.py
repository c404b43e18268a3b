"""How one change of a job runs its course in the ledger in memory: who becomes ready, who falls with whom, what ends.

The twin of `redis_ledger/moves.lua`, rule by rule and in the same order; the contract tests compare the two.
"""

from collections import deque
from collections.abc import Sequence

from farm.adapters.ledger_rules import CANCEL_ASKED, HISTORY_MAX, LOSSES_MAX, chunk_of, uses_up
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

    @property
    def canceling(self) -> bool:
        """Whether nothing may become ready any more."""
        return self.job.state in CANCELING

    def move(self, row: Row, state: TaskState) -> None:
        """The only place where a task changes its state, and with it the counts."""
        if row.counted:
            self.job.counts[row.state] -= 1
            self.job.counts[state] += 1
        row.state = state

    def ready(self, row: Row) -> None:
        """Give the task out to whoever asks; offer it if the job runs."""
        self.move(row, TaskState.QUEUED)
        row.worker = row.fence = ""
        row.offers, row.offered = 1, self.now
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
        if row.new.final and state is not TaskState.CANCELED:
            self._final_ended = True
        self._ended.append(row)

    def _end_chunk(self, chunk: int, state: TaskState) -> None:
        job = self.job
        if state in GOOD and chunk not in job.done:
            job.done.add(chunk)
            job.count_contiguous()
            job.activity = f"chunk {chunk} done"
        elif state is TaskState.FAILED and chunk not in job.done:
            job.failed.add(chunk)
        self.chunk_ended = self.chunk_ended or state is not TaskState.CANCELED

    def settle(self) -> None:
        """Tell everybody who waits, to the end; then see whether the job has ended."""
        while self._ended:
            row = self._ended.popleft()
            for other, hard in self._dependents(row):
                self._tell(other, row, hard)
        if self.job.state is JobState.CANCEL_REQUESTED and not self.job.counts[TaskState.ACTIVE]:
            self._end_job(JobState.CANCELED)
        elif self._final_ended and not self.job.over and not self.canceling:
            failed = self.job.failed or self.job.counts[TaskState.FAILED]
            self._end_job(JobState.FAILED if failed else JobState.COMPLETED)

    def _dependents(self, row: Row) -> list[tuple[Row, bool]]:
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
        self.job.activity = state.value + (self.job.activity[len(CANCEL_ASKED) :] if asked else "")
        self.job_ended = True

    def add(self, tasks: Sequence[NewTask]) -> int:
        """Add those that are not there yet, and count them: first all rows, then who waits for whom, then what is
        ready."""
        new = [self._insert(task) for task in tasks if self._wanted(task)]
        for row in new:
            self._tie(row)
        for row in new:
            if row.new.output:
                row.output = row.new.output
                self.end(row, TaskState.COMPLETED)
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
        row = job.rows[task.id] = Row(task, job.seq)
        if row.counted:
            job.counts[TaskState.DEPEND] += 1
        if task.kind == "detail":
            job.hits += bool(task.output)
            job.misses += not task.output
        return row

    def _tie(self, row: Row) -> None:
        for name in row.new.waits:
            self._wait(row, name, hard=True)
        for name in row.new.settles:
            self._wait(row, name, hard=False)
        for name in row.new.feeds:
            fed = self.job.rows.get(name)
            if fed is not None and fed.state in (TaskState.DEPEND, *BAD):
                self._wait(fed, row.new.id, hard=True)

    def _wait(self, row: Row, name: str, *, hard: bool) -> None:
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
        job.vtime += charge
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

    def fall_short(self, row: Row, outcome: Outcome, error: str, retry_in: int | None) -> None:
        """An attempt ended badly: the task is tried again, now or `retry_in` ms later, or it is failed or canceled."""
        free = not uses_up(outcome)
        row.attempt -= free
        row.losses += outcome is Outcome.LOST
        if outcome is Outcome.CANCELED or self.canceling:
            self.end(row, TaskState.CANCELED, error)
        elif row.losses >= LOSSES_MAX:
            text = f"{row.losses} workers were lost while they ran it, the last with: {error}"
            self.end(row, TaskState.FAILED, f"{text}. Look at their logs and memory; retry it when that is mended.")
        elif not free and (retry_in is None or row.attempt >= self.job.facts.max_attempts):
            self.end(row, TaskState.FAILED, error)
        elif retry_in:
            row.due = self.now + retry_in
            row.worker = row.fence = ""
            self.move(row, TaskState.SOFT_FAILED)
        else:
            self.back(row)

    def reset(self, rows: Sequence[Row]) -> list[Row]:
        """Undo the bad ends of these tasks and of those that fell with them; all that were reset."""
        done: list[Row] = []
        todo = deque(rows)
        while todo:
            row = todo.popleft()
            if row.state not in BAD or row.bad:
                continue
            self._undo(row)
            done.append(row)
            todo.extend(other for other, hard in self._dependents(row) if self._withdraw(other, hard))
        for row in done:
            self.look(row)
        return done

    def _undo(self, row: Row) -> None:
        self.move(row, TaskState.DEPEND)
        row.attempt = row.losses = row.step = row.steps = 0
        row.front = True
        row.fence = row.worker = row.error = row.cause = ""
        if row.new.closes:
            self.job.failed.discard(row.new.chunk)

    def _withdraw(self, row: Row, hard: bool) -> bool:
        """Take a bad end back from who was told of it; whether that task may be reset too."""
        if hard:
            row.bad -= 1
            return not row.bad
        row.open += 1
        if row.state is TaskState.QUEUED:
            self.move(row, TaskState.DEPEND)
        return False

    def remove(self, row: Row) -> None:
        """Forget a task altogether; a worker that runs it finds its lease lost."""
        if row.expires:
            self.let_go(row, Outcome.SUPERSEDED, "", 0)
        if row.counted:
            self.job.counts[row.state] -= 1
        del self.job.rows[row.new.id]

    def share_from_here(self, others: Sequence[MemoryJob]) -> None:
        """A job that comes (back) into the line starts where the others are: it has no claim on the past."""
        line = [other.vtime for other in others if other is not self.job and self._in_line(other)]
        self.job.vtime = max(self.job.vtime, min(line, default=0))

    def _in_line(self, other: MemoryJob) -> bool:
        return other.state in LISTED and other.facts.priority == self.job.facts.priority
