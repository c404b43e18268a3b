"""A linear map of the denoiser's latents that brings them nearer to sharp ones, in closed form: seconds, not minutes.

What a denoiser draws where it cannot know is noise to a decoder. How much of each latent channel can be believed is
measured on tiles, and written into the 1x1 convolution that every AutoencoderKL has before its decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from demo.training.denoiser import Prompts, restore
from demo.training.latents import FACTOR, Latents
from demo.training.networks import Networks
from demo.training.presets import Preset, StageName
from demo.training.vocabulary import SHARP

STARTS = (300, 400)
"""Steps at which img2img starts: denoise 0.3 and 0.4, the range that the model is recommended for."""
BATCHES = 3
"""Batches of crops per start."""
RESTORE_STEPS = 8
RIDGE = 1e-3
"""Pull towards the map that changes nothing, as a part of the latents' mean power."""


def fit(restored: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
    """The change `(A, b)` for which `x + A x + b` is nearest to the sharp latents, least squares over all places.

    Args:
        restored, sharp: `[B, C, H, W]`.
    Returns:
        `[C, C]` and `[C]`.
    """
    x, y = (each.movedim(1, -1).flatten(0, 2).double() for each in (restored, sharp))
    with_one = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    square = with_one.T @ with_one
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), device=x.device, dtype=x.dtype)
    found = torch.linalg.solve(square, with_one.T @ (y - x)).float()
    return found[:-1].T, found[-1]


@torch.no_grad()
def calibrate(
    networks: Networks, latents: Latents, preset: Preset, device: torch.device, told: Callable[[float], None]
) -> dict[str, Tensor]:
    """What is to be left for the next stage: the convolution with the preset's part of the map laid in.

    Args:
        told: called with the part that is done.
    """
    pace, side = preset.paces[StageName.CALIBRATION], preset.crop // FACTOR
    rng, prompts = np.random.default_rng(6), Prompts(networks, device)
    factor = float(networks.vae.config.scaling_factor)
    embedding = prompts.embed([SHARP[0]] * pace.batch)
    made, true = [], []
    for turn in range(BATCHES * len(STARTS)):
        sharp, soft, _ = latents.crops(rng, pace.batch, side)
        scaled = (soft * factor).to(device)
        start = STARTS[turn % len(STARTS)]
        made.append(restore(networks, scaled, embedding, start, RESTORE_STEPS, torch.randn_like(scaled)) / factor)
        true.append(sharp.to(device))
        told((turn + 1) / (BATCHES * len(STARTS)))
    change, shift = fit(torch.cat(made), torch.cat(true))
    convolution = networks.vae.post_quant_conv
    # What comes first is applied first: W (x + A x + b) + c.
    weight = convolution.weight[:, :, 0, 0]
    return {
        "vae.post_quant_conv/weight": (weight + pace.trust * weight @ change)[:, :, None, None],
        "vae.post_quant_conv/bias": convolution.bias + pace.trust * weight @ shift,
    }
