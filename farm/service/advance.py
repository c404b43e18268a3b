"""Moving a job on: chunks enter the window as others end, and the last step follows the last chunk.

Every call is idempotent: tasks are added by name, so that any number of processes may advance the same job.
"""

from __future__ import annotations

from farm.domain.detailer import JobType
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.state import JobState
from farm.ports import JobStatus, Ledger, NewTask, Offer
from farm.service.documents import Documents
from farm.service.skeleton import chunk_tasks, chunks, scan_tasks, wrap_task

LOOK_BACK = 256
"""Chunks behind the newest one that are looked at for the window; what was reopened further back does not count."""
MOVING = frozenset({JobState.QUEUED, JobState.ACTIVE})


def media_of(job: Job, documents: Documents) -> dict[str, Media]:
    """The long form of everything that a job reads, by id."""
    return {media.id: documents.media(media.id) for media in job.media if media.kind != "segs"}


def advance(job: Job, ledger: Ledger, documents: Documents, window: int) -> tuple[Offer, ...]:
    """Fill the window, or close the job when its chunks have all ended; the tasks that became ready.

    Args:
        window: chunks in flight, 3 or more, since a paste waits for its neighbors' patches.
    """
    status = ledger.status(job.id)
    if status.state not in MOVING:
        return ()
    total = chunks(job)
    if status.reopened:
        return _again(job, status, ledger, documents)
    if status.chunks_opened >= total:
        _forget_old(job.id, total, ledger)
        if status.chunks_done + status.chunks_failed >= total:
            return ledger.extend(job.id, [wrap_task()], total)
        return ()
    tasks, opened = _opening(job, status, ledger, documents, window)
    return ledger.extend(job.id, tasks, opened) if opened > status.chunks_opened else ()


def _again(job: Job, status: JobStatus, ledger: Ledger, documents: Documents) -> tuple[Offer, ...]:
    """Add the tasks of chunks that a retry has opened again."""
    media = media_of(job, documents)
    tasks = [task for chunk in status.reopened for task in chunk_tasks(job, chunk, media)]
    return ledger.extend(job.id, tasks, status.chunks_opened)


def _opening(
    job: Job, status: JobStatus, ledger: Ledger, documents: Documents, window: int
) -> tuple[list[NewTask], int]:
    """The tasks of the chunks that may enter the window now, and the number of chunks opened then."""
    opened = status.chunks_opened
    behind = ledger.chunk_states(job.id, range(max(0, opened - LOOK_BACK), opened))
    room = window - sum(1 for state in behind.values() if state == "open")
    tasks: list[NewTask] = []
    if room <= 0:
        return tasks, opened
    _forget_old(job.id, opened, ledger)
    media = media_of(job, documents)
    if opened == 0 and job.type is JobType.ANIMATEDIFF:
        tasks += scan_tasks(job, media)
    total = chunks(job)
    while room > 0 and opened < total:
        if ledger.chunk_states(job.id, [opened]).get(opened) != "done":
            tasks += chunk_tasks(job, opened, media)
            room -= 1
        opened += 1
    return tasks, opened


def _forget_old(job: str, opened: int, ledger: Ledger) -> None:
    """Drop the rows of chunks that ended well, once no neighbor can ask for their outputs any more."""
    first = max(0, opened - LOOK_BACK)
    states = ledger.chunk_states(job, range(first, opened))
    for number, state in states.items():
        around = {states.get(number - 1, "done" if number <= first else "open"), state, states.get(number + 1, "open")}
        if around == {"done"}:
            ledger.drop(job, number)
