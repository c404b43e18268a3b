"""A sampler, a schedule, a share of it and a mask: run with a small network, alone, in a batch, and again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from farm.domain.detailer import Detailer
from farm.domain.sampling_names import check_names
from farm.domain.step_rules import check_steps
from farm.errors import Rejected
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.networks import still_network
from workers.gpu.noise import crop_streams
from workers.gpu.sampling import Painter, Sampling, sample
from workers.gpu.sigmas import SigmaTable, betas_of

STEPS = 5
"""Enough for every order that a multistep sampler goes up to."""
CROPS = 8
"""Of the batch."""
ALONE = 2
"""Place in the batch of the crop that is also run alone."""
WITHIN = 1e-5
"""Largest difference between the two, over the standard deviation of the result."""
SEED = 2**64 - 3
"""Of the first crop; those of later crops begin at 0 again."""


@dataclass(frozen=True)
class Cell:
    """One combination."""

    sampler_name: str
    scheduler: str
    denoise: float = 0.5
    masked: bool = False
    steps: int = STEPS
    crops: int = CROPS
    """Of the batch, at most CROPS and more than ALONE."""


@dataclass(frozen=True)
class Found:
    """What became of it."""

    apart: float = 0.0
    """Largest difference between the crop alone and in the batch, over the standard deviation of the result."""
    fault: str = ""
    """What is wrong with it; empty if nothing is."""
    refusal: str = ""
    """The farm's words, where it refuses the combination."""


def check(cell: Cell) -> Found:
    """Run a combination three times: twice in a batch, once with one of its crops alone."""
    try:
        asked = Detailer(
            sampler_name=cell.sampler_name, scheduler=cell.scheduler, steps=cell.steps, denoise=cell.denoise
        )
        check_names(asked.sampler_name, asked.scheduler)
        check_steps(asked, refined=False)
        together, again = _run(cell, range(cell.crops)), _run(cell, range(cell.crops))
        alone = _run(cell, range(ALONE, ALONE + 1))
    except Rejected as error:
        return Found(refusal=str(error))
    if not bool(torch.isfinite(together).all() and torch.isfinite(alone).all()):
        return Found(fault="values that are not numbers")
    if not torch.equal(together, again):
        return Found(fault="twice the same gives two results")
    if float(together.std()) < 1e-3 or torch.equal(together, latents()[: cell.crops]):
        return Found(fault="nothing was painted")
    apart = float((alone[0] - together[ALONE]).abs().max() / alone.std())
    return Found(apart, "" if apart < WITHIN else f"alone and in a batch it differs by {apart:.1e}")


def _run(cell: Cell, crops: range) -> Tensor:
    rows = slice(crops.start, crops.stop)
    sampling = Sampling(cell.sampler_name, cell.scheduler, cell.steps, cell.denoise)
    mask = soft_masks()[rows] if cell.masked else None
    streams = crop_streams([SEED + crop for crop in crops])
    with torch.inference_mode():
        return sample(latents()[rows], [painter()], sampling, streams, mask)


@cache
def latents() -> Tensor:
    """Of all crops, before scaling."""
    return torch.randn((CROPS, 4, 8, 8), generator=torch.Generator().manual_seed(1)) * 5


@cache
def soft_masks() -> Tensor:
    """Different for each crop, with all values from 0 to 1."""
    ramps = torch.linspace(0, 1, 8).repeat(CROPS, 1, 8, 1)
    return torch.stack([ramp.roll(crop, -1) for crop, ramp in enumerate(ramps)])


@cache
def painter() -> Painter:
    """A UNet of one block, with convolutions and with attention to the text, of random weights."""
    torch.manual_seed(0)
    make: Any = UNet2DConditionModel
    unet = make(
        sample_size=8,
        block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
    ).eval()
    positive, negative = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(2))
    guidance = Guidance(positive, negative, 4.0)
    return Painter(still_network(unet), SigmaTable(betas_of({})), 0.18215, guidance, Context(16))
