"""A node on a small clip: the farm's own plan, the real engine with a small model, the patches pasted in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from diffusers.models.autoencoders.vae import Decoder
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from farm.detail.blend import Patch, Pixels, compose, cut, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.clip_segs import animatediff_segs
from farm.detail.enhance import CropInput, noise_mask
from farm.detail.segs import Seg
from farm.detail.spans import Chunk
from farm.domain.detailer import Detailer, JobType
from farm.domain.plan import Crop, PatchRef, PlannedFrame
from farm.domain.planning import Planned, plan_chunk
from tests.jobs import job, source
from tests.unit.gpu.families import Tiny
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine
from workers.steps.masks import mask_segs

SIDE = 48
"""Pixels of a frame's side."""
FACTOR = 8
"""Pixels per latent pixel and side."""
U8 = NDArray[np.uint8]
Mask = NDArray[np.float32]
QUICK: dict[str, object] = {
    "steps": 2,
    "cfg": 1,
    "guide_size": 64,
    "guide_size_for": False,
    "max_size": 64,
    "crop_factor": 2,
    "noise_mask_feather": 0,
    "prompt": "a sharp fox",
}
"""So small a job as there can be: its crops are sampled at 64 x 64 px, 8 x 8 in latents."""


def small_model(folder: Path, in_channels: int = 4) -> Path:
    """Stable Diffusion 1.x with random weights, and a VAE of the usual factor."""
    made = Tiny("sd1", in_channels)
    vae: Any = AutoencoderKL
    made.vae = vae(
        block_out_channels=[8] * 4,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=4,
    )
    return made.folder(folder)


def picture(frame: int = 0) -> U8:
    """Grain that no frame shares with another."""
    return np.random.default_rng(frame).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def marked(*boxes: tuple[int, int, int, int]) -> Mask:
    """A mask with these rectangles white."""
    mask = np.zeros((SIDE, SIDE), dtype=np.float32)
    for box in boxes:
        mask[Box(*box).slices] = 1
    return mask


MIDDLE = (18, 18, 30, 30)
"""A rectangle whose crop, at twice its size, is 12 to 36 in both directions."""


@dataclass(frozen=True)
class Call:
    """A call of a UNet."""

    unet: int
    """Which one: 0 for the first that was called."""
    timestep: int
    x: Tensor
    """What it was given."""
    text: Tensor


@dataclass
class Painted:
    """What a node made."""

    frames: list[U8]
    """All frames, variation by variation."""
    planned: Planned
    calls: list[Call] = field(default_factory=list)
    decoded: list[Tensor] = field(default_factory=list)
    """What the VAE was given to decode, task by task: one value per latent pixel and channel, of it alone."""

    @property
    def frame(self) -> U8:
        """The first frame."""
        return self.frames[0]

    @property
    def crops(self) -> list[Crop]:
        """All that were planned, in order."""
        return [crop for task in self.planned.plan.tasks for crop in task.crops]

    @property
    def timesteps(self) -> list[int]:
        """Of all calls."""
        return [call.timestep for call in self.calls]


def planned(
    node: JobType, mask: Mask | Sequence[Mask], *, frames: int = 1, batch_size: int = 1, **parameters: object
) -> Planned:
    """The plan for one mask for all frames, or one for each."""
    asked = job((source("thing", node, **{**QUICK, **parameters}),), node, frames, (SIDE, SIDE), batch_size=batch_size)
    masks = [mask] * frames if isinstance(mask, np.ndarray) else list(mask)
    rows = [PlannedFrame(position=n, number=n + 1, name=f"{n}.png", digest=f"frame {n}") for n in range(frames)]
    part = asked.sources[0]
    if node is JobType.MASK:
        found: dict[int, Sequence[Seg]] = {n: mask_segs(part, one) for n, one in enumerate(masks)}
    else:
        detailer = part.detailer
        given = masks[0] if isinstance(mask, np.ndarray) else np.stack(masks)
        fills = detailer.bbox_fill, detailer.drop_size
        segs = animatediff_segs(given, False, detailer.crop_factor, *fills, contour_fill=detailer.contour_fill)
        found = {n: [_of_frame(seg, n, frames) for seg in segs] for n in range(frames)}
    return plan_chunk(asked, Chunk(0, 0, frames, 0, frames), rows, {"thing": found})


def _of_frame(seg: Seg, frame: int, frames: int) -> Seg:
    return Seg(seg.bbox, seg.crop_region, seg.frame_mask(frame, frames), seg.label)


class NodeAtWork:
    """Runs plans with a model."""

    def __init__(self, engine: DiffusersEngine, model: Path, refiner: Path | None = None) -> None:
        self._engine = engine
        self._model = model
        self._refiner = refiner

    def paint(
        self,
        node: JobType,
        mask: Mask | Sequence[Mask],
        *,
        frames: int = 1,
        batch_size: int = 1,
        still: bool = False,
        over: dict[str, Any] | None = None,
        **parameters: object,
    ) -> Painted:
        """The clip, detailed.

        Args:
            still: all frames show the same picture.
            over: what else the engine is told: fields of Batch.
        """
        plan = planned(node, mask, frames=frames, batch_size=batch_size, **parameters)
        result = Painted([], plan)
        clip = [from_bytes(picture(0 if still else n)) for n in range(frames)]
        detailer = source("thing", node, **{**QUICK, **parameters}).detailer
        patches: dict[PatchRef, Patch] = {}
        with _watched(result):
            for task in plan.plan.tasks:
                below = [[patches[ref] for ref in crop.under] for crop in task.crops]
                crops = tuple(
                    _input(crop, compose(clip[crop.frame], under), plan, detailer, node)
                    for crop, under in zip(task.crops, below, strict=True)
                )
                given = Batch(node, detailer, crops, self._model, self._refiner, frames, **(over or {}))
                for number, made in enumerate(self._engine.detail(given, lambda step, steps: None)):
                    crop = task.crops[number]
                    pasted = feather(plan.masks[crop.mask], detailer.feather)
                    patches[PatchRef(task=task.id, crop=number)] = Patch(from_bytes(made), pasted, Box(*crop.region))
        result.frames = [
            to_bytes(compose(clip[n], [patches[ref] for ref in plan.plan.paste[n][variation]]))
            for variation in range(batch_size)
            for n in range(frames)
        ]
        return result


def _input(crop: Crop, frame: Pixels, plan: Planned, detailer: Detailer, node: JobType) -> CropInput:
    return CropInput(
        cut(frame, Box(*crop.region)),
        noise_mask(
            plan.masks[crop.mask], detailer.noise_mask_feather, detailer.mask_mode or node is JobType.ANIMATEDIFF
        ),
        crop.size,
        crop.seed,
        crop.frame,
        crop.prompt,
    )


@contextmanager
def _watched(result: Painted) -> Iterator[None]:
    """Note what UNets and decoders are given."""
    unets: list[nn.Module] = []

    def note(module: nn.Module, given: Any) -> None:  # noqa: ANN401 - a module's positional arguments
        if isinstance(module, UNet2DConditionModel | UNetMotionModel):
            if module not in unets:
                unets.append(module)
            x, timestep, text = given
            result.calls.append(Call(unets.index(module), int(timestep), x.clone(), text.clone()))
        elif isinstance(module, Decoder):
            result.decoded.append(given[0].clone())

    handle = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()
