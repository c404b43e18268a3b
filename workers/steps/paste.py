"""Paste: a chunk's final frames, each its input with its patches laid over it in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import encode_png
from farm.detail.blend import Patch, cut, fade, from_bytes, paste, to_bytes
from farm.detail.spans import Chunk, fade_weights
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.effective import EATEN
from farm.domain.job import Job
from farm.domain.plan import PatchRef, Plan, PlannedFrame
from farm.errors import NotFound
from farm.service.documents import compact
from farm.service.skeleton import chunks
from workers.context import StepResult, Task, Tools
from workers.steps.controls import stored_controls
from workers.steps.detail import PatchReader
from workers.steps.ordered import in_order
from workers.steps.plan import load_masks


@dataclass(frozen=True)
class _Take:
    """One chunk's patches: its own, or a neighbor's over the frames that both have."""

    plan: Plan
    reader: PatchReader
    outputs: Mapping[str, str]
    run: Chunk
    covers: Mapping[tuple[str, int, int, int], PatchRef]
    """(source, segment, variation, frame) -> patch."""

    def find(self, own: _Take, ref: PatchRef) -> PatchRef | None:
        """This chunk's patch of what `ref` covers in `own`, if it was made."""
        task, crop = own.plan.task(ref.task), own.reader.crop(ref)
        found = self.covers.get((task.source, crop.segment, task.variation, crop.frame))
        made = found is not None and self.outputs.get(found.task) and self.reader.has(found, self.outputs)
        return found if made else None


@dataclass(frozen=True)
class _Final:
    """A frame with all its patches."""

    frame: PlannedFrame
    variation: int
    refs: tuple[PatchRef, ...]
    pixels: NDArray[np.uint8]
    """`[H, W, 3]`."""


def paste_chunk(task: Task, tools: Tools) -> StepResult:
    """Write `frames/<name>` for the frames of the core, then `chunks/<n>.json` with their digests."""
    job = task.job
    own = _take(task, tools, task.chunk)
    assert own is not None  # it waited for its own plan
    left, right = _neighbors(task, tools)
    frames = [f for f in own.plan.frames if own.plan.core[0] <= f.position < own.plan.core[1]]
    records = list(in_order(partial(_store, task, tools, own), _finals(task, tools, own, (left, right), frames)))
    document = {
        "chunk": task.chunk,
        "core": own.plan.core,
        "core_frames": len(frames),
        "frames": records,
        "left_out": own.plan.left_out,
        "outputs": dict(own.outputs),
        "keys": {t: keys.key_of(output) for t, output in own.outputs.items() if output != EATEN},
    }
    name = keys.chunk(job.id, task.chunk)
    tools.blobs.put(name, compact(document), "application/json")
    return StepResult(output=name, frames=len(frames))


def _finals(
    task: Task,
    tools: Tools,
    own: _Take,
    neighbors: tuple[_Take | None, _Take | None],
    frames: Sequence[PlannedFrame],
) -> Iterator[_Final]:
    """The final frames of a chunk, one after the other."""
    inputs = in_order(tools.pictures.read, (frame.digest for frame in frames))
    for count, (frame, pixels) in enumerate(zip(frames, inputs, strict=True)):
        base = from_bytes(pixels)
        for variation, refs in enumerate(own.plan.paste.get(frame.position, ())):
            canvas = base
            for order, ref in enumerate(refs):
                if not own.reader.has(ref, own.outputs):
                    continue
                patch = _patch(own, *neighbors, ref)
                _extras(task, tools, own, ref, order, canvas, _of_its_crop(own, ref, patch), frame)
                canvas = paste(canvas, patch)
            task.progress(count, len(frames))
            yield _Final(frame, variation, refs, to_bytes(canvas))


def _store(task: Task, tools: Tools, own: _Take, final: _Final) -> dict[str, object]:
    """Store a final frame; what is told of it."""
    data = encode_png(final.pixels)
    name = keys.final(task.job.id, final.variation, final.frame.name)
    tools.blobs.put(name, data, "image/png")
    return _record(own, final.frame, final.variation, final.refs, name, data)


def _patch(own: _Take, left: _Take | None, right: _Take | None, ref: PatchRef) -> Patch:
    """The patch to paste: faded over to the neighbors' where their runs overlap."""
    frame = own.reader.crop(ref).frame
    sides = [(take, take.find(own, ref)) if take else (None, None) for take in (left, right)]
    runs = [take.run if take and found else None for take, found in sides]
    weights = fade_weights(frame, own.run, runs[0], runs[1])
    takes = [(sides[0][0], sides[0][1], weights[0]), (own, ref, weights[1]), (sides[1][0], sides[1][1], weights[2])]
    used = [(take.reader.patch(r, take.outputs), weight) for take, r, weight in takes if take and r and weight > 0]
    return used[0][0] if len(used) == 1 else fade([patch for patch, _ in used], [weight for _, weight in used])


def _of_its_crop(own: _Take, ref: PatchRef, patch: Patch) -> Patch:
    """The patch without what a hook did to the rest of the frame."""
    return patch if (*patch.box,) == own.reader.crop(ref).region else own.reader.crop_patch(ref, own.outputs)


def _neighbors(task: Task, tools: Tools) -> tuple[_Take | None, _Take | None]:
    if task.job.type is not JobType.ANIMATEDIFF:
        return None, None
    left = _take(task, tools, task.chunk - 1) if task.chunk > 0 else None
    right = _take(task, tools, task.chunk + 1) if task.chunk + 1 < chunks(task.job) else None
    return left, right


def _take(task: Task, tools: Tools, chunk: int) -> _Take | None:
    """A chunk's plan and what was committed for it; None for a neighbor whose plan failed."""
    try:
        plan = tools.plan(task.job.id, chunk)
    except NotFound:
        return None
    outputs = dict(task.outputs([t.id for t in plan.tasks]))
    if len(outputs) < len(plan.tasks) and chunk != task.chunk:
        finished = tools.json_or_none(keys.chunk(task.job.id, chunk)) or {"outputs": {}}
        outputs = {**finished["outputs"], **outputs}
    covers = {
        (t.source, crop.segment, t.variation, crop.frame): PatchRef(task=t.id, crop=i)
        for t in plan.tasks
        for i, crop in enumerate(t.crops)
    }
    positions = [frame.position for frame in plan.frames] or [plan.core[0]]
    run = Chunk(chunk, *plan.core, positions[0], positions[-1] + 1)
    reader = PatchReader(tools, plan, load_masks(tools, plan), task.job)
    return _Take(plan, reader, outputs, run, covers)


def _extras(
    task: Task,
    tools: Tools,
    own: _Take,
    ref: PatchRef,
    order: int,
    canvas: NDArray[np.float32],
    patch: Patch,
    frame: PlannedFrame,
) -> None:
    """The pictures of single segments that the job asks for, named in the order of pasting."""
    source, crop = own.plan.task(ref.task), own.reader.crop(ref)
    variation = f"-b{source.variation}" if source.variation else ""
    stem = f"{PurePosixPath(frame.name).stem}_{order:02d}_{source.source}_{crop.segment}{variation}"
    for folder, pixels in _extra_pictures(task.job, canvas, patch):
        tools.blobs.put(keys.job(task.job.id, f"{folder}/{stem}.png"), encode_png(pixels), "image/png")
    if "cnet" in task.job.outputs:
        for number, data in enumerate(stored_controls(own.reader.members(ref, own.outputs), ref.crop)):
            tools.blobs.put(keys.job(task.job.id, f"cnet/{stem}_{number}.png"), data, "image/png")


def _extra_pictures(job: Job, canvas: NDArray[np.float32], patch: Patch) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    if "cropped" in job.outputs:
        yield "cropped", to_bytes(cut(canvas, patch.box))
    if "cropped_refined" in job.outputs:
        yield "cropped_refined", to_bytes(patch.pixels)
    if "cropped_enhanced_alpha" in job.outputs:
        yield "cropped_enhanced_alpha", to_bytes(np.concatenate([patch.pixels, patch.mask[..., None]], axis=2))


def _record(
    own: _Take, frame: PlannedFrame, variation: int, refs: tuple[PatchRef, ...], name: str, data: bytes
) -> dict[str, object]:
    return {
        "number": frame.number,
        "position": frame.position,
        "name": frame.name,
        "variation": variation,
        "object": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "input": frame.digest,
        "eaten": [
            {"source": own.plan.task(ref.task).source, "segment": own.reader.crop(ref).segment}
            for ref in refs
            if not own.reader.has(ref, own.outputs)
        ],
        "patches": [
            {
                "key": keys.key_of(own.outputs[ref.task]),
                "crop": ref.crop,
                "source": own.plan.task(ref.task).source,
                "segment": own.reader.crop(ref).segment,
                "seed": own.reader.crop(ref).seed,
                "region": own.reader.crop(ref).region,
            }
            for ref in refs
            if own.reader.has(ref, own.outputs)
        ],
    }
