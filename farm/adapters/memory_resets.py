"""How attempts end badly and how ends are undone in the ledger in memory, on top of memory_moves.py.

The twin of the second half of `redis_ledger/attempts.lua` and of `redis_ledger/resets.lua`.
"""

from collections import deque
from collections.abc import Collection, Sequence

from farm.adapters.ledger_rules import LOSSES_MAX, short, uses_up
from farm.adapters.memory_moves import Change
from farm.adapters.memory_rows import BAD, MemoryJob, Row
from farm.domain.state import JobState, Outcome, TaskState
from farm.ports import NewTask


class Reset(Change):
    """A change in which attempts end badly, or ends are undone."""

    def fall_short(
        self, row: Row, outcome: Outcome, error: str, retry_in: int | None, parts: Sequence[NewTask] = ()
    ) -> None:
        """An attempt ended badly: the task is split, tried again, now or `retry_in` ms later, or it is failed or
        canceled."""
        free, told = not uses_up(outcome), {"outcome": outcome.value, "error": short(error)}
        if not free and retry_in is not None:
            self._note_fault(row)
        row.attempt -= free
        row.losses += outcome is Outcome.LOST
        if outcome is Outcome.CANCELED or self.canceling:
            self.end(row, TaskState.CANCELED, error)
        elif row.losses >= LOSSES_MAX:
            text = f"{row.losses} workers were lost while they ran it, the last with: {error}"
            self.end(row, TaskState.FAILED, f"{text}. Look at their logs and memory; retry it when that is mended.")
        elif not free and parts:
            self.job.tell_of(row, self.now, "task.retried", told)
            self._split(row, parts)
        elif not free and (retry_in is None or row.attempt >= self.job.facts.max_attempts):
            self._clear_faults(row)
            self.end(row, TaskState.FAILED, error)
        elif retry_in:
            self.job.tell_of(row, self.now, "task.retried", told)
            row.due = self.now + retry_in
            row.worker = row.fence = ""
            self.move(row, TaskState.SOFT_FAILED)
        else:
            self.job.tell_of(row, self.now, "task.retried", told)
            self.back(row)

    def _note_fault(self, row: Row) -> None:
        row.failed.add(row.worker)
        known = self.job.faults.setdefault((row.new.kind, row.worker), [])
        if row.new.id not in known:
            before = self.job.barred(row.new.kind, row.worker)
            known.append(row.new.id)
            if not before and self.job.barred(row.new.kind, row.worker):
                self.tell("worker.blocked", {"worker": row.worker, "kind": row.new.kind})

    def _clear_faults(self, row: Row) -> None:
        """What failed on several workers is no fault of theirs."""
        if len(row.failed) < 2:
            return
        for worker in row.failed:
            at = (row.new.kind, worker)
            left = [task for task in self.job.faults.pop(at, []) if task != row.new.id]
            if left:
                self.job.faults[at] = left

    def _split(self, row: Row, parts: Sequence[NewTask]) -> None:
        """The task waits for its parts, which take its place; it is run again to put them together."""
        self._clear_faults(row)
        row.parts, row.attempt, row.failed = len(parts), 0, set()
        row.worker = row.fence = ""
        row.front = True
        self.move(row, TaskState.DEPEND)
        self.add(parts)
        for part in parts:
            self.wait(row, part.id, hard=True)
        self.look(row)

    def reset(self, rows: Sequence[Row], eaten: Collection[str] = ()) -> list[Row]:
        """Undo the bad ends of these tasks and of those that fell with them; those named in `eaten` end well instead.

        Returns all that were reset or eaten.
        """
        done: list[Row] = []
        todo = deque(rows)
        while todo:
            row = todo.popleft()
            if row.state not in BAD or row.bad:
                continue
            if row.new.id in eaten:
                self.move(row, TaskState.EATEN)
                self.job.tell_of(row, self.now, "task.eaten")
                self.tell_of(row)
            else:
                self._undo(row)
            done.append(row)
            todo.extend(other for other, hard in self.dependents(row) if self._withdraw(other, hard))
        for row in done:
            if row.state is TaskState.DEPEND:
                self.look(row)
        return done

    def _undo(self, row: Row) -> None:
        self.move(row, TaskState.DEPEND)
        row.attempt = row.losses = row.step = row.steps = 0
        row.front = True
        row.failed = set()
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
        self.job.count(row, -1)
        del self.job.rows[row.new.id]

    def open_again(self, line: Sequence[MemoryJob]) -> None:
        """Every chunk's end comes before the job's: whoever advances the job adds the final task again."""
        job = self.job
        for row in [row for row in job.rows.values() if row.new.final]:
            self.remove(row)
        job.fault = ""
        if job.over:
            # Not swept for longest, since it was not open: the next sweep looks at it first.
            job.swept = 0
        if job.over or job.state is JobState.AWAITING_APPROVAL:
            job.state, job.ended = JobState.ACTIVE, 0
            self.share_from_here(line)
