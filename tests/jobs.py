"""Jobs for tests, with as little said as possible."""

from __future__ import annotations

from farm.domain.detailer import Detailer, JobType, merged
from farm.domain.job import Job, Source
from farm.domain.media import Media
from farm.domain.model import ModelRef


def media(name: str = "clip", frames: int = 4, width: int = 96, height: int = 64) -> Media:
    """A media that exists on paper only."""
    return Media(id=f"{name}{'0' * 12}", kind="pictures", name=name, width=width, height=height, frames=frames)


def source(name: str, job_type: JobType = JobType.MASK, **parameters: object) -> Source:
    """A mask of one picture with these parameters."""
    detailer = merged(job_type, Detailer.model_validate(parameters))
    return Source(name=name, kind="mask", media=media(name, frames=1), detailer=detailer)


def job(
    sources: tuple[Source, ...],
    job_type: JobType = JobType.MASK,
    frames: int = 4,
    size: tuple[int, int] = (96, 64),
    **changes: object,
) -> Job:
    """A job over a whole clip."""
    values: dict[str, object] = {
        "id": "j1",
        "name": "test",
        "type": job_type,
        "created": "2026-01-01T00:00:00+00:00",
        "input": media(frames=frames, width=size[0], height=size[1]),
        "start": 0,
        "end": frames,
        "fps": (25, 1),
        "sources": sources,
        "model": ModelRef(name="demo", hash="0" * 64),
        "engine": "fake-1",
        "batch_size": 1,
        "chunk": 16,
        "batch_limit": 16,
        "outputs": (),
        "priority": 50,
        "max_attempts": 3,
    }
    return Job.model_validate(values | changes)
