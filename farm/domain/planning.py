"""The plan of a chunk: crops into batches, batches into an order. Pure: the same inputs give the same plan anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from farm.detail.blend import feather
from farm.detail.box import Box
from farm.detail.depends import NOTHING, writes
from farm.detail.resample import Mask
from farm.detail.segs import Seg
from farm.detail.sizes import SizeRule, sampling_size
from farm.detail.spans import Chunk
from farm.domain import keys
from farm.domain.batches import Needs, Rows, Spot, frame_batches, needs, segment_batches
from farm.domain.detailer import Detailer, JobType
from farm.domain.job import Job, Source
from farm.domain.plan import Crop, DetailTask, PatchRef, Plan, PlannedFrame

NOISE_BLOCK = 128
"""Absolute frames whose noise is drawn together in `animatediff` jobs."""
NOT_IN_KEY = frozenset(
    {"guide_size", "guide_size_for", "max_size", "max_size_hard", "size_multiple", "seed", "seed_mode", "feather"}
    | {"crop_factor", "drop_size", "bbox_fill", "contour_fill"}
)
"""Parameters that reach a patch only through its region, size, seed or mask, which are in the key themselves."""

FoundSegs = Mapping[str, Mapping[int, Sequence[Seg]]]
"""Source name -> frame position -> its segments. `animatediff`: each frame has all the clip's segments, in one order,
the same region in every frame, its own mask."""


@dataclass(frozen=True)
class Planned:
    """A plan and the masks that it names, by index."""

    plan: Plan
    masks: tuple[Mask, ...]


class _Masks:
    """Masks by content, each kept once."""

    def __init__(self) -> None:
        self.kept: list[Mask] = []
        self.digests: list[str] = []
        self._index: dict[str, int] = {}

    def add(self, mask: Mask) -> int:
        values = np.ascontiguousarray(mask, dtype=np.float32)
        digest = hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest()
        if digest not in self._index:
            self._index[digest] = len(self.kept)
            self.kept.append(values)
            self.digests.append(digest)
        return self._index[digest]


def plan_chunk(job: Job, chunk: Chunk, frames: Sequence[PlannedFrame], found: FoundSegs) -> Planned:
    """Plan the frames of a chunk's run.

    Args:
        frames: those of the run, in order; those outside the core only in `animatediff` jobs.
        found: the segments, at the frames' scale.
    """
    return _Planner(job, chunk, frames).plan(found)


class _Planner:
    def __init__(self, job: Job, chunk: Chunk, frames: Sequence[PlannedFrame]) -> None:
        self.job = job
        self.chunk = chunk
        self.frames = frames
        self.digest = {frame.position: frame.digest for frame in frames}
        self.masks = _Masks()
        self.warnings: dict[str, None] = {}
        self.tasks: list[DetailTask] = []
        self.made: dict[tuple[int, int, int, int], PatchRef] = {}
        """(variation, source order, index, frame) -> the patch that covers it."""
        self.keys: dict[str, str] = {}

    def plan(self, found: FoundSegs) -> Planned:
        spots = {frame.position: self._spots(frame.position, found) for frame in self.frames}
        needed = needs(spots)
        for variation in range(self.job.batch_size):
            for group in self._batches(spots, needed):
                self._add(group, needed, variation)
        paste = {
            position: tuple(
                tuple(self.made[v, *s.at] for s in spots[position] if s.written is not NOTHING)
                for v in range(self.job.batch_size)
            )
            for position in range(self.chunk.core_start, self.chunk.core_end)
        }
        plan = Plan(
            job=self.job.id,
            chunk=self.chunk.index,
            core=(self.chunk.core_start, self.chunk.core_end),
            frames=tuple(self.frames),
            masks=keys.masks(self.job.id, self.chunk.index) if self.masks.kept else "",
            tasks=tuple(self.tasks),
            paste=paste,
            warnings=tuple(self.warnings),
        )
        return Planned(plan, tuple(self.masks.kept))

    def _spots(self, frame: int, found: FoundSegs) -> list[Spot]:
        spots = []
        for order, source in enumerate(self.job.sources):
            for index, seg in enumerate(found[source.name].get(frame, ())):
                mask = np.asarray(seg.mask, dtype=np.float32)
                written = writes(feather(mask, source.detailer.feather), seg.crop_region) if mask.any() else NOTHING
                spots.append(Spot(source, order, index, frame, seg, self.masks.add(mask), written))
        return spots

    def _batches(self, spots: Rows, needed: Needs) -> list[list[Spot]]:
        if self.job.type is JobType.ANIMATEDIFF:
            return segment_batches(spots)
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
        key = self._key(first.source, crops, below)
        waits = sorted({ref.task for crop in crops for ref in crop.under}, key=_number)
        self.tasks.append(
            DetailTask(
                id=task,
                key=key,
                source=first.source.name,
                label=first.seg.label,
                confidence=first.seg.confidence,
                variation=variation,
                waits=tuple(waits),
                crops=tuple(crops),
            )
        )
        self.keys[task] = key
        for number, spot in enumerate(group):
            self.made[variation, *spot.at] = PatchRef(task=task, crop=number)

    def _crop(self, spot: Spot, variation: int, under: tuple[PatchRef, ...]) -> Crop:
        detailer = spot.source.detailer
        seed = detailer.seed + variation
        if self.job.type is JobType.MASK:
            seed += spot.index + (spot.frame if detailer.seed_mode == "per_frame" else 0)
        return Crop(
            frame=spot.frame,
            region=(*spot.seg.crop_region,),
            bbox=(*spot.seg.bbox,),
            size=self._size(spot),
            seed=seed,
            mask=spot.mask,
            segment=spot.index,
            under=under,
        )

    def _key(self, source: Source, crops: Sequence[Crop], below: Sequence[object]) -> str:
        job = self.job
        detailer = source.detailer.model_dump(mode="json", exclude=set(NOT_IN_KEY))
        moving = job.type is JobType.ANIMATEDIFF
        parts = {
            "engine": job.engine,
            "type": job.type.value,
            "model": job.model.hash,
            "refiner": job.refiner.hash if job.refiner else None,
            "detailer": detailer,
            "clip": noise_rows(job.input.frames, crops[-1].frame) if moving else None,
            "crops": [
                {
                    "frame": self.digest[crop.frame],
                    "at": crop.frame if moving else None,
                    "mask": self.masks.digests[crop.mask],
                    "region": crop.region,
                    "size": crop.size,
                    "seed": crop.seed,
                    "under": under,
                }
                for crop, under in zip(crops, below, strict=True)
            ],
        }
        return keys.content_key("detail", parts)


def size_rule(detailer: Detailer) -> SizeRule:
    """The parameters that decide a crop's sampling size."""
    return SizeRule(
        guide_size=detailer.guide_size,
        max_size=detailer.max_size,
        guide_size_for=detailer.guide_size_for,
        max_size_hard=detailer.max_size_hard,
        size_multiple=detailer.size_multiple,
    )


def noise_rows(clip_frames: int, last: int) -> int:
    """Rows of clip-wide noise up to the block of frame `last`: what the clip's length has to do with a patch."""
    return min(clip_frames, (last // NOISE_BLOCK + 1) * NOISE_BLOCK)


def region_of(crop: Crop) -> Box:
    """The crop's region as a box."""
    return Box(*crop.region)


def _number(task: str) -> int:
    return int(task.rsplit(".", 1)[1])
