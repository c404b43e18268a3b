"""Giving up what cannot be made: which tasks a person means, and which chunks a retry must make again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from farm.domain import keys
from farm.domain.decisions import Standing, standing
from farm.domain.detailer import JobType
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.plan import Plan
from farm.domain.state import TaskState
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import Blobs, JobStatus, Ledger, TaskFilter, TaskStatus
from farm.service.skeleton import chunk_of, chunks, spans

MOST = 10_000
"""Failed tasks of a chunk that are looked at."""


@dataclass(frozen=True)
class Meant:
    """What a person wants to give up: some tasks, or what failed of one frame or of one chunk."""

    tasks: tuple[str, ...] = ()
    frame: int | None = None
    """By its number, as the user counts."""
    chunk: int | None = None


@dataclass(frozen=True)
class Meal:
    """What is given up, and what is tried again without it."""

    tasks: tuple[str, ...] = ()
    frames: tuple[tuple[int, int], ...] = ()
    """Chunk and position in the clip."""
    eaten: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


def decided(blobs: Blobs, job_id: str) -> Standing:
    """What people's decisions about a job amount to."""
    return standing(json.loads(blobs.get(name)) for name in blobs.list(keys.job(job_id, "decisions/")))


def meal(job: Job, media: Media, meant: Meant, ledger: Ledger, blobs: Blobs) -> Meal:
    """The failed tasks that are meant; what was eaten before is left out.

    Args:
        media: the long form of the job's input.
    Raises:
        Rejected: nothing, or several things, are named.   NotFound: no such task, frame or chunk.
        Conflict: what is named has not failed, or cannot be given up.
    """
    if sum((bool(meant.tasks), meant.frame is not None, meant.chunk is not None)) != 1:
        raise Rejected("Say what to eat: tasks by their ids, or one `frame` by its number, or one `chunk`.")
    if meant.frame is not None:
        return _of_frame(job, position(job, media, meant.frame), meant.frame, ledger, blobs)
    if meant.chunk is not None:
        if meant.chunk >= chunks(job):
            raise NotFound(f"Job {job.id} has no chunk {meant.chunk}; it has the chunks 0 to {chunks(job) - 1}.")
        found = _failed(ledger, job.id, meant.chunk)
        if not found and meant.chunk not in ledger.status(job.id).eaten:
            raise Conflict(f"No detail task of chunk {meant.chunk} has failed, and its frames can be read. {_LOOK}")
    else:
        named = (ledger.task(job.id, name) for name in dict.fromkeys(meant.tasks))
        found = [_edible(task) for task in named if task.state is not TaskState.EATEN]
    eaten = tuple(task.id for task in found if task.kind == "detail")
    again = tuple(task.id for task in found if task.kind == "plan")
    return Meal(tasks=(*eaten, *again), eaten=eaten, again=again)


_LOOK = "See what has: farm job tasks JOB --state failed"


def position(job: Job, media: Media, number: int) -> int:
    """Position in the clip of a frame number. Raises NotFound."""
    numbers = [picture.number for picture in media.pictures]
    found = numbers.index(number) if number in numbers else -1
    found = found if numbers else number - media.first_number
    if not job.start <= found < job.end:
        raise NotFound(f"Job {job.id} has no frame {number}. `farm job frames {job.id}` lists those that it has.")
    return found


def _of_frame(job: Job, at: int, number: int, ledger: Ledger, blobs: Blobs) -> Meal:
    chunk = spans(job).owner(at)
    eaten, again = [], []
    for task in _failed(ledger, job.id, chunk):
        covers = {at} if task.kind == "plan" else _frames_of(job.id, task, blobs)
        if at not in covers:
            continue
        if task.kind == "detail" and len(covers) == 1:
            eaten.append(task.id)
        elif task.kind == "detail" and job.type is JobType.ANIMATEDIFF:
            raise Conflict(
                f"Frame {number} is sampled together with the others of its chunk by {task.id}, which failed as a "
                f"whole. Eat that task, or all of `--chunk {chunk}`: their frames keep the input's pixels there."
            )
        else:
            again.append(task.id)
    if not eaten and not again and chunk not in ledger.status(job.id).eaten:
        raise Conflict(f"Nothing of frame {number} has failed by itself. {_LOOK}")
    return Meal(frames=((chunk, at),), eaten=tuple(eaten), again=tuple(again))


def _frames_of(job_id: str, task: TaskStatus, blobs: Blobs) -> set[int]:
    """Positions of the frames that a detail task, or a part of one, repaints."""
    plan = Plan.model_validate_json(blobs.get(keys.plan(job_id, task.chunk)))
    return {crop.frame for crop in plan.part(task.id).crops}


def _failed(ledger: Ledger, job_id: str, chunk: int) -> list[TaskStatus]:
    """Tasks of a chunk that failed by themselves and may be given up."""
    found = ledger.tasks(job_id, TaskFilter(states=(TaskState.FAILED,), chunk=chunk), limit=MOST)
    return [task for task in found if task.kind in ("detail", "plan") and not task.cause]


def _edible(task: TaskStatus) -> TaskStatus:
    name = task.id
    if task.state is not TaskState.FAILED:
        raise Conflict(f"Task {name} is {task.state}; only what has failed can be eaten. {_LOOK}")
    if task.cause:
        raise Conflict(f"Task {name} was not run, because {task.cause} failed. Eat {task.cause}.")
    if task.kind not in ("detail", "plan"):
        raise Conflict(
            f"Task {name} cannot be eaten: without it there is nothing to put in its place. Detail tasks can be, and "
            f"plans whose frames cannot be read. Once its cause is mended: farm job retry JOB"
        )
    return task


def to_reopen(job: Job, status: JobStatus, which: TaskFilter) -> list[int]:
    """Chunks that are made again when a retry undoes what was eaten: with those whose frames depend on them."""
    if (which.states and TaskState.EATEN not in which.states) or which.layer:
        return []
    if status.trial:
        return []  # the neighbors are not pasted yet: what was eaten is made again once the job goes on
    named = {int(task.split(".")[1]) for task in which.tasks if task.split(".")[0] in ("detail", "plan")}
    meant = [c for c in status.eaten if which.chunk in (None, c) and (not which.tasks or c in named)]
    if job.sequential and meant:
        # What hooks keep goes from chunk to chunk.
        return list(range(meant[0], status.chunks_opened))
    reach = 1 if job.type is JobType.ANIMATEDIFF else 0
    around = {near for chunk in meant for near in range(chunk - reach, chunk + reach + 1)}
    return sorted(chunk for chunk in around if 0 <= chunk < status.chunks_opened)


def counted(job: Job, blobs: Blobs, eaten: Sequence[int], again: Sequence[int]) -> list[tuple[int, int, int]]:
    """For each chunk that is made again: itself, its final frames, and those of all chunks before it.

    Args:
        eaten: chunks in which something was eaten: there frames may be left out.
    """
    sizes = {chunk: _frames(job, blobs, chunk) for chunk in {*eaten, *again}}
    found = []
    for chunk in again:
        missing = sum(_core(job, n) - size for n, size in sizes.items() if n < chunk)
        found.append((chunk, sizes[chunk], chunk_of(job, chunk).core_start - job.start - missing))
    return found


def _core(job: Job, chunk: int) -> int:
    span = chunk_of(job, chunk)
    return span.core_end - span.core_start


def _frames(job: Job, blobs: Blobs, chunk: int) -> int:
    try:
        document: dict[str, Any] = json.loads(blobs.get(keys.chunk(job.id, chunk)))
    except NotFound:
        return _core(job, chunk)
    return int(document["core_frames"])
