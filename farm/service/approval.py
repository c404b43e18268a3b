"""Some chunks of a job are made first, so that somebody can look before the others are.

They are final: the same bytes as without the wait. In an `animatediff` job their pastes fade into their neighbors'
patches, so the neighbors are sampled too, and pasted when the job goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farm.domain.detailer import JobType
from farm.domain.job import Job
from farm.domain.media import Media
from farm.errors import Conflict, Rejected
from farm.ports import JobStatus, NewTask
from farm.service.skeleton import chunk_tasks, chunks, detect_tasks, scan_tasks

FIRST_MAX = 128
"""Chunks that may be made first. Their rows stay in the ledger until the job goes on; and who looks at more?"""


def first_chunks(job: Job) -> range:
    """The chunks that are made first; none if the job does not wait."""
    return range(0, chunks(job) if job.approve_every else 0, job.approve_every or 1)


def checked(job: Job) -> Job:
    """The job as it is accepted. Raises Rejected for one that cannot wait for approval."""
    if job.approve_every is None:
        return job
    total, first = chunks(job), len(first_chunks(job))
    if job.sequential:
        raise Rejected(
            "`approve_every` cannot be used with a hook that keeps something between frames: its chunks are made one "
            "after the other. Leave out the hook or `approve_every`."
        )
    if first > FIRST_MAX:
        raise Rejected(
            f"`approve_every` {job.approve_every} would have {first} of {total} chunks made first; {FIRST_MAX} is the "
            f"most. Use {-(-total // FIRST_MAX)} or more."
        )
    if first < total:
        return job
    note = f"`approve_every` has no effect: the job has {total} chunk{'s' * (total > 1)}, and none would wait."
    return job.model_copy(update={"approve_every": None, "warnings": (*job.warnings, note)})


def check_asked(job: Job) -> None:
    """Raises Conflict for a job that asks for no approval."""
    if job.approve_every is None:
        raise Conflict(
            f"Job {job.id} asks for no approval; it goes on by itself. To be asked, submit it with `approve_every`."
        )


def trial_tasks(
    job: Job, status: JobStatus, states: Mapping[int, str], window: int, media: Mapping[str, Media]
) -> Sequence[NewTask]:
    """The tasks of the next chunks that are made first, those that are there already among them.

    Args:
        states: of the chunks that are made first, as far as they have ended.
        window: chunks in flight.   media: the long form of the job's media.
    """
    waiting = [chunk for chunk in first_chunks(job) if states.get(chunk) not in ("done", "failed")][:window]
    tasks: list[NewTask] = []
    moving = job.type is JobType.ANIMATEDIFF
    if job.detects and job.type is not JobType.DETECT and not status.tasks:
        tasks += detect_tasks(job, media)
    if moving and not status.tasks:
        tasks += scan_tasks(job, media)
    for chunk in waiting:
        tasks += chunk_tasks(job, chunk, media)
        for near in (chunk - 1, chunk + 1) if moving else ():
            if 0 <= near < chunks(job):
                tasks += [task for task in chunk_tasks(job, near, media) if task.kind not in ("paste", "encode")]
    return tasks
