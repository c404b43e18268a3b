"""Encode: a chunk's final frames as one closed group of pictures per variation, in any order of arrival."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from farm.adapters.pictures import U8, decode_rgb
from farm.adapters.video import Look, encode_group, probe
from farm.domain import keys
from farm.domain.job import Job
from farm.errors import Damaged
from workers.context import StepResult, Task, Tools


def encode(task: Task, tools: Tools) -> StepResult:
    """Write `parts/b<variation>/<n>.mp4`.

    Raises:
        Damaged: a final frame is not the one that the chunk's document lists; the chunk is pasted again.
    """
    job = task.job
    document = tools.json(keys.chunk(job.id, task.chunk))
    look = look_of(tools, job)
    name = ""
    with tempfile.TemporaryDirectory(prefix="farm-encode-") as folder:
        for variation in range(job.batch_size):
            frames = [frame for frame in document["frames"] if frame["variation"] == variation]
            frames = held(frames, *document["core"])
            part = Path(folder) / f"{variation}.mp4"
            pictures = _frames(task, tools, frames) if frames else _black(job, *document["core"])
            encode_group(pictures, look, part)
            name = keys.video_part(job.id, variation, task.chunk)
            tools.blobs.put_file(name, part, "video/mp4")
    return StepResult(output=name)


def held(frames: list[dict[str, Any]], start: int, end: int) -> list[dict[str, Any]]:
    """The frames at the positions `[start, end)`, where one was left out the one before it, or the first that there is:
    so that the video keeps its length, and its sound its place."""
    if len(frames) == end - start or not frames:
        return frames
    at = {frame["position"]: frame for frame in frames}
    shown = frames[0]
    return [shown := at.get(position, shown) for position in range(start, end)]


def _black(job: Job, start: int, end: int) -> Iterator[U8]:
    """What is shown for a chunk all of whose frames were left out."""
    yield from (np.zeros((job.input.height, job.input.width, 3), dtype=np.uint8) for _ in range(start, end))


def look_of(tools: Tools, job: Job) -> Look:
    """Rate and colors of the job's video: the input's own where it is a video."""
    rate = Fraction(*job.fps)
    if job.input.kind != "video":
        return Look(fps=rate)
    return probe(tools.file(job.input.blob)).look._replace(fps=rate)


def _frames(task: Task, tools: Tools, frames: list[dict[str, Any]]) -> Iterator[U8]:
    for count, frame in enumerate(frames):
        data = tools.blobs.get(frame["object"])
        if hashlib.sha256(data).hexdigest() != frame["sha256"]:
            raise Damaged(f"{frame['object']} is not the frame that was committed; it is read again.")
        task.progress(count, len(frames))
        yield decode_rgb(data, tools.max_pixels)
