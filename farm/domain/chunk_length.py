"""How long a job's chunks are: as a user says, the default, or, for `auto`, as its workers suggest. Pure.

A chunk is what is lost with a worker, what a job waits for at its end, and what lies in memory at once; a short one
spends more of its time on frames around its core. So `auto` is: as long as TARGET_S of one worker's time, no longer
than its memory holds, and no longer than leaves each worker a chunk. The number is written into the job, so that it
never changes with the workers that come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from farm.domain.detailer import Detailer, JobType
from farm.domain.detection import DETECT_FRAMES, detect_run
from farm.domain.job import JobRequest, Source
from farm.domain.motion import whole_chunk, whole_clip
from farm.domain.queues import gpu_queue
from farm.errors import Rejected

DEFAULT_CHUNK = {JobType.MASK: 16, JobType.ANIMATEDIFF: 48, JobType.DETECT: DETECT_FRAMES}
"""Frames of a chunk that a job delivers at once."""
TARGET_S = 180.0
"""Seconds that one worker should sample for a chunk, all segments together."""
LONGEST = 480
"""Frames of a chunk that was chosen by itself."""
SHORTEST = 4
"""The same, at the other end, in `mask` jobs."""
BYTES_PER_PIXEL = 64
"""Of GPU memory per sampled pixel of each frame of a run: latents, noise, masks, decoded pictures. A rough bound."""
MEMORY_SHARE = 0.4
"""Of a GPU's memory that frames may take; models and what a call of the network needs have the rest."""
SPEED = "pixel_steps_per_s"
"""Under which a worker tells its speed."""


@dataclass(frozen=True)
class WorkerSpeed:
    """What a worker has said of itself."""

    queues: tuple[str, ...]
    pixel_steps_per_s: float
    """Sampled pixels times steps per second, as it was of late; 0: it has not sampled yet."""

    @staticmethod
    def reported(queues: tuple[str, ...], info: Mapping[str, object]) -> WorkerSpeed:
        """Of what a worker tells with its signs of life."""
        speed = info.get(SPEED)
        return WorkerSpeed(queues, float(speed) if isinstance(speed, int | float) else 0.0)


@dataclass(frozen=True)
class Windows:
    """How the motion module's windows lie over a clip."""

    length: int
    overlap: int

    @property
    def stride(self) -> int:
        """Frames from one window to the next."""
        return self.length - self.overlap


@dataclass(frozen=True)
class Chosen:
    """A chunk's length and why."""

    frames: int
    reason: str


def asked_chunk(
    request: JobRequest, sources: Sequence[Source], frames: int, workers: Callable[[], Sequence[WorkerSpeed]]
) -> tuple[int | None, tuple[str, ...]]:
    """The length of chunks that a request asks for, and what to tell its user; None: the default.

    Args:
        frames: of the job.   workers: asked only for `auto`.
    """
    if request.chunk != "auto":
        return request.chunk, ()
    if request.type is JobType.DETECT:
        return None, ()
    if any(whole_clip(source.detailer) for source in sources):
        return None, ()  # one chunk, whatever workers there are
    windows = {Windows(s.detailer.context_length, s.detailer.context_overlap) for s in sources}
    moving = request.type is JobType.ANIMATEDIFF
    # Windows that do not go together are refused elsewhere.
    shared = max(windows, key=lambda one: one.length) if moving else None
    detailers = [source.detailer for source in sources]
    chosen = chosen_chunk(detailers, frames, gpu_queue(request.vram_gb), workers(), shared)
    if chosen is None:
        return None, ("`chunk` auto: no worker that can take the job has told its speed yet; the default is used.",)
    return chosen.frames, (f"`chunk` auto: {chosen.frames} frames ({chosen.reason}).",)


def chosen_chunk(
    detailers: Sequence[Detailer], frames: int, queue: str, workers: Sequence[WorkerSpeed], windows: Windows | None
) -> Chosen | None:
    """The length of a job's chunks.

    Args:
        detailers: of its segments.   frames: of the job.
        queue: that its detail tasks are offered on.
        windows: of an `animatediff` job; None for a `mask` job.
    Returns:
        None if nothing is known: no worker that serves the queue has said how fast it is.
    """
    able = [worker for worker in workers if worker.pixel_steps_per_s > 0 and queue in worker.queues]
    if not able:
        return None
    pixels = sum(_pixels(detailer) for detailer in detailers)
    work = sum(pixel_steps(detailer, _pixels(detailer)) for detailer in detailers)
    speed = median(worker.pixel_steps_per_s for worker in able)
    halo = 2 * windows.stride + windows.overlap if windows else 0
    bounds = {
        f"{TARGET_S:g} s of a worker's time": int(TARGET_S * speed / work) - halo,
        f"a chunk for each of {len(able)} workers": ceil(frames / len(able)),
        "the longest that is chosen": LONGEST,
    }
    memory = min(_memory_gib(worker.queues) for worker in able)
    if windows and memory:
        per_frame = pixels / len(detailers) * BYTES_PER_PIXEL
        bounds[f"{memory} GiB of memory"] = int(MEMORY_SHARE * memory * 2**30 / per_frame) - halo
    reason = min(bounds, key=lambda name: bounds[name])
    return Chosen(_fitting(bounds[reason], windows), reason)


def pixel_steps(detailer: Detailer, pixels: int) -> int:
    """What sampling so many pixels costs: pixels times steps, twice if both prompts are looked at."""
    return pixels * detailer.steps * detailer.cycle * (1 if detailer.cfg == 1 else 2)


def chunk_length(
    job_type: JobType, asked: int | None, sources: Sequence[Source], frames: int, whole_clip_frames: int
) -> int:
    """Frames of a job's chunks.

    Args:
        asked: None: the default.   frames: of the job.
        whole_clip_frames: that one worker samples together at the most, where windows reach over a whole clip.
    Raises:
        Rejected: segments whose windows do not go together, a length that is not of whole strides.
    """
    if job_type is JobType.DETECT:
        return asked or detect_run(frames)
    chunk = asked or DEFAULT_CHUNK[job_type]
    if job_type is JobType.MASK:
        return chunk
    whole = next((source for source in sources if whole_clip(source.detailer)), None)
    if whole is not None:
        return whole_chunk(whole, asked, frames, whole_clip_frames)
    strides = {source.detailer.context_length - source.detailer.context_overlap for source in sources}
    if len(strides) > 1:
        raise Rejected(
            f"The segments have windows of different stride (context_length - context_overlap): {sorted(strides)}. "
            f"Give all segments the same context_length and context_overlap."
        )
    stride, length = strides.pop(), max(source.detailer.context_length for source in sources)
    least = least_chunk(Windows(length, length - stride))
    nearest = max(least, round(chunk / stride) * stride)
    if asked is not None and asked != nearest:
        raise Rejected(
            f"`chunk` is {chunk}; an `animatediff` chunk must be a multiple of the stride {stride} "
            f"(context_length - context_overlap), {least} or more. Try {nearest}."
        )
    return nearest


def least_chunk(windows: Windows) -> int:
    """The shortest core of an `animatediff` job: two strides, and whole strides over a window."""
    return max(2 * windows.stride, ceil(windows.length / windows.stride) * windows.stride)


def _pixels(detailer: Detailer) -> int:
    """Pixels of one crop as it is sampled: masks are not known yet, so a square that is as large as parameters say."""
    side = detailer.guide_size * (detailer.crop_factor if detailer.guide_size_for else 1)
    return int(min(side, detailer.max_size)) ** 2


def _fitting(frames: int, windows: Windows | None) -> int:
    if windows is None:
        return max(SHORTEST, frames)
    return max(least_chunk(windows), frames // windows.stride * windows.stride)


def _memory_gib(queues: Sequence[str]) -> int:
    """The class of a worker's GPU; 0 for a CPU, whose memory nobody has measured."""
    classes = [int(queue.removeprefix("gpu.")) for queue in queues if queue.startswith("gpu.")]
    return max(classes, default=0)
