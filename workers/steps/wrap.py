"""The last step of a job: the video joined, the segments and the manifest written."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from farm.adapters.pictures import encode_png
from farm.adapters.video import join
from farm.domain import keys
from farm.domain.job import Job
from farm.domain.plan import Plan, PlannedFrame
from farm.errors import NotFound
from farm.service.documents import compact
from farm.service.skeleton import chunks
from workers.context import StepResult, Task, Tools
from workers.steps.plan import load_masks

PACKAGES = ("detail-farm", "torch", "diffusers", "transformers", "numpy", "pillow", "opencv-python-headless", "av")


def wrap(task: Task, tools: Tools) -> StepResult:
    """Write `segs.json`, `video.mp4` (if every chunk is there) and `manifest.json`."""
    job = task.job
    documents = [tools.json_or_none(keys.chunk(job.id, number)) for number in range(chunks(job))]
    missing = [number for number, document in enumerate(documents) if document is None]
    with tempfile.TemporaryDirectory(prefix="farm-wrap-") as folder:
        segs = Path(folder) / "segs.json"
        with segs.open("w") as file:
            _write_segs(task, tools, file)
        tools.blobs.put_file(keys.segs(job.id), segs, "application/json")
        if "video" in job.outputs and not missing:
            for variation in range(job.batch_size):
                _join(job, tools, variation, Path(folder))
    manifest = {
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
        "left_out": [number for document in documents if document for number in document.get("left_out", ())],
        "video": keys.video(job.id, 0) if "video" in job.outputs and not missing else None,
        "frames": [frame for document in documents if document for frame in document["frames"]],
    }
    name = keys.manifest(job.id)
    tools.blobs.put(name, compact(manifest), "application/json")
    return StepResult(output=name)


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
    for number in range(chunks(job)):
        task.progress(number, chunks(job))
        try:
            plan = tools.plan(job.id, number)
        except NotFound:
            continue
        masks = [_png(mask) for mask in load_masks(tools, plan)]
        for frame in plan.frames:
            if plan.core[0] <= frame.position < plan.core[1]:
                entries = list(_entries(plan, frame, masks))
                file.write(f'{separator}"{frame.number}": {json.dumps(entries)}')
                separator = ",\n"
    file.write("}}")


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
    parts = []
    for number in range(chunks(job)):
        part = folder / f"{variation}-{number:06d}.mp4"
        tools.blobs.get_to_file(keys.video_part(job.id, variation, number), part)
        parts.append(part)
    out = folder / f"{variation}.mp4"
    # A rate of the job's own: frames are shown at it, and the sound would not fit any more.
    own_rate = job.input.kind == "video" and job.fps == job.input.fps
    join(parts, tools.file(job.input.blob) if own_rate else None, out, job.start)
    tools.blobs.put_file(keys.video(job.id, variation), out, "video/mp4")
