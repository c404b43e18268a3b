"""What the API answers, as the client reads it: the fields it needs; newer farms may say more."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from farm.domain.state import JOB_ENDED, JobState, TaskState


class Answer(BaseModel):
    """Reads what it knows and passes over the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Frames(Answer):
    """Final frames of a job."""

    total: int
    done: int
    contiguous_done: int = 0


class Chunks(Answer):
    """Chunks of a job."""

    total: int
    opened: int = 0
    done: int = 0
    failed: int = 0


class Cache(Answer):
    """Detail tasks that were known done when planned, and those that were not."""

    hits: int = 0
    misses: int = 0


class Eta(Answer):
    """Seconds until the job is done, if it goes on as so far."""

    seconds: float


class BlockedWorker(Answer):
    """A worker that failed too many tasks of a kind of a job."""

    worker: str
    kind: str
    tasks: tuple[str, ...] = ()


class JobAnswer(Answer):
    """A job as it stands."""

    id: str
    name: str = ""
    type: str = ""
    user: str = ""
    status: JobState
    activity: str = ""
    waiting_reason: str | None = None
    priority: int = 50
    created: str = ""
    started: str | None = None
    ended: str | None = None
    revision: int = 0
    counts: dict[TaskState, int] = {}
    tasks: int = 0
    frames: Frames
    chunks: Chunks
    cache: Cache = Cache()
    steps_done: int = 0
    eta: Eta | None = None
    workers_active: int = 0
    max_workers: int = 0
    blocked: tuple[BlockedWorker, ...] = ()
    notes: tuple[str, ...] = ()
    document: dict[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in JOB_ENDED


class Validated(Answer):
    """What a submission would become."""

    document: dict[str, Any]
    frames: int
    chunks: int
    warnings: tuple[str, ...] = ()


class TaskAnswer(Answer):
    """One task of a job."""

    id: str
    kind: str = ""
    layer: str = ""
    chunk: int = -1
    state: TaskState
    attempt: int = 0
    worker: str = ""
    error: str = ""
    step: int = 0
    steps: int = 0
    history: tuple[dict[str, Any], ...] = ()
    cause: str = ""
    """The task that failed, so that this one was not run."""
    key: str = ""
    output: str = ""


class SegmentAnswer(Answer):
    """One segment of a frame: what is repainted there."""

    source: str
    segment: int
    task: str = ""
    region: tuple[int, int, int, int]
    """x1, y1, x2, y2 of the crop, in pixels of the frame."""
    seed: int = 0


class FrameAnswer(Answer):
    """One frame of a job, by its number as people count."""

    number: int
    position: int = 0
    """In the clip, from 0."""
    name: str = ""
    state: str
    """`queued`, `active`, `completed`, `failed` or `left-out`."""
    chunk: int = 0
    sha256: str | None = None
    size: int | None = None
    """Of the final picture's file: hex, and bytes; None until it is there."""
    segments: tuple[SegmentAnswer, ...] = ()
    links: dict[str, str] = {}


class DrainAnswer(Answer):
    """A person's wish that a worker ends."""

    actor: str = ""
    reason: str = ""
    since: float = 0.0
    """Seconds since 1970."""
    grace_s: float | None = None


class WorkerAnswer(Answer):
    """A worker that is alive."""

    id: str
    host: str = ""
    pid: int = 0
    queues: tuple[str, ...] = ()
    device: str = ""
    seen: str = ""
    tasks: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    """`job/kind` of what it is given no more."""
    draining: bool = False
    """It takes nothing more, and ends."""
    drain: DrainAnswer | None = None
    info: dict[str, Any] = {}

    @property
    def state(self) -> str:
        """`draining`, `at work` or `idle`."""
        return "draining" if self.draining else "at work" if self.tasks else "idle"


class UploadAnswer(Answer):
    """What was handed in, after the farm looked at it."""

    id: str
    uri: str
    kind: str = ""
    name: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0


class ModelAnswer(Answer):
    """A model, LoRA, VAE and so on that the farm has."""

    name: str
    hash: str
    has_motion: bool = False
    kind: str = "model"
    family: str = ""
    text_width: int = 0
    latent_channels: int = 0


class ModelFileAnswer(Answer):
    """One file of a model."""

    path: str
    sha256: str
    size: int


class ModelCheck(Answer):
    """Whether the store still holds a file of a model, byte for byte."""

    path: str
    state: str
    """`ok`, `missing` or `damaged`."""


class OutputFile(Answer):
    """One file that a job has made."""

    path: str
    size: int
    sha256: str = ""
    """Hex; empty where the farm does not tell."""
    url: str
    """Absolute, or a path of the API."""
