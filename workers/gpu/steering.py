"""What steers a batch besides its prompts and parameters: hooks, ControlNets, further prompts with masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from farm.detail.enhance import sampler_mask
from farm.detail.hooks import Chain, KSample
from farm.detail.resample import Mask, resize_mask
from farm.domain import hooks as specs
from farm.domain.detailer import JobType
from workers.gpu.batch import Batch, ControlUse, ImagePromptUse
from workers.gpu.control import Control, Controls, shown_at, sigma_at
from workers.gpu.controlnets import ControlNets
from workers.gpu.denoiser import Area
from workers.gpu.faults import BadModel
from workers.gpu.guidance import area_of
from workers.gpu.hooks import foretold, open_hooks
from workers.gpu.image_prompts import ImagePrompt, ImagePrompts
from workers.gpu.models import Model
from workers.gpu.noise import Streams, initial_noise
from workers.gpu.sampling import Painter, Sampling, unsample

StreamsOf = Callable[[Sequence[int]], Streams]


@dataclass(frozen=True)
class Steering:
    """All of it, for one batch."""

    hooks: Chain[Tensor] = field(default_factory=Chain)
    controls: Callable[[Tensor], Controls | None] = lambda _: None
    """Given latents of the size that is sampled."""
    areas: Callable[[Tensor], tuple[Area, ...]] = lambda _: ()
    """Likewise."""

    def over(self, painters: Sequence[Painter], latents: Tensor) -> tuple[Painter, ...]:
        """The painters, of which the first, the base model, heeds ControlNets and further prompts."""
        base = replace(painters[0], controls=self.controls(latents), areas=self.areas(latents))
        return (base, *painters[1:])

    def asked(
        self, sampling: Sampling, painters: Sequence[Painter], seeds: Sequence[int]
    ) -> tuple[Sampling, tuple[Painter, ...], KSample]:
        """The cycle's sampling and painters, as hooks want them."""
        asked = self.hooks.pre_ksample(_parameters(sampling, painters[0].guidance.cfg, seeds))
        return _changed(sampling, asked), tuple(painter.with_cfg(asked.cfg) for painter in painters), asked


def steering_of(batch: Batch, model: Model, painter: Painter, streams: StreamsOf, nets: ControlNets) -> Steering:
    """What a batch asks for.

    Args:
        model, painter: the base model.
    Raises:
        BadModel: a ControlNet cannot be used with the model.
    """
    return Steering(_hooks(batch, painter, streams), _controls(batch, model, nets), _areas(batch, model))


def cycles(batch: Batch, sampling: Sampling) -> list[Sampling]:
    """The sampling of each cycle, as far as it can be foretold."""
    detailer = batch.detailer
    asked = foretold(detailer.hooks, _parameters(sampling, detailer.cfg, ()), detailer.cycle)
    return [_changed(sampling, one) for one in asked]


def latent_masks(masks: Sequence[Mask], latents: Tensor) -> Tensor:
    """Masks of any size at that of the latents, `[rows, 1, h, w]`."""
    height, width = latents.shape[-2:]
    scaled = np.stack([resize_mask(mask, width, height) for mask in masks])
    return torch.from_numpy(scaled)[:, None].to(latents.device)


def _parameters(sampling: Sampling, cfg: float, seeds: Sequence[int]) -> KSample:
    names = sampling.sampler_name, sampling.scheduler
    return KSample(tuple(seeds), sampling.steps, cfg, *names, sampling.denoise)


def _changed(sampling: Sampling, asked: KSample) -> Sampling:
    return replace(
        sampling,
        sampler_name=asked.sampler_name,
        scheduler=asked.scheduler,
        steps=asked.steps,
        denoise=asked.denoise,
    )


def _hooks(batch: Batch, painter: Painter, streams: StreamsOf) -> Chain[Tensor]:
    moving = batch.job_type is JobType.ANIMATEDIFF

    def backwards(latents: Tensor, spec: specs.Unsampler, end_at_step: int) -> Tensor:
        if painter.takes_concat:
            raise BadModel("the hook `unsampler` cannot run an inpaint model backwards", "leave the hook out")
        found = [mask for crop in batch.crops if (mask := sampler_mask(crop, moving)) is not None]
        sampling = Sampling(spec.sampler_name, spec.scheduler, spec.steps, 1.0)
        masks = latent_masks(found, latents) if found else None
        return unsample(latents, painter.with_cfg(spec.cfg), sampling, end_at_step, masks)

    def draw(latents: Tensor, seed: int) -> Tensor:
        return initial_noise(streams([seed] * len(latents)), latents.shape[1:]).to(latents.device)

    return open_hooks(batch.detailer.hooks, batch.plugins, backwards, draw)


def _controls(batch: Batch, model: Model, nets: ControlNets) -> Callable[[Tensor], Controls | None]:
    prompts = _image_prompts(batch, model)
    used = [(number, use) for number, use in enumerate(batch.controls) if use.strength > 0]
    loaded = [nets.get(use.model, model.control_shape) for _, use in used]

    def sized(latents: Tensor) -> Controls | None:
        size = latents.shape[-2] * model.codec.factor, latents.shape[-1] * model.codec.factor
        parts = []
        for net, (number, use) in zip(loaded, used, strict=True):
            shown = shown_at([crop.controls[number] for crop in batch.crops], size, latents.device)
            parts.append(Control(net, use.strength, *_span(use, model), shown))
        return Controls(tuple(parts), model.extended, prompts) if parts or prompts else None

    return sized


def _span(use: ControlUse | ImagePromptUse, model: Model) -> tuple[float, float]:
    """Highest and lowest noise level at which it acts."""
    return sigma_at(use.start_percent, model.table), sigma_at(use.end_percent, model.table)


def _image_prompts(batch: Batch, model: Model) -> ImagePrompts | None:
    if model.adapters is None:
        return None
    parts = []
    for number, use in enumerate(batch.image_prompts):
        shown, blank = model.adapters.shown(number, [crop.references[number] for crop in batch.crops])
        parts.append(ImagePrompt(use.weight, *_span(use, model), shown, blank))
    return ImagePrompts(tuple(parts), model.unet, per_clip=model.longest_context is not None)


def _areas(batch: Batch, model: Model) -> Callable[[Tensor], tuple[Area, ...]]:
    def sized(latents: Tensor) -> tuple[Area, ...]:
        found = []
        for number, use in enumerate(batch.conditionings):
            weight = latent_masks([crop.conditionings[number] for crop in batch.crops], latents) * use.strength
            found.append(area_of(model, batch, use, weight))
        return tuple(found)

    return sized
