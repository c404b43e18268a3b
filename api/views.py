"""What the API answers, as models: the OpenAPI document is made of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from api.shapes import Answer
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.state import JobState, TaskState
from farm.ports import Drain, JobStatus, TaskStatus, WorkerStatus
from farm.service.waiting import notes, waiting_reason

ROOT = "/api/v1"
"""All links are paths: the name under which a client reached us is its own affair, and not to be trusted."""


class FrameCounts(Answer):
    """How many frames of a job are final."""

    total: int
    done: int
    contiguous_done: int
    """From the first frame on, without a gap."""


class ChunkCounts(Answer):
    """Runs of frames that are planned, detailed and pasted together."""

    total: int
    opened: int
    done: int
    failed: int


class CacheCounts(Answer):
    """Detail tasks that were known done when they were planned, and those that were not."""

    hits: int
    misses: int


class Eta(Answer):
    """When the job will be done, if it goes on as so far."""

    seconds: float


class BlockedView(Answer):
    """A worker that failed too many tasks of a job."""

    worker: str
    kind: str
    """Of the tasks that it is given no more, as long as there are others."""
    tasks: tuple[str, ...]
    """Those that it failed."""


class JobView(Answer):
    """A job as it stands. Counted as things change: asking costs the same for any length of clip."""

    id: str
    name: str
    type: str
    user: str
    status: JobState
    activity: str = Field(examples=["4 of 9 chunks done"])
    """The last change, in words."""
    waiting_reason: str | None
    """Why nothing is running, if nothing is."""
    priority: int
    created: str
    started: str | None
    ended: str | None
    revision: int
    """Grows with every change; the ETag is made of it."""
    counts: dict[TaskState, int]
    """Tasks that are planned so far, by state."""
    tasks: int
    """The sum of `counts`."""
    frames: FrameCounts
    chunks: ChunkCounts
    cache: CacheCounts
    steps_done: int
    """Sampler steps so far, of all attempts."""
    eta: Eta | None
    workers_active: int
    max_workers: int
    """Workers at work on it at the same time, at most; 0: any number."""
    blocked: tuple[BlockedView, ...]
    """Workers that get no more tasks of some kind; the action `unblock` lets them again."""
    notes: tuple[str, ...]
    """What is not as it should be, though the job goes on or has ended well."""
    links: dict[str, str]
    document: Job | None = None
    """The job with all its parameters, as it was accepted; left out in lists."""


class JobPage(Answer):
    """Jobs, newest first."""

    items: tuple[JobView, ...]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last one."""


class TaskView(Answer):
    """One unit of dispatch."""

    id: str
    kind: str
    layer: str
    chunk: int
    state: TaskState
    attempt: int
    key: str
    """Content key: what determines its result."""
    output: str
    worker: str
    error: str
    cause: str
    """The task that failed, so that this one was not run."""
    step: int
    steps: int
    history: tuple[dict[str, Any], ...]
    """Its attempts: worker, started, ended, outcome, error."""
    links: dict[str, str]


class TaskPage(Answer):
    """Tasks by id. Those of chunks that ended well are counted in the job and no longer listed."""

    items: tuple[TaskView, ...]
    next_cursor: str | None


class WorkerView(Answer):
    """A worker process that is alive."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    device: str
    seen: str
    """Last sign of life, UTC."""
    tasks: tuple[str, ...]
    """`job/task` of what it is doing."""
    blocked: tuple[str, ...]
    """`job/kind` of the tasks that it is given no more, since it failed too many of them."""
    draining: bool
    """It takes nothing more, and ends when it has finished or handed back what it has."""
    drain: Drain | None
    """Who asked it to, and when (seconds since 1970); null where its machine told it, or nobody."""
    info: dict[str, Any]


class UploadView(Answer):
    """What was handed in, after the farm looked at it."""

    id: str
    uri: str = Field(examples=["upload:3f5e…"])
    """What a job refers to it by."""
    kind: str
    name: str
    width: int
    height: int
    frames: int
    first_number: int
    last_number: int
    fps: tuple[int, int] | None
    """A fraction; null for pictures."""
    has_audio: bool
    empty: bool
    """As a mask: no pixel of any frame is set."""
    links: dict[str, str]


def job_view(status: JobStatus, document: Job | None = None, waiting: str | None = None) -> JobView:
    """A job's counts in the API's words; `waiting`: why it stands still, if that was looked into."""
    facts = status.facts
    here = f"{ROOT}/jobs/{facts.id}"
    return JobView(
        id=facts.id,
        name=facts.name,
        type=facts.type,
        user=facts.user,
        status=status.state,
        activity=status.activity,
        waiting_reason=waiting or waiting_reason(status),
        priority=facts.priority,
        created=facts.created,
        started=stamp(status.started),
        ended=stamp(status.ended),
        revision=status.revision,
        counts={state: status.counts.get(state, 0) for state in TaskState},
        tasks=status.tasks,
        frames=FrameCounts(total=facts.frames, done=status.frames_done, contiguous_done=status.frames_contiguous),
        chunks=ChunkCounts(
            total=facts.chunks, opened=status.chunks_opened, done=status.chunks_done, failed=status.chunks_failed
        ),
        cache=CacheCounts(hits=status.cache_hits, misses=status.cache_misses),
        steps_done=status.steps_done,
        eta=eta(status),
        workers_active=status.workers_active,
        max_workers=facts.max_workers,
        blocked=tuple(BlockedView(worker=b.worker, kind=b.kind, tasks=b.tasks) for b in status.blocked),
        notes=notes(status),
        links={
            "self": here,
            **{name: f"{here}/{name}" for name in ("tasks", "frames", "outputs", "actions", "events")},
        },
        document=document,
    )


def eta(status: JobStatus, now: float | None = None) -> Eta | None:
    """The time that the rest takes at the mean speed so far; None before the first frame, or if nothing moves."""
    if status.state is not JobState.ACTIVE or status.started is None or status.frames_done <= 0:
        return None
    spent = max(0.0, (time.time() if now is None else now) - status.started)
    left = status.facts.frames - status.frames_done
    return Eta(seconds=round(spent * left / status.frames_done, 1))


def task_view(job_id: str, task: TaskStatus) -> TaskView:
    """A task in the API's words."""
    job = f"{ROOT}/jobs/{job_id}"
    return TaskView(
        id=task.id,
        kind=task.kind,
        layer=task.layer,
        chunk=task.chunk,
        state=task.state,
        attempt=task.attempt,
        key=task.key,
        output=task.output,
        worker=task.worker,
        error=task.error,
        cause=task.cause,
        step=task.step,
        steps=task.steps,
        history=tuple(plain(entry) for entry in task.history),
        links={"self": f"{job}/tasks/{task.id}", "job": job},
    )


def worker_view(worker: WorkerStatus, blocked: Sequence[str] = ()) -> WorkerView:
    """A worker in the API's words."""
    return WorkerView(
        id=worker.id,
        host=worker.host,
        pid=worker.pid,
        queues=worker.queues,
        device=worker.device,
        seen=stamp(worker.seen) or "",
        tasks=worker.tasks,
        blocked=tuple(blocked),
        draining=worker.leaves,
        drain=worker.drain,
        info=plain(worker.info),
    )


def upload_view(media: Media) -> UploadView:
    """What was admitted, in the API's words."""
    last = media.pictures[-1].number if media.pictures else media.first_number + media.frames - 1
    return UploadView(
        id=media.id,
        uri=f"upload:{media.id}",
        kind=media.kind,
        name=media.name,
        width=media.width,
        height=media.height,
        frames=media.frames,
        first_number=media.first_number,
        last_number=last,
        fps=media.fps,
        has_audio=media.has_audio,
        empty=media.empty,
        links={"self": f"{ROOT}/uploads/{media.id}"},
    )


def plain(entry: Mapping[str, object]) -> dict[str, Any]:
    """A mapping as a JSON object."""
    return {str(name): value for name, value in entry.items()}


def stamp(seconds: float | None) -> str | None:
    """Server time as UTC, ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
