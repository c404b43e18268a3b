"""Plan: a chunk's frames and segments become detail tasks. What has a completion record is added as done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from farm.adapters.packs import decode_npy, encode_npy, pack, unpack
from farm.adapters.pictures import decode, encode_png
from farm.detail.segs import Seg
from farm.detail.spans import Chunk, stop_before
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.job import Job, Source
from farm.domain.plan import DetailTask, Plan, PlannedFrame
from farm.domain.planning import plan_chunk
from farm.ports import Blobs, NewTask
from farm.service.skeleton import chunk_of
from workers.context import StepResult, Task, Tools
from workers.steps.ingest import IngestedFrame, frame_digest, ingested
from workers.steps.masks import Mask, clip_masks, document_segs, frame_masks, looked_at, mask_segs, per_frame
from workers.steps.scan import clip_segments
from workers.steps.tracks import ClipSegment, frame_rows


def plan(task: Task, tools: Tools) -> StepResult:
    """Write `plans/<n>.json` and `masks/<n>.zip`; add the chunk's detail tasks.

    Raises:
        BadFrame: a frame of the chunk's core, or its mask, cannot be read.
    """
    job = task.job
    chunk = chunk_of(job, task.chunk)
    frames = ingested(tools, tools.media(job.input.id), "frame", chunk.run_start, chunk.run_end - 1)
    chunk = stop_before(chunk, [position for position, frame in frames.items() if "error" in frame])
    planned_frames = [_frame(frames[position]) for position in range(chunk.run_start, chunk.run_end)]
    found = find_segs(tools, job, chunk, planned_frames)
    before = tools.plan(job.id, task.chunk - 1).last if job.sequential and task.chunk else None
    positions = [frame.position for frame in planned_frames]
    looked = {source.name: looked_at(tools, job, source, positions) for source in job.sources if source.looks_at}
    planned = plan_chunk(job, chunk, planned_frames, found, before, looked)
    if planned.masks:
        name = keys.masks(job.id, task.chunk)
        tools.blobs.put(name, _pack_masks(planned.masks), "application/zip")
        tools.forget(name)
    name = keys.plan(job.id, task.chunk)
    tools.blobs.put(name, planned.plan.model_dump_json().encode(), "application/json")
    tools.forget(name)
    return StepResult(output=name, tasks=tuple(_new_task(job, task.chunk, d, tools.blobs) for d in planned.plan.tasks))


def find_segs(
    tools: Tools, job: Job, chunk: Chunk, frames: Sequence[PlannedFrame]
) -> dict[str, dict[int, Sequence[Seg]]]:
    """The segments of a chunk's frames, by source and position."""
    if job.type is JobType.ANIMATEDIFF:
        clip = clip_segments(tools, job)
        return {source.name: _moving(tools, job, source, clip[source.name], frames) for source in job.sources}
    return {source.name: _still(tools, job, source, chunk, frames) for source in job.sources}


def load_masks(tools: Tools, plan: Plan) -> list[Mask]:
    """The masks of a plan's segments, by index."""
    if not plan.masks:
        return []
    members = tools.object(plan.masks, unpack)
    return [_unpack_mask(name, data) for name, data in members.items()]


def done_output(blobs: Blobs, key: str) -> str:
    """Output of the first completion record of a key, or nothing."""
    record = next(iter(blobs.list(keys.done_prefix(key))), None)
    if record is None:
        return ""
    digest = record.removeprefix(keys.done_prefix(key)).removesuffix(".json")
    return keys.patches(key, digest)


def _still(
    tools: Tools, job: Job, source: Source, chunk: Chunk, frames: Sequence[PlannedFrame]
) -> dict[int, Sequence[Seg]]:
    if source.kind == "segs":
        found = {frame.position: document_segs(tools, job, source, frame.number) for frame in frames}
        return {position: [_of_frame(seg, job, position) for seg in segs] for position, segs in found.items()}
    masks = frame_masks(tools, job, source, range(chunk.run_start, chunk.run_end))
    made: dict[int, Sequence[Seg]] = {}
    for mask in masks.values():
        if id(mask) not in made:
            made[id(mask)] = mask_segs(source, mask)
    return {position: made[id(mask)] for position, mask in masks.items()}


def _moving(
    tools: Tools, job: Job, source: Source, segments: Sequence[ClipSegment], frames: Sequence[PlannedFrame]
) -> dict[int, Sequence[Seg]]:
    positions = [frame.position for frame in frames]
    if not per_frame(tools, source):
        rows = [frame_rows(one.seg, job) for one in segments]
        return {
            p: [one.at(p - job.start, row[(p - job.start) % len(row)]) for one, row in zip(segments, rows, strict=True)]
            for p in positions
        }
    masks: Mapping[int, Mask] = clip_masks(tools, job, source, positions)
    return {p: [one.at(p - job.start, one.own(masks[p])) for one in segments] for p in positions}


def _of_frame(seg: Seg, job: Job, position: int) -> Seg:
    """The segment with the mask that it has in one frame."""
    rows = frame_rows(seg, job)
    return _with_mask(seg, rows[(position - job.start) % len(rows)])


def _with_mask(seg: Seg, mask: Mask) -> Seg:
    return Seg(seg.bbox, seg.crop_region, np.array(mask, dtype=np.float32), seg.label, seg.confidence)


def _frame(frame: IngestedFrame) -> PlannedFrame:
    return PlannedFrame(
        position=frame["position"], number=frame["number"], name=frame["name"], digest=frame_digest(frame, "")
    )


def _new_task(job: Job, chunk: int, detail: DetailTask, blobs: Blobs) -> NewTask:
    return NewTask(
        id=detail.id,
        kind="detail",
        queue=job.gpu_queue,
        chunk=chunk,
        layer=f"detail:{detail.source}",
        key=detail.key,
        waits=detail.waits,
        feeds=(f"patched.{chunk}",),
        output=done_output(blobs, detail.key),
    )


def _pack_masks(masks: Sequence[Mask]) -> bytes:
    """A PNG where 8 bits hold the mask exactly, so that people can look at it; else the floats."""
    members = {}
    for number, mask in enumerate(masks):
        levels = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
        exact = np.array_equal(levels.astype(np.float32) / np.float32(255), mask)
        members[f"{number:06d}.{'png' if exact else 'npy'}"] = encode_png(levels) if exact else encode_npy(mask)
    return pack(members)


def _unpack_mask(name: str, data: bytes) -> Mask:
    if name.endswith(".npy"):
        mask: Mask = decode_npy(data)
        return mask
    return decode(data)[..., 0].astype(np.float32) / np.float32(255)
