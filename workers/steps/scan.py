"""Scan: what the masks of a whole clip mark, part by part, then merged into the clip's segments (`animatediff`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from farm.adapters.packs import decode_npy, encode_npy, pack, unpack
from farm.detail.clip_segs import animatediff_segs, union_mask
from farm.detail.follow import Ints, marked_areas
from farm.detail.segs import mask_to_segs
from farm.domain import keys
from farm.domain.job import Job, Source
from farm.domain.keys import SCAN_FRAMES
from farm.service.advance import media_of
from farm.service.documents import compact
from farm.service.skeleton import SCANS_AHEAD, SEGMENTS, scan_tasks
from workers.context import StepResult, Task, Tools
from workers.steps.identities import identity_segments, told_apart
from workers.steps.masks import Mask, clip_masks, document_segs, per_frame
from workers.steps.tracks import NO_MASK, ClipSegment, of_document, packed, unpacked, with_ways

BATCH = 16
"""Masks in memory at once."""


def scan(task: Task, tools: Tools) -> StepResult:
    """`scan.<k>`: the union of the masks of 512 frames, and the areas in each where crops follow them, and a later scan
    is added; `segments.0`: the segments of them all."""
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
        if _by_frame(tools, task.job, source):
            union, areas = _union(task, tools, source, positions)
            members[f"{source.name}.npy"] = encode_npy(union)
            if areas:
                members |= _pack_areas(source.name, areas)
    tools.blobs.put(name, pack(members), "application/zip")


def _by_frame(tools: Tools, job: Job, source: Source) -> bool:
    """Whether what a source marks in each frame is put together here."""
    if told_apart(tools, job, source):
        return False
    return source.kind == "mask" or per_frame(tools, job, source)


def clip_segments(tools: Tools, job: Job) -> dict[str, list[ClipSegment]]:
    """The clip's segments by source, as the scan found them, without the masks of a SEGS document."""
    document = tools.json(keys.segments(job.id))
    members = tools.object(_masks_name(job.id), unpack)
    return {source: unpacked(source, entries, members) for source, entries in document["sources"].items()}


def _union(task: Task, tools: Tools, source: Source, positions: range) -> tuple[Mask, list[Ints]]:
    """The union of the masks, and what is marked in each, if somebody asks."""
    union: Mask | None = None
    follows = source.detailer.follow and per_frame(tools, task.job, source)
    areas: list[Ints] = []
    for start in range(positions.start, positions.stop, BATCH):
        batch = range(start, min(positions.stop, start + BATCH))
        masks = clip_masks(tools, task.job, source, batch)
        union = union_mask(np.stack(list({id(m): m for m in masks.values()}.values())), union)
        areas += [marked_areas(masks[position]) for position in batch] if follows else []
        task.progress(batch.stop - positions.start, len(positions))
    assert union is not None  # a scan has at least one frame
    return union, areas


def _merge(task: Task, tools: Tools) -> StepResult:
    job = task.job
    sources, members = {}, dict[str, bytes]()
    for source in job.sources:
        sources[source.name], arrays = packed(source.name, _segments(tools, job, source))
        members |= arrays
    tools.blobs.put(_masks_name(job.id), pack(members), "application/zip")
    tools.forget(_masks_name(job.id))
    name = keys.segments(job.id)
    tools.blobs.put(name, compact({"sources": sources}), "application/json")
    return StepResult(output=name)


def _segments(tools: Tools, job: Job, source: Source) -> list[ClipSegment]:
    if told_apart(tools, job, source):
        return identity_segments(tools, job, source)
    if source.kind != "mask" and not per_frame(tools, job, source):
        # A mask for each frame stays in the document, and is read for its frame.
        one = None if source.detailer.follow else job.start
        entries = [of_document(seg, job, source) for seg in document_segs(tools, job, source, None, one)]
        return [replace(entry, seg=replace(entry.seg, mask=NO_MASK)) for entry in entries]
    detailer = source.detailer
    follows = detailer.follow and per_frame(tools, job, source)
    union: Mask | None = None
    parts = []
    for number in range(-(-job.frames // SCAN_FRAMES)):
        members = unpack(tools.blobs.get(keys.scan(job.id, number)))
        union = union_mask(decode_npy(members[f"{source.name}.npy"])[None], union)
        if follows:
            parts.append(_unpack_areas(source.name, members))
    assert union is not None  # a job has at least one frame
    if not per_frame(tools, job, source):
        found = animatediff_segs(
            union,
            False,
            detailer.crop_factor,
            detailer.bbox_fill,
            detailer.drop_size,
            source.name,
            contour_fill=detailer.contour_fill,
        )
        return [ClipSegment(seg) for seg in found]
    found = mask_to_segs(union, False, detailer.crop_factor, False, detailer.drop_size, source.name)
    if follows:
        return with_ways(found, parts, (job.input.width, job.input.height), source)
    return [ClipSegment(replace(seg, mask=NO_MASK)) for seg in found]


def _pack_areas(source: str, areas: Sequence[Ints]) -> dict[str, bytes]:
    """Of each frame, one after the other, and how many each has."""
    counts = np.array([len(found) for found in areas], dtype=np.int32)
    return {f"{source}.areas.npy": encode_npy(np.concatenate(areas)), f"{source}.counts.npy": encode_npy(counts)}


def _unpack_areas(source: str, members: dict[str, bytes]) -> list[Ints]:
    ends = np.cumsum(decode_npy(members[f"{source}.counts.npy"]))
    return np.split(decode_npy(members[f"{source}.areas.npy"]), ends[:-1])


def _masks_name(job: str) -> str:
    return keys.job(job, "segments.zip")
