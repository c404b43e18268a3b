"""Random layouts of overlapping segments, the original's loop over them, and the plan's way, in any order it allows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.detail.blend import Patch, compose, cut, feather, from_bytes, paste
from farm.detail.box import Box, make_crop_region
from farm.detail.enhance import CropInput, noise_mask
from farm.detail.segs import Seg
from farm.detail.sizes import sampling_size
from farm.detail.spans import Chunk
from farm.domain.detailer import JobType
from farm.domain.job import Job, Source
from farm.domain.plan import Crop, DetailTask, PatchRef, PlannedFrame
from farm.domain.planning import Planned, plan_chunk, size_rule
from farm.domain.ranges import layers, piece_at
from farm.domain.sight import Sight
from tests.jobs import job, source
from workers.gpu.batch import Batch
from workers.gpu.fake import FakeEngine

WIDTH, HEIGHT = 96, 64
Pixels = NDArray[np.float32]
Found = Mapping[str, Mapping[int, Sequence[Seg]]]


class Layout:
    """One random scene: frames, sources and their segments."""

    def __init__(self, seed: int, job_type: JobType = JobType.MASK) -> None:
        dice = random.Random(seed)
        numbers = np.random.default_rng(seed)
        self.count = dice.choice([1, 2, 3])
        self.frames: list[Pixels] = [
            from_bytes(numbers.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)) for _ in range(self.count)
        ]
        segments = dice.randint(1, 8)
        self.job = job(
            _sources(dice, job_type, segments),
            job_type,
            self.count,
            (WIDTH, HEIGHT),
            batch_limit=dice.choice([1, 2, 16]),
        )
        self.found = _found(dice, self.job, self.count, segments)
        self.chunk = Chunk(0, 0, self.count, 0, self.count)

    def plan(self) -> Planned:
        """The farm's plan for the scene."""
        frames = [
            PlannedFrame(position=i, number=i + 1, name=f"{i}.png", digest=f"frame {i}") for i in range(self.count)
        ]
        over = [Sight(self.found) for _ in layers(self.job, self.chunk)[1:]]
        return plan_chunk(self.job, self.chunk, frames, self.found, over=over)


def original(layout: Layout) -> list[Pixels]:
    """The nodes' own loop: crop by crop, each cut from what the one before left."""
    canvas = list(layout.frames)
    for part in layout.job.sources:
        for index in range(max(len(segs) for segs in layout.found[part.name].values())):
            _original_segment(layout, part, index, canvas)
    return canvas


def in_some_order(layout: Layout, planned: Planned, seed: int) -> list[Pixels]:
    """The plan's tasks in a random order that their waits allow, pasted at the end."""
    dice = random.Random(seed)
    tasks = {task.id: task for task in planned.plan.tasks}
    patches: dict[PatchRef, Pixels] = {}
    done: set[str] = set()
    while len(done) < len(tasks):
        ready = [task for name, task in tasks.items() if name not in done and done.issuperset(task.waits)]
        task = dice.choice(ready)
        for number, made in enumerate(_run(layout, planned, task, patches)):
            patches[PatchRef(task=task.id, crop=number)] = made
        done.add(task.id)
    result = []
    for position, frame in enumerate(layout.frames):
        refs = planned.plan.paste[position][0]
        result.append(compose(frame, [_patch(layout.job, planned, ref, patches) for ref in refs]))
    return result


def waits_for(planned: Planned) -> dict[tuple[str, int, int], set[tuple[str, int, int]]]:
    """(source, segment, frame) -> what its task waits for, as (source, segment, frame) of those tasks' crops."""
    tasks = {task.id: task for task in planned.plan.tasks}
    found = {}
    for task in tasks.values():
        waited = {(tasks[w].source, c.segment, c.frame) for w in task.waits for c in tasks[w].crops}
        found.update({(task.source, crop.segment, crop.frame): waited for crop in task.crops})
    return found


def _original_segment(layout: Layout, part: Source, index: int, canvas: list[Pixels]) -> None:
    moving = layout.job.type is JobType.ANIMATEDIFF
    rows = {f: segs[index] for f, segs in layout.found[part.name].items() if index < len(segs)}
    if moving and not any(seg.mask.any() for seg in rows.values()):
        return
    inputs = {f: _input(layout, part, index, f, seg, canvas) for f, seg in rows.items() if moving or seg.mask.any()}
    batches = [inputs] if moving else [{f: crop} for f, crop in inputs.items()]
    for batch in batches:
        there = _at(layout.job, part, next(iter(batch)))
        for f, pixels in zip(batch, _detail(layout.job, there, list(batch.values())), strict=True):
            mask = feather(rows[f].mask, there.detailer.feather)
            canvas[f] = paste(canvas[f], Patch(pixels, mask, rows[f].crop_region))


def _at(of: Job, part: Source, frame: int) -> Source:
    """The source as it is at a frame, all overrides having acted."""
    return of.source(part.name, piece_at(of, part.name, frame, len(of.ranges)))


def _input(layout: Layout, part: Source, index: int, frame: int, seg: Seg, canvas: list[Pixels]) -> CropInput:
    part = _at(layout.job, part, frame)
    detailer, moving = part.detailer, layout.job.type is JobType.ANIMATEDIFF
    size = sampling_size((seg.crop_region.width, seg.crop_region.height), seg.bbox_size, size_rule(detailer))
    assert size is not None
    return CropInput(
        pixels=cut(canvas[frame], seg.crop_region),
        noise_mask=noise_mask(seg.mask, detailer.noise_mask_feather, detailer.mask_mode or moving),
        size=(size.width, size.height),
        seed=detailer.seed + (0 if moving else index),
        frame=frame,
    )


def _run(layout: Layout, planned: Planned, task: DetailTask, patches: Mapping[PatchRef, Pixels]) -> list[Pixels]:
    part, moving = layout.job.source(task.source, task.piece), layout.job.type is JobType.ANIMATEDIFF
    inputs = []
    for crop in task.crops:
        below = [_patch(layout.job, planned, ref, patches) for ref in crop.under]
        mask = noise_mask(planned.masks[crop.mask], part.detailer.noise_mask_feather, part.detailer.mask_mode or moving)
        pixels = cut(compose(layout.frames[crop.frame], below), Box(*crop.region))
        inputs.append(CropInput(pixels, mask, crop.size, crop.seed, crop.frame))
    return _detail(layout.job, part, inputs)


def _detail(of: Job, part: Source, inputs: list[CropInput]) -> list[Pixels]:
    batch = Batch(of.type, part.detailer, tuple(inputs), Path(), None, of.input.frames)
    return [from_bytes(patch) for patch in FakeEngine().detail(batch, lambda _step, _steps: None)]


def _patch(of: Job, planned: Planned, ref: PatchRef, patches: Mapping[PatchRef, Pixels]) -> Patch:
    task = planned.plan.task(ref.task)
    crop: Crop = task.crops[ref.crop]
    mask = feather(planned.masks[crop.mask], of.source(task.source, task.piece).detailer.feather)
    return Patch(patches[ref], mask, Box(*crop.region))


def _sources(dice: random.Random, job_type: JobType, segments: int) -> tuple[Source, ...]:
    names = [f"s{i}" for i in range(dice.randint(1, min(3, segments)))]
    return tuple(
        source(
            name,
            job_type,
            seed=dice.randrange(1000),
            steps=1,
            feather=dice.choice([0, 1, 5]),
            guide_size=64,
            max_size=dice.choice([64, 128]),
            size_multiple=dice.choice([1, 8]),
            prompt=name,
            mask_mode=dice.random() < 0.8,
        )
        for name in names
    )


def _found(dice: random.Random, of: Job, frames: int, segments: int) -> dict[str, dict[int, list[Seg]]]:
    found: dict[str, dict[int, list[Seg]]] = {s.name: {f: [] for f in range(frames)} for s in of.sources}
    for number in range(segments):
        name = of.sources[number % len(of.sources)].name
        fixed = _seg(dice)
        for frame in range(frames):
            seg = fixed if of.type is JobType.ANIMATEDIFF else _seg(dice)
            empty = dice.random() < 0.1
            mask = np.zeros_like(seg.mask) if empty else seg.mask
            found[name][frame].append(Seg(seg.bbox, seg.crop_region, mask))
    return found


def _seg(dice: random.Random) -> Seg:
    width, height = dice.randint(6, 30), dice.randint(6, 30)
    x, y = dice.randint(0, WIDTH - width), dice.randint(0, HEIGHT - height)
    bbox = (float(x), float(y), float(x + width), float(y + height))
    region = make_crop_region(WIDTH, HEIGHT, bbox, dice.choice([1.0, 1.3, 2.0]))
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    mask[y : y + height, x : x + width] = 1
    if dice.random() < 0.3:
        mask *= np.random.default_rng(dice.randrange(10**6)).random(mask.shape, dtype=np.float32)
    return Seg(bbox, region, mask[region.slices])
