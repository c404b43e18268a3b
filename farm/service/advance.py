"""Moving a job on: chunks enter the window as others end, and the last step follows the last chunk.

Every call is idempotent: tasks are added by name, so that any number of processes may advance the same job. A call
costs as much as there are chunks in flight, whatever the job's length.
"""

from __future__ import annotations

from collections.abc import Mapping

from farm.domain.detailer import JobType
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.state import JobState
from farm.ports import Blobs, JobStatus, Ledger, NewTask, Offer
from farm.service.approval import first_chunks, trial_tasks
from farm.service.attempts import keep_chunks, keep_tasks
from farm.service.documents import Documents
from farm.service.skeleton import chunk_reads, chunk_tasks, chunks, detect_tasks, scan_tasks, spans, wrap_task

LOOK_BACK = 512
"""Chunks behind the newest one that are looked at for the window; what was reopened further back does not count."""
DROP_EVERY = 8
"""Chunks that are opened between two times that rows are dropped."""
AT_ONCE = 8
"""Share of a window that is let in at once, 1 / 8, or two chunks where that is less (of four, one): to look for each
chunk that ends costs as much as to let in many."""
MOVING = frozenset({JobState.QUEUED, JobState.ACTIVE})


def window_for(workers: int) -> int:
    """Chunks of a job in flight that keep so many workers busy, 4 to `LOOK_BACK`: for each one that is sampled two that
    its worker has claimed ahead (fewer, and some workers would keep what others wait for), and one that is planned or
    pasted meanwhile."""
    return min(max(4, 4 * workers), LOOK_BACK)


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
    if status.trial:
        states = ledger.chunk_states(job.id, first_chunks(job))
        return ledger.extend(job.id, trial_tasks(job, status, states, window, media_of(job, documents)), 0)
    if status.reopened:
        return _again(job, status, ledger, documents)
    total, opened = chunks(job), status.chunks_opened
    in_flight = opened - status.chunks_done - status.chunks_failed
    if opened >= total and in_flight > 0:
        return ()
    if opened < total and in_flight > window - max(min(2, window // 4), window // AT_ONCE):
        return ()
    states = ledger.chunk_states(job.id, _around(job, status, window))
    open_now = sum(1 for chunk, state in states.items() if state == "open" and chunk < opened)
    if opened < total and open_now >= window:
        return ()
    media = media_of(job, documents)
    if opened >= total:
        _forget(job, (ledger, documents.blobs), states, opened, media)
        return ledger.extend(job.id, [wrap_task()], total)
    tasks, opens = _opening(job, opened, window - open_now, (ledger, states, media))
    if opens // DROP_EVERY > opened // DROP_EVERY:
        _forget(job, (ledger, documents.blobs), states, opened, media)
    return ledger.extend(job.id, tasks, opens)


def _around(job: Job, status: JobStatus, window: int) -> range:
    """The chunks that may be open, those that the next ones may be, and those behind that ended lately."""
    covered = spans(job)
    whole = status.frames_contiguous >= job.frames
    gap = covered.count if whole else covered.owner(job.start + status.frames_contiguous)
    first = max(0, min(gap - window - DROP_EVERY - 2, status.chunks_opened), status.chunks_opened - LOOK_BACK)
    return range(first, min(covered.count, status.chunks_opened + window))


def _again(job: Job, status: JobStatus, ledger: Ledger, documents: Documents) -> tuple[Offer, ...]:
    """Add the tasks of chunks that a retry has opened again."""
    media = media_of(job, documents)
    tasks = [task for chunk in status.reopened for task in chunk_tasks(job, chunk, media)]
    return ledger.extend(job.id, tasks, status.chunks_opened)


def _opening(
    job: Job, opened: int, room: int, known: tuple[Ledger, dict[int, str], Mapping[str, Media]]
) -> tuple[list[NewTask], int]:
    """The tasks of the next `room` chunks that are not done, and the number of chunks opened then.

    Args:
        known: the ledger, the states of chunks as far as they were asked for, and the long form of the job's media.
    """
    ledger, states, media = known
    tasks: list[NewTask] = []
    if opened == 0 and job.detects and job.type is not JobType.DETECT:
        tasks += detect_tasks(job, media)
    if opened == 0 and job.type is JobType.ANIMATEDIFF:
        tasks += scan_tasks(job, media)
    total, asked = chunks(job), opened + room
    while room > 0 and opened < total:
        if opened >= asked:
            # Chunks that were done before a ledger was rebuilt, in any number.
            asked = opened + LOOK_BACK
            states |= ledger.chunk_states(job.id, range(opened, min(total, asked)))
        if states.get(opened) != "done":
            tasks += chunk_tasks(job, opened, media)
            room -= 1
        opened += 1
    return tasks, opened


def _forget(
    job: Job, where: tuple[Ledger, Blobs], states: Mapping[int, str], opened: int, media: Mapping[str, Media]
) -> None:
    """Drop the rows of chunks that ended well, once no neighbor can ask for their outputs any more, and of what was
    read for chunks that ended and is not read for others. Who tried them is written down before."""
    ledger, blobs = where
    first = min(states, default=0)
    ended = [number for number, state in states.items() if number < opened and state in ("done", "failed")]
    if not ended:
        return

    def done(number: int) -> bool:
        return number < first or (number < opened and states.get(number) == "done")

    lonely = [number for number in ended if done(number - 1) and done(number) and done(number + 1)]
    waiting = [number for number in states if number < opened and states[number] == "open"]
    needed = [*waiting, opened] if opened < chunks(job) else waiting
    kept = {name for number in needed for name in chunk_reads(job, number, media)}
    spent = {name for number in ended for name in chunk_reads(job, number, media)} - kept
    keep_chunks(job.id, lonely, ledger, blobs)
    keep_tasks(job.id, f"{max(ended):06d}-read", sorted(spent), ledger, blobs)
    ledger.drop(job.id, lonely, sorted(spent))
