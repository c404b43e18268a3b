"""Detail: a batch of crops through the engine. Three parts, so that a worker can load and store while the GPU runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farm.adapters.packs import unpack
from farm.adapters.pictures import decode, encode_png
from farm.detail.blend import Patch, compose, cut, feather, from_bytes
from farm.detail.box import Box
from farm.detail.enhance import CropInput, noise_mask
from farm.domain import keys
from farm.domain.chunk_length import pixel_steps
from farm.domain.detailer import JobType
from farm.domain.effective import EATEN, Effective, effective_key, without
from farm.domain.forecast import Sample
from farm.domain.hooks import Preview
from farm.domain.job import Job
from farm.domain.mask_table import mask_digest
from farm.domain.plan import Crop, DetailTask, PatchRef, Plan
from farm.errors import Damaged, Unavailable
from workers.context import StepResult, Task, Tools
from workers.gpu.batch import Batch, LoraFile, Motion
from workers.steps.controls import conditioning_uses, control_members, control_uses, image_prompt_uses, steered
from workers.steps.hooked import Hooked, frame_patch, hooked, kept_by, preview_pictures
from workers.steps.parts import commit, done_output, put_together, renumbered, standing_for
from workers.steps.plan import load_masks

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Loaded:
    """A batch, ready for the engine."""

    detail: DetailTask
    members: tuple[int, ...]
    """Of each crop: its number in the planned task."""
    batch: Batch
    masks: tuple[NDArray[np.float32], ...]
    """Each crop's paste mask."""
    hooked: Hooked
    below: Mapping[str, str]
    """Of the patches that were read, those made under another key than the plan's: its key -> theirs."""


@dataclass(frozen=True)
class Known:
    """A batch that need not be made."""

    output: str


@dataclass(frozen=True)
class Made:
    """What the engine and the hooks have made of a batch."""

    patches: list[U8]
    beside: Mapping[str, bytes]
    """What is stored with the patches, by member of their object."""
    previews: Mapping[str, bytes]
    """Pictures to look at, by name of the object."""


class PatchReader:
    """Patches that tasks of one chunk's plan have committed, each object read once."""

    def __init__(self, tools: Tools, plan: Plan, masks: Sequence[NDArray[np.float32]], job: Job) -> None:
        self._tools = tools
        self.plan = plan
        self.masks = masks
        self._job = job
        self._tasks = {task.id: task for task in plan.tasks}
        self._feathered: dict[tuple[int, int], NDArray[np.float32]] = {}

    def crop(self, ref: PatchRef) -> Crop:
        """What the patch covers."""
        return self._tasks[ref.task].crops[ref.crop]

    def has(self, ref: PatchRef, outputs: Mapping[str, str]) -> bool:
        """Whether there is a patch: it was not eaten. Raises Damaged."""
        return outputs.get(ref.task) != EATEN and member(ref.crop) in self.members(ref, outputs)

    def patch(self, ref: PatchRef, outputs: Mapping[str, str]) -> Patch:
        """What is pasted: the patch with its feathered mask or, where a hook has changed it, the whole frame.

        Raises:
            Damaged: its task has committed nothing yet.
        """
        return frame_patch(self.members(ref, outputs), ref.crop) or self.crop_patch(ref, outputs)

    def crop_patch(self, ref: PatchRef, outputs: Mapping[str, str]) -> Patch:
        """The patch with its feathered mask. Raises Damaged."""
        task = self._tasks[ref.task]
        crop = task.crops[ref.crop]
        pixels = decode(self.members(ref, outputs)[member(ref.crop)])
        mask = self.paste_mask(crop, self._job.source(task.source, task.piece).detailer.feather)
        return Patch(from_bytes(pixels), mask, Box(*crop.region))

    def members(self, ref: PatchRef, outputs: Mapping[str, str]) -> Mapping[str, bytes]:
        """What the patch's task has committed. Raises Damaged."""
        name = outputs.get(ref.task)
        if not name:
            raise Damaged(f"Task {ref.task} has no patches yet; the task that reads them runs again.")
        return self._tools.object(name, unpack)

    def paste_mask(self, crop: Crop, radius: int) -> NDArray[np.float32]:
        """The crop's mask as it is pasted."""
        at = (crop.mask, radius)
        if at not in self._feathered:
            self._feathered[at] = feather(self.masks[crop.mask], radius)
        return self._feathered[at]


def member(crop: int) -> str:
    """Name of a crop's patch in its task's object."""
    return f"{crop:04d}.png"


def load(task: Task, tools: Tools) -> Loaded | Known:
    """Read frames, masks and the patches below; paste those; cut the crops. A task that was split is put together.

    Raises:
        Unavailable: this worker's engine is not the one that the job's keys were made for.
    """
    if tools.engine.name != task.job.engine:
        raise Unavailable(
            f"This worker runs the engine {tools.engine.name!r}; job {task.job.id} was submitted for "
            f"{task.job.engine!r}. Set one FARM_ENGINE for the API and all workers, and run one version of the farm."
        )
    if task.parts:
        return Known(put_together(task, tools))
    tools.models.next_task()
    plan = tools.plan(task.job.id, task.chunk)
    found = without(plan.part(task.id), standing_for(task, tools).positions(task.chunk))
    if not found.task.crops:
        return Known(EATEN)
    masks = load_masks(tools, plan)
    reader = PatchReader(tools, plan, masks, task.job)
    outputs = task.outputs(found.task.waits) if found.task.waits else {}
    detail, below = _keyed(task, tools, found, reader, outputs)
    digests = {frame.position: frame.digest for frame in plan.frames}
    pictures = tools.pictures.read_all(digests[crop.frame] for crop in detail.crops)
    source = task.job.source(detail.source, detail.piece).with_values(detail.values.items())
    detailer = source.detailer
    moving = task.job.type is JobType.ANIMATEDIFF
    inputs, frames = [], []
    for crop in detail.crops:
        under = [reader.patch(ref, outputs) for ref in crop.under if reader.has(ref, outputs)]
        frame = from_bytes(pictures[digests[crop.frame]])
        frame = compose(frame, under) if under else frame
        frames.append(frame)
        inputs.append(
            CropInput(
                pixels=cut(frame, Box(*crop.region)),
                noise_mask=noise_mask(masks[crop.mask], detailer.noise_mask_feather, detailer.mask_mode or moving),
                size=crop.size,
                seed=crop.seed,
                frame=crop.frame,
                prompt=crop.prompt,
                toward=crop.toward,
                share=crop.share,
            )
        )
    batch = Batch(
        job_type=task.job.type,
        detailer=detailer,
        crops=steered(tools, task.job, source, detail, inputs),
        model=tools.model(task.job.model.hash),
        refiner=tools.model(task.job.refiner.hash) if task.job.refiner else None,
        clip_frames=task.job.input.frames,
        controls=control_uses(tools, source),
        image_prompts=image_prompt_uses(tools, source),
        conditionings=conditioning_uses(source),
        vae=tools.model(task.job.vae.hash) if task.job.vae else None,
        loras=tuple(
            LoraFile(tools.model(lora.model.hash), lora.weight, lora.clip_weight, lora.model.name)
            for lora in source.loras
        ),
        embeddings={name: tools.model(ref.hash) for name, ref in source.embeddings.items()},
        motion=_motion(task.job, tools),
    )
    pasted = tuple(reader.paste_mask(crop, detailer.feather) for crop in detail.crops)
    beside = hooked(task, tools, detail, detailer.hooks, frames, pasted)
    prepared = tools.engine.prepare(batch)
    made = keys.made_key(detail.key, prepared.rungs, below)
    known = done_output(tools.blobs, made) if made != found.task.key else ""
    return Known(known) if known else Loaded(detail, found.members, prepared, pasted, beside, below)


def _motion(job: Job, tools: Tools) -> Motion:
    loras = tuple((tools.model(lora.model.hash), lora.strength) for lora in job.motion_loras)
    return Motion(tools.model(job.motion.hash) if job.motion else None, loras)


def _keyed(
    task: Task, tools: Tools, found: Effective, reader: PatchReader, outputs: Mapping[str, str]
) -> tuple[DetailTask, dict[str, str]]:
    """The task under its planned key, and which patches below were made under others than theirs; where something was
    split off or eaten, under a key of what it reads in truth."""
    detail, plan = found.task, reader.plan
    kept = kept_by(task, tools, detail.after)
    after = keys.key_of(kept) if kept else ""
    whole = found.planned and task.id in {planned.id for planned in plan.tasks}
    if (
        whole
        and after == (detail.after.key if detail.after else "")
        and all(reader.has(ref, outputs) for crop in detail.crops for ref in crop.under)
    ):
        read = {plan.task(name).key: keys.key_of(output) for name, output in outputs.items()}
        return detail, {planned: made for planned, made in read.items() if made != planned}
    masks = [mask_digest(mask) for mask in reader.masks]
    key = effective_key(task.job, plan, found, outputs, lambda ref: reader.has(ref, outputs), masks, after)
    return detail.model_copy(update={"key": key}), {}


def work(task: Task, tools: Tools, loaded: Loaded | Known) -> Made | Known:
    """The batch through the engine; progress after every sampler step."""
    if isinstance(loaded, Known):
        return loaded
    hooks = loaded.hooked.open()
    started = time.monotonic()
    patches = tools.engine.detail(replace(loaded.batch, plugins=hooks), task.progress)
    pixels = sum(crop.size[0] * crop.size[1] for crop in loaded.detail.crops)
    tools.speed.note(pixel_steps(loaded.batch.detailer, pixels), time.monotonic() - started)
    beside = loaded.hooked.finish(hooks, loaded.detail, patches) | control_members(loaded.batch)
    return Made(patches, beside, previews(task, tools, loaded, patches))


def previews(task: Task, tools: Tools, loaded: Loaded, patches: Sequence[U8]) -> dict[str, bytes]:
    """The pictures that a `preview` hook asks for."""
    hooks = loaded.batch.detailer.hooks
    if not any(isinstance(hook, Preview) for hook in hooks):
        return {}
    crops = [crop.pixels for crop in loaded.batch.crops]
    drawn = zip(crops, loaded.masks, patches, strict=True)
    return preview_pictures(task.job.id, tools.plan(task.job.id, task.chunk), loaded.detail, hooks, tuple(drawn))


def store(tools: Tools, loaded: Loaded | Known, made: Made | Known, took: Sample | None = None) -> StepResult:
    """The patches as one object, then the record that says they are complete, and what it took to make them.

    What came out otherwise than planned, for want of memory or because of a patch below that did, is kept under a key
    of its own: no other job takes it for what it planned.
    """
    if isinstance(loaded, Known):
        return StepResult(output=loaded.output)
    assert isinstance(made, Made)  # it is what was loaded, if anything was
    for name, picture in made.previews.items():
        tools.blobs.put(name, picture, "image/webp")
    patches = {member(i): encode_png(patch) for i, patch in enumerate(made.patches)}
    members = renumbered({**patches, **made.beside}, loaded.members)
    rungs = loaded.batch.rungs
    key = keys.made_key(loaded.detail.key, rungs, loaded.below)
    more: dict[str, object] = {} if took is None else {"took": took.model_dump()}
    if key != loaded.detail.key:
        more |= {"planned": loaded.detail.key, "rungs": list(rungs), "below": dict(loaded.below)}
    return StepResult(output=commit(tools, key, members, tools.engine.name, more))


def detail(task: Task, tools: Tools) -> StepResult:
    """All three parts, one after the other."""
    loaded = load(task, tools)
    return store(tools, loaded, work(task, tools, loaded))
