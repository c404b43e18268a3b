"""From what was found in single frames to the SEGS document of a clip, which people can read, edit and hand in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from farm.adapters.pictures import encode_png
from farm.detail.box import Box, make_crop_region
from farm.detail.detections import Found, dilated
from farm.detail.resample import Mask
from farm.detail.seg_filters import PAIRS
from farm.detail.tracking import Looked, Placed, TrackRule, tracked
from farm.domain import keys
from farm.domain.detection import ALL_LABELS, Detection
from farm.domain.job import Job, Source
from workers.context import Tools
from workers.steps.ingest import named

PLACES = 2
"""Digits behind the point of a box's corners, and of confidences one more: what people can read."""


def identify(tools: Tools, job: Job, source: Source, looked: Sequence[Looked]) -> str:
    """Write the SEGS document of a source that a detector finds; the object's name."""
    detection = source.detect
    assert detection is not None  # its kind is `detect`
    placed: list[tuple[int | None, Placed]] = []
    kept = [wanted(frame, detection, source.detailer.drop_size) for frame in looked]
    if detection.track:
        rule = TrackRule(detection.max_gap, detection.every, min(detection.min_frames, job.frames))
        tracks = dict(enumerate(tracked(kept, rule), 1))
        if detection.identities:
            tracks = {number: placed for number, placed in tracks.items() if number in detection.identities}
        placed += [(number, one) for number, track in tracks.items() for one in track]
    else:
        placed += [(None, Placed(frame.position, one)) for frame in kept for one in frame.found]
    name = keys.detected(job.id, source.name)
    tools.blobs.put(name, _document(tools, job, source, detection, placed).encode(), "application/json")
    tools.forget(name)
    return name


def wanted(frame: Looked, detection: Detection, drop_size: float) -> Looked:
    """A frame with what has one of the labels that are asked for, and is larger than `drop_size` both ways."""
    labels = {name for label in detection.labels for name in (label.strip(), *PAIRS.get(label.strip(), ()))}
    found = (one for one in frame.found if ALL_LABELS in labels or one.label in labels)
    return replace(frame, found=tuple(one for one in found if min(_sides(one)) > drop_size))


def _sides(found: Found) -> tuple[float, float]:
    x1, y1, x2, y2 = found.bbox
    return x2 - x1, y2 - y1


def _document(
    tools: Tools, job: Job, source: Source, detection: Detection, placed: Iterable[tuple[int | None, Placed]]
) -> str:
    """As JSON, a line per frame."""
    clip = tools.media(job.input.id)
    by_frame: dict[int, list[dict[str, Any]]] = {}
    for identity, one in placed:
        number = named(clip, one.position)["number"]
        by_frame.setdefault(number, []).append(_entry(job, source, detection, identity, one))
    head = {
        "header": [job.input.height, job.input.width],
        "made_by": {
            "detector": detection.detector.name,
            "hash": detection.detector.hash,
            "sam": detection.sam.name if detection.sam else None,
            **detection.model_dump(mode="json", exclude={"detector", "sam", "masking_mode", "segs_pivot"}),
            "clip": job.input.name,
        },
        "masking_mode": detection.masking_mode,
        "segs_pivot": detection.segs_pivot,
    }
    rows = ",\n".join(f'"{number}": {json.dumps(by_frame[number])}' for number in sorted(by_frame))
    return f'{json.dumps(head)[:-1]},\n"frames": {{\n{rows}\n}}}}\n'


def _entry(job: Job, source: Source, detection: Detection, identity: int | None, one: Placed) -> dict[str, Any]:
    found = one.found
    entry: dict[str, Any] = {"bbox": [round(value, PLACES) for value in found.bbox]}
    if identity is not None:
        entry |= {"identity": identity, "filled": one.filled}
    entry |= {"label": found.label, "confidence": round(found.confidence, PLACES + 1)}
    if found.shape is None:
        return entry | {"dilation": detection.dilation}
    width, height = job.input.width, job.input.height
    region = make_crop_region(width, height, entry["bbox"], source.detailer.crop_factor)
    # A SAM's mask lies in the grown box already.
    dilation = detection.dilation if detection.sam is None else 0
    return entry | {"crop_region": [*region], "mask": _png(_cut(found, region, dilation))}


def _cut(found: Found, region: Box, dilation: int) -> Mask:
    """The part of a thing's grown mask that lies in a region."""
    assert found.shape is not None
    margin = abs(dilation) + 1
    wide = Box(region.x1 - margin, region.y1 - margin, region.x2 + margin, region.y2 + margin)
    canvas = np.zeros((wide.height, wide.width), dtype=np.float32)
    at = found.shape.at
    seen = at.intersection(wide)
    if seen.area:
        canvas[seen.shifted(-wide.x1, -wide.y1).slices] = found.shape.mask[seen.shifted(-at.x1, -at.y1).slices]
    return dilated(canvas, dilation)[margin:-margin, margin:-margin]


def _png(mask: Mask) -> str:
    return base64.b64encode(encode_png(np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8))).decode()
