"""The real engine: crops in, patches out, by way of a diffusion model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.adapters.pictures import lanczos
from farm.detail.blend import Pixels, to_bytes
from farm.detail.enhance import Prepared, enhance, prepare
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
from workers.gpu.pictures import Pictures
from workers.gpu.progress import Progress
from workers.gpu.sampling import Painter, Sampling, sample, step_count
from workers.gpu.steering import Steering, cycles, latent_masks, steering_of
from workers.gpu.vae import Codec
from workers.gpu.windows import Layout

ROWS_AT_ONCE = 1
"""Rows that a UNet without motion module is given in one call on a CPU; twice as many with `cfg` other than 1. More are
not faster there, and so a crop has the same bits alone and in any batch."""
GPU_ROWS_AT_ONCE = 256
"""The same on a GPU: as many as a batch has. Fewer where they are not expected to fit."""
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
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of the pictures that were decoded; hooks may have changed them."""

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
        self.sizes.append((latents.shape[-1] * self.factor, latents.shape[-2] * self.factor))
        return self.codec.decode(latents)


class DiffusersEngine:
    """Detail with diffusers' models and ComfyUI's sampling rules."""

    def __init__(
        self,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 1,
        model_bytes: int | None = None,
        compile_recurring: bool = False,
    ) -> None:
        """
        Args:
            device, dtype, threads: see `workers.gpu.engine.open_engine`.
            model_bytes: for the weights of the models that are kept.
            compile_recurring: on a GPU, compile the UNet for sizes that recur.
        Raises:
            NoSuchDevice.
        """
        self._threads = threads
        torch.set_num_threads(threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise NoSuchDevice(device)
        on_gpu = torch.cuda.is_available() if device == "auto" else device == "cuda"
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._dtype = DTYPES[("fp16" if on_gpu else "fp32") if dtype == "auto" else dtype]
        self.models = ModelCache(self._device, self._dtype, model_bytes, compile_recurring)
        """Where models come from."""
        self._controlnets = ControlNets(self._device, self._dtype)

    @property
    def name(self) -> str:
        """Name and version."""
        return ENGINE_VERSIONS["diffusers"]

    @property
    def device(self) -> str:
        """`cpu`, or the GPU's name."""
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"

    def prepare(self, batch: Batch) -> Batch:
        """The crops at their sampling size; for a GPU in pinned memory."""
        made = prepare(batch.crops, lanczos, batch.job_type is JobType.ANIMATEDIFF)
        pixels = Pictures(made.pixels, pin=self._device.type == "cuda")
        return replace(batch, prepared=Prepared(pixels, made.masks))

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """See `workers.gpu.engine.Engine`."""
        # In the thread that computes: torch keeps the number for each thread, and another one may have made the engine.
        torch.set_num_threads(self._threads)
        animatediff = batch.job_type is JobType.ANIMATEDIFF
        detailer = batch.detailer
        try:
            with torch.inference_mode():
                tools = self.tools(batch, on_step)
                inpaint, hooks, cycle = detailer.inpaint_model, tools.steering.hooks, detailer.cycle
                patches = enhance(batch.crops, tools, lanczos, cycle, animatediff, inpaint, hooks, batch.prepared)
        except OutOfMemory:
            # What was kept for later calls must not stand in the way of a smaller batch.
            self._controlnets.clear()
            torch.cuda.empty_cache()
            raise
        batch.rungs[:] = [rung for size in tools.sizes for rung in tools.codec.rungs(*size)]
        return [to_bytes(patch) for patch in patches]

    def tools(self, batch: Batch, on_step: OnStep) -> DiffusionTools:
        """The models and the noise of a batch, ready to run. Raises BadModel, ContextTooLong, OutOfMemory."""
        animatediff = batch.job_type is JobType.ANIMATEDIFF
        motion = batch.motion if animatediff else False
        adapters = tuple(use.model for use in batch.image_prompts)
        models = [self.models.get(batch.model, motion, adapters)]
        models[0].lay(batch.loras)
        if batch.refiner is not None:
            # A model that refines itself does so without its LoRAs.
            models.append(self.models.get(batch.refiner, motion, apart=bool(batch.loras)))
            models[1].lay(())
            if models[0].latent_channels != models[1].latent_channels:
                raise BadModel("the refiner's latents have other channels", "choose a refiner of the same kind")
        codec = self._codec(batch, models[0])
        rows = GPU_ROWS_AT_ONCE if self._device.type == "cuda" else ROWS_AT_ONCE
        painters = tuple(_painter(model, batch, self._dtype, rows, n == 0) for n, model in enumerate(models))
        sampling, streams = sampling_of(batch.detailer, refined=batch.refiner is not None), streams_of(batch)
        steering = steering_of(batch, models[0], painters[0], streams, self._controlnets)
        tables = [painter.table for painter in painters]
        steps = [step_count(one, tables, len(batch.crops), animatediff) for one in cycles(batch, sampling)]
        progress = Progress(on_step, steps, steering.hooks)
        return DiffusionTools(codec, painters, sampling, streams, progress.sampled, steering)

    def _codec(self, batch: Batch, model: Model) -> Codec:
        if batch.vae is None:
            return model.codec
        codec = self.models.vae(batch.vae)
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


def _painter(model: Model, batch: Batch, dtype: torch.dtype, rows: int, first: bool) -> Painter:
    """`rows`: that a UNet without motion module is given at once. `first`: it is the base model, not the refiner."""
    detailer, longest = batch.detailer, model.longest_context
    if longest is not None and detailer.context_length > longest:
        raise ContextTooLong(detailer.context_length, longest)
    if model.takes_concat and not (detailer.inpaint_model and detailer.mask_mode):
        raise BadModel("it is an inpaint model", "set `inpaint_model` and `mask_mode` to true")
    return Painter(
        model.network,
        model.table,
        model.codec.scaling,
        guidance_of(model, batch, detailer.clip_skip if first else None),
        Context(rows, None if longest is None else layout_of(detailer), model.fitting),
        model.prediction,
        model.codec.shift,
        takes_concat=model.takes_concat,
        precision=str(dtype).removeprefix("torch."),
    )


def layout_of(detailer: Detailer) -> Layout:
    """The windows of a detailer's parameters."""
    return Layout(
        detailer.context_length,
        min(detailer.context_overlap, detailer.context_length - 1),
        detailer.context_schedule,
        detailer.context_stride,
        detailer.closed_loop,
        detailer.context_fuse,
    )
