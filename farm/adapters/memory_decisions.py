"""What people decide about a job in the ledger in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farm.adapters.ledger_rules import check_action, conflict
from farm.adapters.memory_moves import Change
from farm.adapters.memory_resets import Reset
from farm.adapters.memory_rows import BAD, LISTED, MemoryJob, Row
from farm.domain.state import TASK_ENDED, JobState, TaskState
from farm.ports import Offer, TaskFilter

_LIVE = frozenset(TaskState) - TASK_ENDED - {TaskState.ACTIVE}


def act(job: MemoryJob, action: str, words: str, line: Sequence[MemoryJob], now: int) -> None:
    """Pause, resume, cancel or approve; what is so already is left as it is. Raises Conflict."""
    check_action(action)
    change = Change(job, now)
    if action == "pause" and job.state in LISTED:
        job.state = JobState.PAUSED
    elif action == "resume" and job.state is JobState.PAUSED:
        job.state = JobState.ACTIVE if job.started else JobState.QUEUED
        change.share_from_here(line)
    elif action == "approve" and job.state in (*LISTED, *_STOPPED):
        if not job.trial:
            return
        job.trial = 0
        if job.state is JobState.AWAITING_APPROVAL:
            job.state = JobState.ACTIVE if job.started else JobState.QUEUED
            change.share_from_here(line)
    elif action == "cancel" and job.state in (*LISTED, *_STOPPED):
        job.state = JobState.CANCEL_REQUESTED
        for row in [row for row in job.rows.values() if row.state in _LIVE]:
            change.end(row, TaskState.CANCELED)
    elif job.state in _ALREADY[action]:
        return
    else:
        raise conflict(job.facts.id, action, job.state)
    job.activity = words
    change.tell(_TOLD[action], {"activity": words})
    change.settle()
    job.revision += 1


_STOPPED = frozenset({JobState.PAUSED, JobState.AWAITING_APPROVAL})
_TOLD = {"pause": "job.paused", "resume": "job.resumed", "cancel": "job.canceling", "approve": "approval.given"}
_ALREADY: dict[str, frozenset[JobState]] = {
    "approve": frozenset(),
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
    change = Reset(job, now)
    finals = [row for row in job.rows.values() if row.new.final]
    roots = [row for row in job.rows.values() if not row.new.final and _root(row, which)]
    bad_finals = sum(row.meant(which) and row.state in BAD for row in finals)
    reopens = bool(roots or bad_finals or (job.state is JobState.CANCELED and which == TaskFilter()))
    if not reopens:
        return 0, ()
    change.open_again(line)
    count = bad_finals + _tasks_in(change.reset(roots))
    job.activity = words
    change.tell("job.retried", {"tasks": count, "activity": words})
    change.settle()
    job.revision += 1
    return count, tuple(change.offers)


@dataclass(frozen=True)
class Eat:
    """Failed tasks that are given up, failed tasks that are tried again, chunks that count as eaten besides."""

    tasks: Sequence[str]
    again: Sequence[str]
    chunks: Sequence[int]


def eat(job: MemoryJob, which: Eat, words: str, line: Sequence[MemoryJob], now: int) -> tuple[int, tuple[Offer, ...]]:
    """Give failed tasks up, try others again. Raises Conflict."""
    if job.state is JobState.CANCEL_REQUESTED:
        raise conflict(job.facts.id, "eat", job.state)
    named = {*which.tasks, *which.again}
    roots = [row for row in job.rows.values() if row.new.id in named and row.state is TaskState.FAILED and not row.bad]
    job.eaten.update(which.chunks, (row.new.chunk for row in roots))
    if not roots:
        return 0, ()
    change = Reset(job, now)
    change.open_again(line)
    done = change.reset(roots, which.tasks)
    job.activity = words
    change.settle()
    job.revision += 1
    return _tasks_in(done), tuple(change.offers)


def reopen(
    job: MemoryJob, chunks: Sequence[tuple[int, int, int]], words: str, line: Sequence[MemoryJob], now: int
) -> None:
    """Forget all that is known of chunks. Raises Conflict."""
    if job.state is JobState.CANCEL_REQUESTED:
        raise conflict(job.facts.id, "retry", job.state)
    change = Reset(job, now)
    change.open_again(line)
    for chunk, frames, before in sorted(chunks, reverse=True):
        for row in [row for row in job.rows.values() if row.new.chunk == chunk]:
            change.remove(row)
        _uncount(job, chunk, frames, before)
        job.failed.discard(chunk)
        job.eaten.discard(chunk)
        job.reopened.add(chunk)
    job.activity = words
    change.tell("job.reopened", {"activity": words})
    change.settle()
    job.revision += 1


def _uncount(job: MemoryJob, chunk: int, frames: int, before: int) -> None:
    """Take back what was counted of a chunk; what follows it counts again when it is done."""
    known, rest = job.chunk_frames.get(chunk, 0), 0
    if chunk not in job.done:
        frames = known
    else:
        if chunk < job.next_chunk:
            rest = job.frames_contiguous - before - frames
            job.frames_contiguous, job.next_chunk = before, chunk
        elif known > 0:
            rest = known - frames
        else:
            rest = _cut(job, chunk, before) - frames
        job.done.discard(chunk)
    job.frames_done -= frames
    job.chunk_frames.pop(chunk, None)
    job.frames_before.pop(chunk, None)
    if rest > 0:
        job.chunk_frames[chunk + 1] = job.chunk_frames.get(chunk + 1, 0) + rest
        job.frames_before[chunk + 1] = before + frames


def _cut(job: MemoryJob, chunk: int, before: int) -> int:
    """Leave under a chunk before this one only what lies before it; the frames that were taken from there."""
    at = chunk
    while at > 0 and at not in job.frames_before:
        at -= 1
        if at not in job.done:
            return 0
    held = job.chunk_frames.get(at, 0) if at in job.frames_before else 0
    own = before - job.frames_before.get(at, 0)
    if held == 0 or own > held:
        return 0
    job.chunk_frames[at] = own
    return held - own


def unblock(job: MemoryJob, worker: str, words: str, now: int) -> int:
    """Forget what a worker has failed, or all of them."""
    meant = [at for at in job.faults if worker in ("", at[1])]
    removed = sum(job.barred(*at) for at in meant)
    for at in meant:
        del job.faults[at]
    if removed:
        job.activity = words
        job.tell(now, "worker.unblocked", {"worker": worker, "activity": words})
    job.revision += 1
    return removed


def adjust(
    job: MemoryJob, values: tuple[int | None, int | None], words: str, line: Sequence[MemoryJob], now: int
) -> None:
    """Change priority and workers at the most, where they are not None."""
    priority, max_workers = values
    before = job.facts
    job.facts = replace(
        before,
        priority=before.priority if priority is None else priority,
        max_workers=before.max_workers if max_workers is None else max_workers,
    )
    if job.facts.priority != before.priority:
        least = Change(job, 0).least_share(line)
        job.vtime = job.vtime if least is None else least
    job.activity = words
    told = {"priority": job.facts.priority, "max_workers": job.facts.max_workers}
    job.tell(now, "job.adjusted", {**told, "activity": words})
    job.revision += 1


def _tasks_in(rows: Sequence[Row]) -> int:
    return sum(row.counted for row in rows)


def _root(row: Row, which: TaskFilter) -> bool:
    """Whether it is meant and ended badly by itself. A barrier is meant with its chunk: nobody can name it."""
    if row.state not in BAD or row.bad:
        return False
    return row.meant(which) if row.counted else which.chunk in (None, row.new.chunk)
