"""Plan: a chunk's frames and segments become detail tasks. What has a completion record is added as done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from farm.adapters.packs import decode_npy, encode_npy, pack, unpack
from farm.adapters.pictures import decode, encode_png
from farm.detail.segs import Seg
from farm.detail.spans import Chunk, stop_before
from farm.domain import keys
from farm.domain.decisions import Standing
from farm.domain.detailer import JobType
from farm.domain.effective import EATEN
from farm.domain.job import Job, Source
from farm.domain.plan import DetailTask, Plan, PlannedFrame
from farm.domain.planning import plan_chunk
from farm.domain.ranges import LayerSpan, layers, piece_at
from farm.domain.sight import Sight
from farm.ports import Blobs, NewTask
from farm.service.skeleton import chunk_of
from workers.context import StepResult, Task, Tools
from workers.steps.identities import identity_rows, told_apart
from workers.steps.ingest import IngestedFrame, frame_digest, ingested
from workers.steps.masks import Mask, clip_masks, document_segs, frame_masks, looked_at, mask_segs, per_frame, readable
from workers.steps.parts import done_output, part_tasks, standing_for, was_split
from workers.steps.scan import clip_segments
from workers.steps.tracks import ClipSegment, frame_rows


def plan(task: Task, tools: Tools) -> StepResult:
    """Write `plans/<n>.json` and the masks that it names; add the chunk's detail tasks.

    Raises:
        BadFrame: a frame of the chunk's core, or its mask, cannot be read.
    """
    job = task.job
    chunk = chunk_of(job, task.chunk)
    eaten = standing_for(task, tools)
    given_up = eaten.given_up(task.chunk, range(chunk.core_start, chunk.core_end))
    frames, unreadable, left_out = planned_frames(tools, job, chunk, given_up)
    chunk = stop_before(chunk, unreadable)
    sights = [see(tools, job, chunk, layer, frames, given_up) for layer in layers(job, chunk)]
    before = tools.plan(job.id, task.chunk - 1).last if job.sequential and task.chunk else None
    planned = plan_chunk(job, chunk, frames, sights[0].found, before, sights[0].looked, sights[1:])
    made = planned.plan.model_copy(update={"left_out": left_out})
    if made.masks and not tools.keeps(made.masks):
        members = _members(planned.masks)
        data = pack(members)
        tools.blobs.put(made.masks, data, "application/zip")
        tools.keep(made.masks, members, len(data))
    name, data = keys.plan(job.id, task.chunk), made.model_dump_json().encode()
    tools.blobs.put(name, data, "application/json")
    tools.keep(name, made, len(data))
    return StepResult(output=name, tasks=new_tasks(job, made, tools.blobs, eaten))


def planned_frames(
    tools: Tools, job: Job, chunk: Chunk, given_up: Collection[int] = ()
) -> tuple[list[PlannedFrame], list[int], tuple[int, ...]]:
    """The frames of a chunk's run as far as they can be read, the positions where they cannot, and the numbers of those
    that are left out of its core.

    Args:
        given_up: positions in the core where a frame that cannot be read is left out.
    Raises:
        BadFrame: a frame of its core cannot be read.   NotFound: one was not ingested yet.
    """
    frames = ingested(tools, tools.media(job.input.id), "frame", chunk.run_start, chunk.run_end - 1)
    unreadable = [position for position, frame in frames.items() if "error" in frame]
    chunk = stop_before(chunk, unreadable)
    left_out = [position for position in unreadable if position in given_up]
    run = [position for position in range(chunk.run_start, chunk.run_end) if position not in left_out]
    return [_frame(frames[p]) for p in run], unreadable, tuple(frames[p]["number"] for p in left_out)


def see(
    tools: Tools,
    job: Job,
    chunk: Chunk,
    layer: LayerSpan,
    frames: Sequence[PlannedFrame],
    given_up: Collection[int] = (),
) -> Sight:
    """The segments of a layer's frames, by source and position, and what sources look at besides.

    Args:
        given_up: positions that have no segments of a source whose mask, or what it looks at, cannot be read there.
    """
    within = [frame for frame in frames if layer.start <= frame.position < layer.end]
    moving = clip_segments(tools, job) if within and job.type is JobType.ANIMATEDIFF else {}
    found: dict[str, dict[int, Sequence[Seg]]] = {}
    looked: dict[str, dict[int, Sequence[str]]] = {}
    for own in job.sources:
        found[own.name], looked[own.name] = {}, {}
        which = partial(_piece, job, own.name, chunk, layer)
        for piece, group in groupby(within, which):
            source, alike = job.source(own.name, piece), list(group)
            if moving:
                segs = _moving(tools, job, source, moving[own.name], alike)
            else:
                alike = _readable(tools, job, source, alike, given_up)
                segs = _still(tools, job, source, alike)
            found[own.name] |= segs
            looked[own.name] |= looked_at(tools, job, source, [frame.position for frame in alike])
    return Sight(found, looked)


def _piece(job: Job, name: str, chunk: Chunk, layer: LayerSpan, frame: PlannedFrame) -> int:
    position = chunk.core_start if job.type is JobType.ANIMATEDIFF else frame.position
    return piece_at(job, name, position, layer.override)


def _readable(
    tools: Tools, job: Job, source: Source, frames: Sequence[PlannedFrame], given_up: Collection[int]
) -> list[PlannedFrame]:
    """The frames for which all that a source reads can be read, as far as others were given up."""
    doubtful = [frame.position for frame in frames if frame.position in given_up]
    bad = {position for position in doubtful if not readable(tools, job, source, position)}
    return [frame for frame in frames if frame.position not in bad]


def load_masks(tools: Tools, plan: Plan) -> list[Mask]:
    """The masks of a plan's segments, by index."""
    if not plan.masks:
        return []
    members = tools.object(plan.masks, unpack)
    return [_unpack_mask(name, data) for name, data in members.items()]


def _still(tools: Tools, job: Job, source: Source, frames: Sequence[PlannedFrame]) -> dict[int, Sequence[Seg]]:
    if source.kind != "mask":
        found = {f.position: document_segs(tools, job, source, f.number, f.position) for f in frames}
        return {position: [_of_frame(seg, job, position) for seg in segs] for position, segs in found.items()}
    masks = frame_masks(tools, job, source, [frame.position for frame in frames])
    made: dict[int, Sequence[Seg]] = {}
    for mask in masks.values():
        if id(mask) not in made:
            made[id(mask)] = mask_segs(source, mask)
    return {position: made[id(mask)] for position, mask in masks.items()}


def _moving(
    tools: Tools, job: Job, source: Source, segments: Sequence[ClipSegment], frames: Sequence[PlannedFrame]
) -> dict[int, Sequence[Seg]]:
    positions = [frame.position for frame in frames]
    if told_apart(tools, job, source):
        found: dict[int, Sequence[Seg]] = {**identity_rows(tools, job, source, segments, positions)}
        return found
    if not per_frame(tools, job, source):
        drawn = [one.seg for one in segments]
        own = {p: document_segs(tools, job, source, None, p) if source.kind != "mask" else drawn for p in positions}
        return {
            p: [one.at(p - job.start, _row(seg, job, p)) for one, seg in zip(segments, own[p], strict=True)]
            for p in positions
        }
    masks: Mapping[int, Mask] = clip_masks(tools, job, source, positions)
    return {p: [one.at(p - job.start, one.own(masks[p])) for one in segments] for p in positions}


def _of_frame(seg: Seg, job: Job, position: int) -> Seg:
    """The segment with the mask that it has in one frame."""
    return replace(seg, mask=_row(seg, job, position).copy())


def _row(seg: Seg, job: Job, position: int) -> Mask:
    """A segment's mask `[h, w]` in one frame."""
    rows = frame_rows(seg, job)
    row: Mask = rows[(position - job.start) % len(rows)]
    return row


def _frame(frame: IngestedFrame) -> PlannedFrame:
    return PlannedFrame(
        position=frame["position"], number=frame["number"], name=frame["name"], digest=frame_digest(frame, "")
    )


def new_tasks(job: Job, plan: Plan, blobs: Blobs, eaten: Standing) -> tuple[NewTask, ...]:
    """A plan's tasks for the ledger: known ones as done, given up ones as eaten, split ones with their parts.

    What depends on something split or eaten has another key than the planned one, and finds out itself what is known.
    """
    # A crop alone cannot be split: the store need not be asked.
    split = was_split(blobs, job.id, plan.chunk) if any(len(task.crops) > 1 for task in plan.tasks) else set()
    positions = eaten.positions(plan.chunk)
    changed: set[str] = set()
    found: list[NewTask] = []
    for task in plan.tasks:
        new = _new_task(job, plan.chunk, task)
        if task.id in eaten.tasks:
            new = new._replace(output=EATEN)
        elif changed.isdisjoint(task.waits) and positions.isdisjoint(crop.frame for crop in task.crops):
            new = new._replace(output=done_output(blobs, task.key))
        else:
            changed.add(task.id)
        if new.output == EATEN or (task.id in split and not new.output):
            changed.add(task.id)
        if task.id in split and not new.output:
            parts = part_tasks(plan, task, job.gpu_queue, new.layer)
            found += [part._replace(output=EATEN if part.id in eaten.tasks else "") for part in parts]
            new = new._replace(waits=(*new.waits, *(part.id for part in parts)), parts=len(parts))
        found.append(new)
    return tuple(found)


def _new_task(job: Job, chunk: int, detail: DetailTask) -> NewTask:
    return NewTask(
        id=detail.id,
        kind="detail",
        queue=job.gpu_queue,
        chunk=chunk,
        layer=f"detail:{detail.source}",
        key=detail.key,
        waits=detail.waits,
        feeds=(f"patched.{chunk}",),
    )


def _members(masks: Sequence[Mask]) -> dict[str, bytes]:
    """A PNG where 8 bits hold the mask exactly, so that people can look at it; else the floats."""
    members = {}
    for number, mask in enumerate(masks):
        levels = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
        exact = np.array_equal(levels.astype(np.float32) / np.float32(255), mask)
        members[f"{number:06d}.{'png' if exact else 'npy'}"] = encode_png(levels) if exact else encode_npy(mask)
    return members


def _unpack_mask(name: str, data: bytes) -> Mask:
    if name.endswith(".npy"):
        mask: Mask = decode_npy(data)
        return mask
    return decode(data)[..., 0].astype(np.float32) / np.float32(255)
