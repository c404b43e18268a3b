"""What a job would do: which of its tasks would run, which are done already, and how long GPUs would be busy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from farm.domain.chunk_length import pixel_steps
from farm.domain.job import Job
from farm.domain.plan import DetailTask


class Count(BaseModel):
    """How many run, and how many are done already."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    run: int = 0
    cached: int = 0


class GpuEstimate(BaseModel):
    """How long GPUs would be busy, all of them together."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    seconds: float | None = None
    """None: nothing like it was recorded yet, or not all that would run is known."""
    known_seconds: float | None = None
    """The same for the part that is known."""
    basis: str
    """What it was reckoned from."""


class Forecast(BaseModel):
    """What a job would do, had it been submitted now."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    frames: int
    chunks: int
    tasks: dict[str, Count]
    """By layer: `ingest`, `scan`, `plan`, `detail:<segment>`, `paste`, `encode`, `wrap`."""
    crops: dict[str, Count]
    """By segment: crops in its detail tasks."""
    unknown_frames: int = 0
    """Frames whose detail tasks cannot be told yet; they are in no count of `detail` and `crops`."""
    unknown: tuple[str, ...] = ()
    """Why."""
    gpu: GpuEstimate


Foresee = Callable[[Job, Job | None], Iterator[int | Forecast]]
"""From a job that is not submitted, and the one that it is like, to chunks looked at so far and, at last, the
forecast."""


class Sample(BaseModel):
    """What one attempt at a detail task took, as its completion record tells."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: str = ""
    device: str = ""
    download: tuple[float, float]
    """Begin and end of reading, in seconds since the task was claimed."""
    gpu: tuple[float, float]
    """The same of sampling."""
    pixel_steps: int = Field(ge=0)

    @property
    def gpu_s(self) -> float:
        """Seconds that the device was busy."""
        return self.gpu[1] - self.gpu[0]


def work_of(job: Job, detail: DetailTask) -> int:
    """Pixels that a task samples, times steps: what its time on a device grows with."""
    source = job.source(detail.source, detail.piece).with_values(detail.values.items())
    return pixel_steps(source.detailer, sum(crop.size[0] * crop.size[1] for crop in detail.crops))


def alike_to_gpu(job: Job, other: Job) -> bool:
    """Whether a device takes as long for a pixel and a step of either."""
    return (job.engine, job.type, job.model.hash) == (other.engine, other.type, other.model.hash)


def estimate(samples: Mapping[str, Sample], whence: str, work: int, complete: bool) -> GpuEstimate:
    """GPU time for `work` pixel-steps.

    Args:
        samples: of what ran before, by name.   whence: which job they are of.
        complete: whether `work` is all that would run.
    """
    if work == 0 and complete:
        return GpuEstimate(seconds=0.0, known_seconds=0.0, basis="nothing would run on a GPU")
    seen = sum(sample.pixel_steps for sample in samples.values())
    if not seen:
        return GpuEstimate(basis="no attempt with this model and engine is recorded")
    known = work * sum(sample.gpu_s for sample in samples.values()) / seen
    devices = ", ".join(sorted({sample.device for sample in samples.values() if sample.device})) or "unknown devices"
    basis = f"{len(samples)} recorded tasks of {whence} on {devices}"
    return GpuEstimate(seconds=known if complete else None, known_seconds=known, basis=basis)
