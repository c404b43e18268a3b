"""The last step of a job: the video joined, the segments and the manifest written."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import copyfileobj
from typing import IO, Any

import numpy as np

from farm.adapters.pictures import encode_png
from farm.adapters.video import join
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.job import Job
from farm.domain.plan import Plan, PlannedFrame
from farm.errors import NotFound
from farm.service.documents import compact
from farm.service.skeleton import chunks
from workers.context import StepResult, Task, Tools
from workers.steps.detect import detecting, found_in
from workers.steps.identify import identify
from workers.steps.ordered import in_order
from workers.steps.plan import load_masks

READERS = 8
"""Chunks that are read ahead."""
PACKAGES = ("detail-farm", "torch", "diffusers", "transformers", "numpy", "pillow", "opencv-python-headless", "av")


def wrap(task: Task, tools: Tools) -> StepResult:
    """Write `segs.json`, `video.mp4` (if every chunk is there) and `manifest.json`; memory holds a few chunks."""
    job = task.job
    if job.type is JobType.DETECT:
        return _wrap_detected(task, tools)
    with tempfile.TemporaryDirectory(prefix="farm-wrap-") as name:
        folder = Path(name)
        with (folder / "frames").open("wb") as file:
            missing, left_out = _write_frames(task, tools, file)
        with (folder / "segs.json").open("w") as texts:
            _write_segs(task, tools, texts)
        tools.blobs.put_file(keys.segs(job.id), folder / "segs.json", "application/json")
        if "video" in job.outputs and not missing:
            for variation in range(job.batch_size):
                _join(job, tools, variation, folder)
        with (folder / "manifest.json").open("wb") as file, (folder / "frames").open("rb") as frames:
            before, after = compact(_manifest(job, missing, left_out)).split(b'"frames":[]', 1)
            file.write(before + b'"frames":[')
            copyfileobj(frames, file)
            file.write(b"]" + after)
        tools.blobs.put_file(keys.manifest(job.id), folder / "manifest.json", "application/json")
    return StepResult(output=keys.manifest(job.id))


def _wrap_detected(task: Task, tools: Tools) -> StepResult:
    """The same of a job that repaints nothing: what was found is all that it makes."""
    job = task.job
    ((source, detection),) = detecting(job)
    missing = [number for number in range(chunks(job)) if not tools.blobs.exists(keys.chunk(job.id, number))]
    name = identify(tools, job, source, found_in(tools, job, source, detection, missing))
    tools.blobs.put(keys.segs(job.id), tools.blobs.get(name), "application/json")
    tools.blobs.put(keys.manifest(job.id), compact(_manifest(job, missing, [])), "application/json")
    return StepResult(output=keys.manifest(job.id))


def _manifest(job: Job, missing: Sequence[int], left_out: Sequence[int]) -> dict[str, object]:
    """All of the manifest but its frames."""
    return {
        "job": job.id,
        "name": job.name,
        "type": job.type.value,
        "engine": job.engine,
        "model": job.model.model_dump(),
        "refiner": job.refiner.model_dump() if job.refiner else None,
        "seeds": {source.name: source.detailer.seed for source in job.sources},
        "input": {"id": job.input.id, "name": job.input.name, "width": job.input.width, "height": job.input.height},
        "fps": job.fps,
        "versions": versions(),
        "missing_chunks": missing,
        "left_out": left_out,
        "video": keys.video(job.id, 0) if "video" in job.outputs and not missing else None,
        "frames": [],
    }


def _write_frames(task: Task, tools: Tools, file: IO[bytes]) -> tuple[list[int], list[int]]:
    """The manifest's entries of frames, with commas between; the numbers of chunks that are not there, and of frames
    that were left out."""
    job, missing, separator = task.job, [], b""
    left_out: list[int] = []
    documents = in_order(lambda number: tools.json_or_none(keys.chunk(job.id, number)), range(chunks(job)), READERS)
    for number, document in enumerate(documents):
        task.progress(number, 2 * chunks(job))
        if document is None:
            missing.append(number)
            continue
        left_out += document.get("left_out", ())
        for frame in document["frames"]:
            file.write(separator + compact(frame))
            separator = b","
    return missing, left_out


def versions() -> dict[str, str]:
    """Versions of what has a part in the pixels, as far as it is installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _write_segs(task: Task, tools: Tools, file: IO[str]) -> None:
    """A SEGS document by frame number, written frame by frame: it can be edited and given back as an input."""
    job = task.job
    file.write(f'{{"header": [{job.input.height}, {job.input.width}], "frames": {{')
    separator = ""
    for number, (plan, masks) in enumerate(
        in_order(lambda number: _plan(tools, job, number), range(chunks(job)), READERS)
    ):
        task.progress(chunks(job) + number, 2 * chunks(job))
        if plan is None:
            continue
        for frame in plan.frames:
            if plan.core[0] <= frame.position < plan.core[1]:
                entries = list(_entries(plan, frame, masks))
                file.write(f'{separator}"{frame.number}": {json.dumps(entries)}')
                separator = ",\n"
    file.write("}}")


def _plan(tools: Tools, job: Job, number: int) -> tuple[Plan | None, list[str]]:
    """A chunk's plan and its masks as text; None where it could not be planned."""
    try:
        plan = tools.plan(job.id, number)
    except NotFound:
        return None, []
    return plan, [_png(mask) for mask in load_masks(tools, plan)]


def _entries(plan: Plan, frame: PlannedFrame, masks: Sequence[str]) -> Iterator[dict[str, Any]]:
    for ref in plan.paste.get(frame.position, ((),))[0]:
        task = plan.task(ref.task)
        crop = task.crops[ref.crop]
        yield {
            "bbox": crop.bbox,
            "crop_region": crop.region,
            "mask": masks[crop.mask],
            "label": task.label,
            "confidence": task.confidence,
        }


def _png(mask: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    levels = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(encode_png(levels)).decode()


def _join(job: Job, tools: Tools, variation: int, folder: Path) -> None:
    def fetch(number: int) -> Path:
        part = folder / f"{variation}-{number:06d}.mp4"
        tools.blobs.get_to_file(keys.video_part(job.id, variation, number), part)
        return part

    parts = list(in_order(fetch, range(chunks(job)), READERS))
    out = folder / f"{variation}.mp4"
    # A rate of the job's own: frames are shown at it, and the sound would not fit any more.
    own_rate = job.input.kind == "video" and job.fps == job.input.fps
    join(parts, tools.file(job.input.blob) if own_rate else None, out, job.start)
    tools.blobs.put_file(keys.video(job.id, variation), out, "video/mp4")
