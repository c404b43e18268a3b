"""The real engine: crops in, patches out, by way of a diffusion model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.adapters.pictures import lanczos
from farm.detail.blend import Pixels, to_bytes
from farm.detail.enhance import enhance
from farm.detail.hooks import Chain
from farm.detail.resample import Mask
from farm.domain.detailer import Detailer, JobType
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.errors import OutOfMemory, Rejected
from workers.gpu.batch import Batch, OnStep
from workers.gpu.controlnets import ControlNets
from workers.gpu.denoiser import Context
from workers.gpu.faults import BadModel, ContextTooLong, NotNumbers
from workers.gpu.guidance import guidance_of
from workers.gpu.models import Model, ModelCache
from workers.gpu.noise import Streams, clip_streams, crop_streams
from workers.gpu.sampling import Painter, Sampling, sample, step_count
from workers.gpu.steering import Steering, cycles, latent_masks, steering_of
from workers.gpu.vae import Codec

ROWS_AT_ONCE = 16
"""Rows that a UNet without motion module is given in one call; twice as many with `cfg` other than 1."""
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class NoSuchDevice(Rejected):
    """The device that was asked for is not there."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"The device {device!r} is not there: torch sees no CUDA GPU. Set FARM_DEVICE=cpu, or install the driver "
            f"and a CUDA build of torch."
        )


@dataclass(frozen=True)
class DiffusionTools:
    """What `farm.detail.enhance` asks of a model, for one batch."""

    codec: Codec
    painters: tuple[Painter, ...]
    """The model and, if there is one, the refiner."""
    sampling: Sampling
    streams: Callable[[Sequence[int]], Streams]
    """Seeds of one cycle, one per crop -> noise."""
    on_step: Callable[[int], None]
    """Told how many steps of the sampling under way are done."""
    steering: Steering = field(default_factory=Steering)
    """Hooks, ControlNets, further prompts."""

    @property
    def factor(self) -> int:
        """Pixels per latent pixel and side."""
        return self.codec.factor

    def encode(self, pixels: Sequence[Pixels]) -> Tensor:
        """Latents, before scaling."""
        return self.codec.encode(pixels)

    def sample(
        self, latents: Tensor, masks: Sequence[Mask] | None, seeds: Sequence[int], concat: Tensor | None
    ) -> Tensor:
        """One cycle."""
        mask = None if masks is None else latent_masks(masks, latents)
        painters = self.painters
        if concat is not None and mask is not None and painters[0].takes_concat:
            painters = (painters[0].with_concat(mask, concat), *painters[1:])
        painters = self.steering.over(painters, latents)
        sampling, painters, asked = self.steering.asked(self.sampling, painters, seeds)
        noise = self.steering.hooks.get_custom_noise(asked, latents)
        streams = self.streams(asked.seeds)
        sampled = sample(latents, painters, sampling, streams, mask, self.on_step, noise)
        if not bool(torch.isfinite(sampled).all()):
            raise NotNumbers("sampling", painters[0].precision)
        return sampled

    def decode(self, latents: Tensor) -> list[Pixels]:
        """Pictures."""
        return self.codec.decode(latents)


class DiffusersEngine:
    """Detail with diffusers' models and ComfyUI's sampling rules."""

    def __init__(self, device: str = "auto", dtype: str = "auto", threads: int = 1) -> None:
        torch.set_num_threads(threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise NoSuchDevice(device)
        on_gpu = torch.cuda.is_available() if device == "auto" else device == "cuda"
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._dtype = DTYPES[("fp16" if on_gpu else "fp32") if dtype == "auto" else dtype]
        self._models = ModelCache(self._device, self._dtype)
        self._controlnets = ControlNets(self._device, self._dtype)

    @property
    def name(self) -> str:
        """Name and version."""
        return ENGINE_VERSIONS["diffusers"]

    @property
    def device(self) -> str:
        """`cpu`, or the GPU's name."""
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """See `workers.gpu.engine.Engine`."""
        animatediff = batch.job_type is JobType.ANIMATEDIFF
        detailer = batch.detailer
        try:
            with torch.inference_mode():
                tools = self._tools(batch, on_step)
                inpaint, hooks = detailer.inpaint_model, tools.steering.hooks
                patches = enhance(batch.crops, tools, lanczos, detailer.cycle, animatediff, inpaint, hooks)
        except OutOfMemory:
            # What was kept for later calls must not stand in the way of a smaller batch.
            self._controlnets.clear()
            torch.cuda.empty_cache()
            raise
        return [to_bytes(patch) for patch in patches]

    def _tools(self, batch: Batch, on_step: OnStep) -> DiffusionTools:
        motion = batch.job_type is JobType.ANIMATEDIFF
        adapters = tuple(use.model for use in batch.image_prompts)
        models = [self._models.get(batch.model, motion, adapters)]
        models[0].lay(batch.loras)
        if batch.refiner is not None:
            # A model that refines itself does so without its LoRAs.
            models.append(self._models.get(batch.refiner, motion, apart=bool(batch.loras)))
            models[1].lay(())
            if models[0].latent_channels != models[1].latent_channels:
                raise BadModel("the refiner's latents have other channels", "choose a refiner of the same kind")
        codec = self._codec(batch, models[0])
        painters = tuple(_painter(model, batch, self._dtype, number == 0) for number, model in enumerate(models))
        sampling, streams = sampling_of(batch.detailer, refined=batch.refiner is not None), streams_of(batch)
        steering = steering_of(batch, models[0], painters[0], streams, self._controlnets)
        tables = [painter.table for painter in painters]
        steps = [step_count(one, tables, len(batch.crops), motion) for one in cycles(batch, sampling)]
        progress = _Progress(on_step, steps, steering.hooks)
        return DiffusionTools(codec, painters, sampling, streams, progress.sampled, steering)

    def _codec(self, batch: Batch, model: Model) -> Codec:
        if batch.vae is None:
            return model.codec
        codec = self._models.vae(batch.vae)
        if codec.channels != model.latent_channels or codec.factor != model.codec.factor:
            raise BadModel(
                f"the VAE has latents of {codec.channels} channels and a {codec.factor}th of the size, the model "
                f"{model.latent_channels} and a {model.codec.factor}th",
                "choose a VAE of the model's kind",
            )
        return codec


def sampling_of(detailer: Detailer, refined: bool) -> Sampling:
    """The sampler's parameters out of a detailer's."""
    return Sampling(
        detailer.sampler_name,
        detailer.scheduler,
        detailer.steps,
        detailer.denoise,
        detailer.sampling_route,
        detailer.refiner_ratio if refined else None,
        differential=detailer.noise_mask_feather > 0,
    )


def streams_of(batch: Batch) -> Callable[[Sequence[int]], Streams]:
    """Each crop its own noise, or, in `animatediff` jobs, its frame's part of the clip's."""
    if batch.job_type is JobType.MASK:
        return crop_streams
    frames, shared = [crop.frame for crop in batch.crops], batch.detailer.noise == "shared"
    return lambda seeds: clip_streams(seeds[0], frames, batch.clip_frames, shared)


def _painter(model: Model, batch: Batch, dtype: torch.dtype, first: bool) -> Painter:
    """`first`: it is the base model, not the refiner."""
    detailer, longest = batch.detailer, model.longest_context
    if longest is not None and detailer.context_length > longest:
        raise ContextTooLong(detailer.context_length, longest)
    if model.takes_concat and not (detailer.inpaint_model and detailer.mask_mode):
        raise BadModel("it is an inpaint model", "set `inpaint_model` and `mask_mode` to true")
    overlap = min(detailer.context_overlap, detailer.context_length - 1)
    windows = Context(detailer.context_length, overlap, detailer.context_fuse, motion=True)
    return Painter(
        model.network,
        model.table,
        model.codec.scaling,
        guidance_of(model, batch, detailer.clip_skip if first else None),
        Context(ROWS_AT_ONCE) if longest is None else windows,
        model.prediction,
        model.codec.shift,
        takes_concat=model.takes_concat,
        precision=str(dtype).removeprefix("torch."),
    )


class _Progress:
    """Counts the steps of all cycles, of which each may have its own number."""

    def __init__(self, on_step: OnStep, steps: Sequence[int], hooks: Chain[Tensor]) -> None:
        self._on_step = on_step
        self._steps = steps
        self._hooks = hooks

    def sampled(self, done: int) -> None:
        """So many steps of the cycle under way are done."""
        cycle = self._hooks.cycle
        # A hook of somebody else's may have changed the number of steps.
        self._on_step(sum(self._steps[:cycle]) + min(done, self._steps[cycle]), sum(self._steps))
