"""Scan: what the masks of a whole clip mark, part by part, then merged into the clip's segments (`animatediff`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from farm.adapters.packs import decode_npy, encode_npy, pack, unpack
from farm.detail.box import Box
from farm.detail.clip_segs import animatediff_segs, union_mask
from farm.detail.segs import Seg, mask_to_segs
from farm.domain import keys
from farm.domain.job import Job, Source
from farm.domain.keys import SCAN_FRAMES
from farm.service.advance import media_of
from farm.service.documents import compact
from farm.service.skeleton import SCANS_AHEAD, SEGMENTS, scan_tasks
from workers.context import StepResult, Task, Tools
from workers.steps.masks import Mask, clip_masks, document_segs, per_frame

BATCH = 16
"""Masks in memory at once."""


def scan(task: Task, tools: Tools) -> StepResult:
    """`scan.<k>`: the union of the masks of 512 frames, and a later scan is added; `segments.0`: the segments."""
    if task.id == SEGMENTS:
        return _merge(task, tools)
    number = int(task.id.split(".")[1])
    name = keys.scan(task.job.id, number)
    if not tools.blobs.exists(name):  # it is there where a lost ledger was rebuilt
        _write_unions(task, tools, number, name)
    media = media_of(task.job, tools.documents)
    return StepResult(output=name, tasks=tuple(scan_tasks(task.job, media, number + SCANS_AHEAD, 1)))


def _write_unions(task: Task, tools: Tools, number: int, name: str) -> None:
    start = task.job.start + number * SCAN_FRAMES
    positions = range(start, min(task.job.end, start + SCAN_FRAMES))
    members = {}
    for source in task.job.sources:
        if source.kind == "mask" or per_frame(tools, source):
            members[f"{source.name}.npy"] = encode_npy(_union(task, tools, source, positions))
    tools.blobs.put(name, pack(members), "application/zip")


def clip_segments(tools: Tools, job: Job) -> dict[str, list[Seg]]:
    """The clip's segments by source, as the scan found them. A mask of shape `[0, 0]` says: one mask per frame."""
    document = tools.json(keys.segments(job.id))
    masks = tools.object(_masks_name(job.id), unpack)
    return {
        source: [_read(entry, decode_npy(masks[f"{source}.{i}.npy"])) for i, entry in enumerate(entries)]
        for source, entries in document["sources"].items()
    }


def _union(task: Task, tools: Tools, source: Source, positions: range) -> Mask:
    union: Mask | None = None
    for start in range(positions.start, positions.stop, BATCH):
        batch = range(start, min(positions.stop, start + BATCH))
        masks = clip_masks(tools, task.job, source, batch)
        union = union_mask(np.stack(list({id(m): m for m in masks.values()}.values())), union)
        task.progress(batch.stop - positions.start, len(positions))
    assert union is not None  # a scan has at least one frame
    return union


def _merge(task: Task, tools: Tools) -> StepResult:
    job = task.job
    found = {source.name: _segments(tools, job, source) for source in job.sources}
    document = {
        "sources": {
            name: [
                {"bbox": seg.bbox, "crop_region": seg.crop_region, "label": seg.label, "confidence": seg.confidence}
                for seg in segs
            ]
            for name, segs in found.items()
        }
    }
    members = {f"{name}.{i}.npy": encode_npy(seg.mask) for name, segs in found.items() for i, seg in enumerate(segs)}
    tools.blobs.put(_masks_name(job.id), pack(members), "application/zip")
    tools.forget(_masks_name(job.id))
    name = keys.segments(job.id)
    tools.blobs.put(name, compact(document), "application/json")
    return StepResult(output=name)


def _segments(tools: Tools, job: Job, source: Source) -> list[Seg]:
    if source.kind == "segs" and not per_frame(tools, source):
        return document_segs(tools, job, source, None)
    detailer = source.detailer
    union: Mask | None = None
    for number in range(-(-job.frames // SCAN_FRAMES)):
        part = decode_npy(unpack(tools.blobs.get(keys.scan(job.id, number)))[f"{source.name}.npy"])
        union = union_mask(part[None], union)
    assert union is not None  # a job has at least one frame
    if not per_frame(tools, source):
        return animatediff_segs(
            union,
            False,
            detailer.crop_factor,
            detailer.bbox_fill,
            detailer.drop_size,
            source.name,
            contour_fill=detailer.contour_fill,
        )
    found = mask_to_segs(union, False, detailer.crop_factor, detailer.bbox_fill, detailer.drop_size, source.name)
    of_its_frame = np.zeros((0, 0), dtype=np.float32)
    return [Seg(seg.bbox, seg.crop_region, of_its_frame, seg.label, seg.confidence) for seg in found]


def _read(entry: dict[str, Any], mask: Mask) -> Seg:
    return Seg(tuple(entry["bbox"]), Box(*entry["crop_region"]), mask, entry["label"], entry["confidence"])


def _masks_name(job: str) -> str:
    return keys.job(job, "segments.zip")
