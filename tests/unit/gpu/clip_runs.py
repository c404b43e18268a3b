"""The engine's way over a clip of latents with a tiny motion module: for tests and for figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from farm.detail.spans import Chunk
from tests.unit.gpu.plain_animatediff import normal_sigmas, plain_clip, plain_unet
from tests.unit.gpu.tiny_motion import LATENT_CHANNELS, TEXT_WIDTH, motion_file, tiny_adapter, tiny_unet
from workers.gpu.batch import Motion
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.motion import SD_BETAS
from workers.gpu.motion_unet import MovingUnet, moving_unet
from workers.gpu.networks import motion_network
from workers.gpu.noise import clip_streams
from workers.gpu.sampling import Painter, Sampling, sample
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.windows import Layout

CFG, SEED = 3.0, 7
STEPS, DENOISE = 3, 0.5
"""Whose timesteps, 399.6 and 199.8, no rounding can move to another whole one: of 499.5, which a `denoise` of 0.6 has,
it would depend on the machine's logarithm which one is nearer."""
GENERATOR = torch.Generator().manual_seed(4)
TEXTS = (
    torch.randn((1, 77, TEXT_WIDTH), generator=GENERATOR),
    torch.randn((1, 77, TEXT_WIDTH), generator=GENERATOR),
)


def tiny_moving(folder: Path) -> MovingUnet:
    """A tiny UNet with a motion module of the third version, whose file is put into `folder`."""
    module = motion_file(folder / "mm.safetensors", tiny_adapter())
    made = moving_unet(tiny_unet(), folder, Motion(module), None, torch.float32)
    made.unet.eval()
    return made


def slow_scene(frames: int) -> Tensor:
    """Latents `[frames, channels, 4, 4]` of a scene that changes slowly: each frame a little of the next."""
    noise = torch.randn((frames + 8, LATENT_CHANNELS, 4, 4), generator=torch.Generator().manual_seed(2))
    return torch.stack([noise[f : f + 8].mean(dim=0) * 3 for f in range(frames)])


def sampled(
    moving: MovingUnet, latents: Tensor, layout: Layout, run: range | None = None, sampling: Sampling | None = None
) -> Tensor:
    """The engine's way over the frames `run` of a clip; over all of them if it is left out."""
    places = run or range(len(latents))
    guidance = Guidance(TEXTS[1], TEXTS[0], CFG)
    table = SigmaTable(betas_of(SD_BETAS))
    painter = Painter(motion_network(moving.unet), table, 1.0, guidance, Context(16, layout))
    streams = clip_streams(SEED, places, len(latents))
    asked = sampling or Sampling("euler", "normal", STEPS, DENOISE)
    with torch.inference_mode():
        return sample(latents[places.start : places.stop], [painter], asked, streams)


def off_the_plain_reference(
    moving: MovingUnet, latents: Tensor, layout: Layout, static: Sequence[Sequence[int]], weights: Sequence[float]
) -> float:
    """The largest difference between the engine's clip and that of the plain reference, of the latter's deviation.

    Args:
        static: the windows of a static schedule, spelled out; of others the layout's are taken.
        weights: of a window's frames.
    """
    plain: Any = plain_unet(tiny_unet(), tiny_adapter())
    frames, is_static = len(latents), layout.schedule == "standard_static"
    sigmas = normal_sigmas(STEPS, DENOISE)
    with torch.inference_mode():
        theirs = plain_clip(
            plain,
            latents,
            TEXTS,
            CFG,
            sigmas,
            SEED,
            lambda step: static if is_static else layout.over(frames, step),
            weights,
        )
    ours = sampled(moving, latents, layout)
    return float((ours - theirs).abs().max() / theirs.std())


def cores(moving: MovingUnet, latents: Tensor, layout: Layout, chunks: Sequence[Chunk], halo: bool) -> Tensor:
    """The cores of chunks that were each sampled by themselves, with their halos or without."""
    parts = []
    for chunk in chunks:
        start, end = (chunk.run_start, chunk.run_end) if halo else (chunk.core_start, chunk.core_end)
        made = sampled(moving, latents, layout, range(start, end))
        parts.append(made[chunk.core_start - start : chunk.core_end - start])
    return torch.cat(parts)


def rms(values: Tensor) -> float:
    """Root of the mean square."""
    return float(values.pow(2).mean().sqrt())
