"""Detect: a run of frames is shown to a job's detectors; then, of the whole clip, who is who."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from farm.adapters.pictures import decode_mask, encode_png
from farm.detail.box import Box
from farm.detail.detections import U8, Found, Shape, colors
from farm.detail.tracking import Looked
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.detection import Detection, looked_at
from farm.domain.job import Job, Source
from farm.service.advance import media_of
from farm.service.documents import compact
from farm.service.skeleton import DETECTS_AHEAD, TRACKS, detect_span, detect_tasks, detects
from workers.context import StepResult, Task, Tools
from workers.detectors.port import Detector
from workers.steps.identify import identify
from workers.steps.ingest import ingested

VERSION = 1
"""Of what detectors are shown and what is kept of it: raise it where the same frames give other findings."""
BATCH = 8
"""Frames in memory at once."""
Shaper = Callable[[U8, list[Found]], list[Found]]


def detect(task: Task, tools: Tools) -> StepResult:
    """`detect.<k>`, and `search.<k>` in jobs that do nothing else: what is found in a run of frames. `tracks.0`: the
    SEGS documents of the whole clip.

    What was found in the same frames by the same detector before, in any job, is not looked for again. Frames that
    cannot be read are passed over; the plan of their chunk will say so.
    """
    job = task.job
    if task.id == TRACKS:
        for source, detection in detecting(job):
            identify(tools, job, source, found_in(tools, job, source, detection))
        return StepResult(output=keys.job(job.id, "detect/"))
    number = int(task.id.split(".")[1])
    for source, detection in detecting(job):
        name = keys.detection(job.id, source.name, number)
        if not tools.blobs.exists(name):  # it is there where a lost ledger was rebuilt
            tools.blobs.put(name, _found(task, tools, detection), "application/json")
    output = keys.job(job.id, "detect/")
    if job.type is JobType.DETECT:
        start, end = detect_span(job, task.id)
        core = {"chunk": task.chunk, "core": [start, end], "core_frames": end - start}
        record = {**core, "frames": [], "left_out": [], "outputs": {}, "keys": {}}
        tools.blobs.put(keys.chunk(job.id, task.chunk), compact(record), "application/json")
        return StepResult(output=output, frames=end - start)
    media = media_of(job, tools.documents)
    return StepResult(output=output, tasks=tuple(detect_tasks(job, media, number + DETECTS_AHEAD, 1)))


def detecting(job: Job) -> list[tuple[Source, Detection]]:
    """The sources of a job that are found by detectors."""
    return [(source, source.detect) for source in job.sources if source.detect is not None]


def found_in(
    tools: Tools, job: Job, source: Source, detection: Detection, missing: Collection[int] = ()
) -> list[Looked]:
    """All that a job's detect tasks have found for a source, by frame; but for those whose numbers are `missing`.

    Raises:
        NotFound: another one is missing.
    """
    looked: list[Looked] = []
    for number in (each for each in range(detects(job)) if each not in missing):
        kind = "search" if job.type is JobType.DETECT else "detect"
        positions = _positions(job, detection, f"{kind}.{number}")
        frames = tools.json(keys.detection(job.id, source.name, number))["frames"]
        looked += [
            Looked(position, _bytes(frame["colors"]), tuple(map(_unpacked, frame["found"])))
            for position, frame in zip(positions, frames, strict=True)
            if frame is not None
        ]
    return looked


def _positions(job: Job, detection: Detection, task: str) -> list[int]:
    return looked_at(*detect_span(job, task), detection.every, (job.start, job.end))


def _found(task: Task, tools: Tools, detection: Detection) -> bytes:
    """What is found in a run of frames, as a document."""
    positions = _positions(task.job, detection, task.id)
    if not positions:
        return compact({"frames": []})
    clip = tools.media(task.job.input.id)
    frames = ingested(tools, clip, "frame", positions[0], positions[-1])
    digests = [frames[position].get("digest") for position in positions]
    parts = {
        "version": VERSION,
        "detector": detection.detector.hash,
        "threshold": detection.threshold,
        "frames": digests,
    }
    if detection.sam is not None:
        shown = ("dilation", "sam_threshold", "sam_bbox_expansion", "sam_dilation")
        parts |= {"sam": detection.sam.hash, **{name: getattr(detection, name) for name in shown}}
    name = keys.detections(keys.content_key("detect", parts))
    if tools.blobs.exists(name):
        return tools.blobs.get(name)
    made = compact({"frames": list(_looks(task, tools, detection, digests))})
    tools.blobs.put(name, made, "application/json")
    return made


def _looks(
    task: Task, tools: Tools, detection: Detection, digests: Sequence[str | None]
) -> Iterator[dict[str, Any] | None]:
    detector = tools.detector(detection.detector)
    with _shaper(tools, detection) as shaped:
        yield from _shown(task, tools, detection, digests, detector, shaped)


@contextmanager
def _shaper(tools: Tools, detection: Detection) -> Iterator[Shaper]:
    """What gives shapes to boxes: a SAM, while it is on the device, or nothing."""
    if detection.sam is None:
        yield lambda _, found: found
        return
    sam = tools.sam(detection.sam)
    with sam.on("cpu" if tools.engine.device == "cpu" else "cuda"):
        yield lambda picture, found: sam.shaped(picture, found, detection)


def _shown(
    task: Task,
    tools: Tools,
    detection: Detection,
    digests: Sequence[str | None],
    detector: Detector,
    shaped: Shaper,
) -> Iterator[dict[str, Any] | None]:
    for start in range(0, len(digests), BATCH):
        batch = digests[start : start + BATCH]
        pictures = tools.pictures.read_all([digest for digest in batch if digest is not None])
        for number, digest in enumerate(batch, start + 1):
            if digest is None:
                yield None
            else:
                picture = np.ascontiguousarray(pictures[digest][..., :3])
                found = shaped(picture, detector.find(picture, detection.threshold))
                yield {"colors": colors(picture).tobytes().hex(), "found": [_packed(one) for one in found]}
            task.progress(number, len(digests))


def _packed(found: Found) -> dict[str, Any]:
    entry: dict[str, Any] = {"bbox": found.bbox, "label": found.label, "confidence": found.confidence}
    if found.look is not None:
        entry["look"] = found.look.tobytes().hex()
    if found.shape is not None:
        levels = np.rint(np.clip(found.shape.mask, 0, 1) * 255).astype(np.uint8)
        entry |= {"at": found.shape.at, "mask": base64.b64encode(encode_png(levels)).decode()}
    return entry


def _unpacked(entry: dict[str, Any]) -> Found:
    shape = Shape(Box(*entry["at"]), decode_mask(base64.b64decode(entry["mask"]))) if "mask" in entry else None
    look = _bytes(entry["look"]) if "look" in entry else None
    x1, y1, x2, y2 = entry["bbox"]
    return Found((x1, y1, x2, y2), entry["label"], entry["confidence"], shape, look)


def _bytes(text: str) -> U8:
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
