"""The plan of a chunk: crops into batches, batches into an order. Pure: the same inputs give the same plan anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farm.detail.blend import feather
from farm.detail.depends import NOTHING, writes
from farm.detail.resample import Mask
from farm.detail.sizes import SizeRule, sampling_size
from farm.detail.spans import Chunk
from farm.domain import keys
from farm.domain.batches import (
    Needs,
    Rows,
    Spot,
    all_earlier,
    frame_batches,
    needs,
    one_by_one,
    segment_batches,
)
from farm.domain.detailer import Detailer, JobType
from farm.domain.job import Job, Source
from farm.domain.keyframes import Setting, setting_at
from farm.domain.mask_table import MaskTable
from farm.domain.plan import After, Crop, DetailTask, PatchRef, Plan, PlannedFrame, read_tasks
from farm.domain.ranges import LayerSpan, layers, piece_at
from farm.domain.sight import FoundSegs, Looked, Sight, filtered
from farm.domain.task_keys import detail_key
from farm.domain.wildcards import Assigned, assign


@dataclass(frozen=True)
class Planned:
    """A plan and the masks that it names, by index."""

    plan: Plan
    masks: tuple[Mask, ...]


def plan_chunk(
    job: Job,
    chunk: Chunk,
    frames: Sequence[PlannedFrame],
    found: FoundSegs,
    before: After | None = None,
    looked: Looked | None = None,
    over: Sequence[Sight] = (),
) -> Planned:
    """Plan the frames of a chunk's run.

    Args:
        frames: those of the run, in order; those outside the core only in `animatediff` jobs.
        found: the segments of the undermost layer, at the frames' scale.
        before: in jobs that run in sequence, the last task of the chunks before this one.
        looked: what sources look at besides, in the undermost layer.
        over: the other layers (`ranges.layers`), each with what is seen in its frames.
    """
    return _Planner(job, chunk, frames, before).plan([Sight(found, looked or {}), *over])


class _Planner:
    def __init__(self, job: Job, chunk: Chunk, frames: Sequence[PlannedFrame], before: After | None) -> None:
        self.job = job
        self.chunk = chunk
        self.frames = frames
        self.digest = {frame.position: frame.digest for frame in frames}
        self.numbers = {frame.position: frame.number for frame in frames}
        self.masks = MaskTable()
        self.warnings: dict[str, None] = {}
        self.tasks: list[DetailTask] = []
        self.made: dict[tuple[int, int, int, int], PatchRef] = {}
        """(variation, source order, index, frame) -> the patch that covers it."""
        self.keys: dict[str, str] = {}
        self.last = before if job.sequential else None
        self.pictures: dict[tuple[int, str, int], tuple[str, ...]] = {}
        """(piece, source, frame) -> digests of what the source looks at there."""
        self.marks: dict[tuple[int, int, int], str] = {}
        """(source order, index, frame) -> what the crop would have for a key if it were sampled alone."""

    def plan(self, sights: Sequence[Sight]) -> Planned:
        base, *over = layers(self.job, self.chunk)
        spots = self._rows(base, sights[0])
        needed = all_earlier(spots) if self.job.sequential else needs(spots)
        for variation in range(self.job.batch_size):
            for group in self._batches(spots, needed):
                self._add(group, needed, variation)
        covered = {frame: spots[frame] for layer in over for frame in range(layer.start, layer.end)}
        self.marks = self._marked(covered, needed)
        for layer, sight in zip(over, sights[1:], strict=True):
            spots |= self._lay_over(layer, sight)
        paste = {
            position: tuple(
                tuple(self.made[v, *s.at] for s in spots[position] if s.written is not NOTHING)
                for v in range(self.job.batch_size)
            )
            for position in range(self.chunk.core_start, self.chunk.core_end)
            if position in spots
        }
        plan = Plan(
            job=self.job.id,
            chunk=self.chunk.index,
            core=(self.chunk.core_start, self.chunk.core_end),
            frames=tuple(self.frames),
            masks=keys.masks(self.job.id, self.masks.digest) if self.masks.kept else "",
            # What is laid over hides tasks; in other plans also neighbors may read what is not pasted here.
            tasks=read_tasks(self.tasks, paste) if over else tuple(self.tasks),
            paste=paste,
            warnings=tuple(self.warnings),
            last=self.last,
        )
        return Planned(plan, tuple(self.masks.kept))

    def _rows(self, layer: LayerSpan, sight: Sight) -> dict[int, list[Spot]]:
        """The spots of a layer's frames."""
        positions = [f.position for f in self.frames if layer.start <= f.position < layer.end]
        return {position: self._spots(position, layer, sight) for position in positions}

    def _lay_over(self, layer: LayerSpan, sight: Sight) -> dict[int, list[Spot]]:
        """Plan anew what an override touches in its frames: crops with other parameters, and those that read them."""
        spots = self._rows(layer, sight)
        needed = needs(spots)
        marks = self._marked(spots, needed)
        touched = {at for at, mark in marks.items() if self.marks.get(at) != mark}
        for variation in range(self.job.batch_size):
            wanted = frame_batches(spots, needed, self._size, self.job.batch_limit, lambda spot: spot.at in touched)
            for group in wanted:
                self._add(group, needed, variation)
        self.marks |= marks
        return spots

    def _marked(self, rows: Rows, needed: Needs) -> dict[tuple[int, int, int], str]:
        """What each crop would have for a key if it were sampled alone, and so were those below it."""
        marks: dict[tuple[int, int, int], str] = {}
        for row in rows.values():
            for spot in (spot for spot in row if spot.written is not NOTHING):
                below = [
                    [
                        (marks[n.at], 0, self.masks.digests[n.mask], n.source.detailer.feather)
                        for n in needed[spot.at]
                        if n.written is not NOTHING
                    ]
                ]
                crops = [self._crop(spot, 0, ())]
                marks[spot.at] = detail_key(self.job, spot.source, crops, below, self.digest, self.masks.digests)
        return marks

    def _spots(self, frame: int, layer: LayerSpan, sight: Sight) -> list[Spot]:
        spots = []
        moving = self.job.type is JobType.ANIMATEDIFF
        for order, own in enumerate(self.job.sources):
            piece = piece_at(self.job, own.name, self.chunk.core_start if moving else frame, layer.override)
            here = self.job.source(own.name, piece)
            self.pictures[piece, own.name, frame] = tuple(sight.looked.get(own.name, {}).get(frame, ()))
            setting = setting_at(here.detailer.keyframes, self._number(frame))
            source = here.with_values(setting.values)
            toward = self._toward(source, setting, frame, sight.found)
            for place, given in enumerate(self._given(source, frame, sight.found)):
                index = place if given.seg.number is None else given.seg.number
                seg = given.seg.moved or given.seg
                mask = np.asarray(seg.mask, dtype=np.float32)
                shown = mask.any() and not given.skipped
                written = writes(feather(mask, source.detailer.feather), seg.crop_region) if shown else NOTHING
                kept = self.masks.add(mask)
                texts = (given.prompt, given.seed, setting, toward[place] if setting.share else ())
                spots.append(Spot(source, order, index, frame, seg, kept, written, *texts, piece))
        return spots

    def _number(self, frame: int) -> int:
        """The number by which a frame's parameters are looked up: its own or, where frames are sampled together, that
        of the middle of the core."""
        if self.job.type is JobType.ANIMATEDIFF:
            middle = (self.chunk.core_start + self.chunk.core_end) // 2
            frame = min(self.numbers, key=lambda position: abs(position - middle))
        return self.numbers[frame]

    def _toward(self, source: Source, setting: Setting, frame: int, found: FoundSegs) -> list[tuple[str, ...]]:
        """The texts that those of a frame's segments fade into; none where they do not."""
        if not setting.share:
            return []
        other = source.with_values((("prompt", setting.toward),))
        return [given.prompt or (setting.toward,) for given in self._given(other, frame, found)]

    def _given(self, source: Source, frame: int, found: FoundSegs) -> list[Assigned]:
        """A frame's segments as they are left by filters and ordered by the wildcard text, each with its own text."""
        detailer = source.detailer
        segs = filtered(found[source.name].get(frame, ()), detailer.hooks)
        moving = self.job.type is JobType.ANIMATEDIFF
        seed = detailer.seed + (frame if detailer.seed_mode == "per_frame" and not moving else 0)
        # Of a clip's segment a single frame says nothing: it may be marked in the next chunk.
        takes_text = (lambda _: True) if moving else (lambda seg: bool(np.any(seg.mask)))
        return assign(segs, detailer.wildcard, detailer.prompt, seed, takes_text)

    def _batches(self, spots: Rows, needed: Needs) -> list[list[Spot]]:
        if self.job.type is JobType.ANIMATEDIFF:
            return segment_batches(spots)
        if self.job.sequential:
            return one_by_one(spots)
        return frame_batches(spots, needed, self._size, self.job.batch_limit)

    def _size(self, spot: Spot) -> tuple[int, int]:
        rule = size_rule(spot.source.detailer)
        region, bbox = spot.seg.crop_region, spot.seg.bbox_size
        size = sampling_size((region.width, region.height), bbox, rule)
        assert size is not None  # the nodes always repaint: force_inpaint
        for warning in size.warnings:
            self.warnings[f"Segment {spot.source.name!r}: {warning}"] = None
        return size.width, size.height

    def _add(self, group: Sequence[Spot], needed: Needs, variation: int) -> None:
        first = group[0]
        task = f"detail.{self.chunk.index}.{len(self.tasks)}"
        crops, below = [], []
        for spot in group:
            under = [n for n in needed[spot.at] if n.written is not NOTHING]
            refs = tuple(self.made[variation, *n.at] for n in under)
            crops.append(self._crop(spot, variation, refs))
            below.append(
                [
                    (self.keys[ref.task], ref.crop, self.masks.digests[n.mask], n.source.detailer.feather)
                    for ref, n in zip(refs, under, strict=True)
                ]
            )
        after = self.last
        key = detail_key(
            self.job, first.source, crops, below, self.digest, self.masks.digests, after.key if after else ""
        )
        waited = {ref.task for crop in crops for ref in crop.under}
        if after is not None and after.chunk == self.chunk.index:
            waited.add(after.task)
        waits = sorted(waited, key=_number)
        self.tasks.append(
            DetailTask(
                id=task,
                key=key,
                source=first.source.name,
                piece=first.piece,
                label=first.seg.label,
                confidence=first.seg.confidence,
                variation=variation,
                waits=tuple(waits),
                after=after,
                values=dict(first.setting.values),
                crops=tuple(crops),
            )
        )
        self.keys[task] = key
        if self.job.sequential:
            self.last = After(chunk=self.chunk.index, task=task, key=key)
        for number, spot in enumerate(group):
            self.made[variation, *spot.at] = PatchRef(task=task, crop=number)

    def _crop(self, spot: Spot, variation: int, under: tuple[PatchRef, ...]) -> Crop:
        detailer = spot.source.detailer
        seed = detailer.seed if spot.seed is None else spot.seed
        if self.job.type is JobType.MASK and spot.seed is None:
            seed += spot.index + (spot.frame if detailer.seed_mode == "per_frame" else 0)
        return Crop(
            frame=spot.frame,
            region=(*spot.seg.crop_region,),
            bbox=(*spot.seg.bbox,),
            size=self._size(spot),
            seed=seed + variation,
            mask=spot.mask,
            segment=spot.index,
            under=under,
            prompt=spot.prompt,
            toward=spot.toward,
            share=spot.setting.share,
            pictures=self.pictures[spot.piece, spot.source.name, spot.frame],
        )


def size_rule(detailer: Detailer) -> SizeRule:
    """The parameters that decide a crop's sampling size."""
    return SizeRule(
        guide_size=detailer.guide_size,
        max_size=detailer.max_size,
        guide_size_for=detailer.guide_size_for,
        max_size_hard=detailer.max_size_hard,
        size_multiple=detailer.size_multiple,
    )


def _number(task: str) -> int:
    return int(task.rsplit(".", 1)[1])
