"""What people decide about a job in the ledger in memory: pause, resume, cancel, retry."""

from collections.abc import Sequence

from farm.adapters.ledger_rules import check_action, conflict
from farm.adapters.memory_moves import Change
from farm.adapters.memory_rows import BAD, LISTED, MemoryJob, Row
from farm.domain.state import TASK_ENDED, JobState, TaskState
from farm.ports import Offer, TaskFilter

_LIVE = frozenset(TaskState) - TASK_ENDED - {TaskState.ACTIVE}


def act(job: MemoryJob, action: str, words: str, line: Sequence[MemoryJob], now: int) -> None:
    """Pause, resume or cancel; what is so already is left as it is. Raises Conflict."""
    check_action(action)
    change = Change(job, now)
    if action == "pause" and job.state in LISTED:
        job.state = JobState.PAUSED
    elif action == "resume" and job.state is JobState.PAUSED:
        job.state = JobState.ACTIVE if job.started else JobState.QUEUED
        change.share_from_here(line)
    elif action == "cancel" and job.state in (*LISTED, JobState.PAUSED):
        job.state = JobState.CANCEL_REQUESTED
        for row in [row for row in job.rows.values() if row.state in _LIVE]:
            change.end(row, TaskState.CANCELED)
    elif job.state in _ALREADY[action]:
        return
    else:
        raise conflict(job.facts.id, action, job.state)
    job.activity = words
    change.settle()
    job.revision += 1


_ALREADY = {
    "pause": frozenset({JobState.PAUSED}),
    "resume": LISTED,
    "cancel": frozenset({JobState.CANCEL_REQUESTED, JobState.CANCELED}),
}


def retry(
    job: MemoryJob, which: TaskFilter, words: str, line: Sequence[MemoryJob], now: int
) -> tuple[int, tuple[Offer, ...]]:
    """Reset what failed or was canceled and is meant, and what fell with it. Raises Conflict."""
    if job.state is JobState.CANCEL_REQUESTED:
        raise conflict(job.facts.id, "retry", job.state)
    change = Change(job, now)
    finals = [row for row in job.rows.values() if row.new.final]
    roots = [row for row in job.rows.values() if not row.new.final and _root(row, which)]
    bad_finals = sum(row.meant(which) and row.state in BAD for row in finals)
    reopens = bool(roots or bad_finals or (job.state is JobState.CANCELED and which == TaskFilter()))
    if not reopens:
        return 0, ()
    # Every chunk's end comes before the job's: whoever advances the job adds the final task again.
    for row in finals:
        change.remove(row)
    if job.over:
        # Not swept for longest, since it was not open: the next sweep looks at it first.
        job.state, job.ended, job.swept = JobState.ACTIVE, 0, 0
        change.share_from_here(line)
    count = bad_finals + sum(row.counted for row in change.reset(roots))
    job.activity = words
    change.settle()
    job.revision += 1
    return count, tuple(change.offers)


def _root(row: Row, which: TaskFilter) -> bool:
    """Whether it is meant and ended badly by itself. A barrier is meant with its chunk: nobody can name it."""
    if row.state not in BAD or row.bad:
        return False
    return row.meant(which) if row.counted else which.chunk in (None, row.new.chunk)
