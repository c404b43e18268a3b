"""A sampler, a schedule, a share of it and a mask: run with a small network, alone, again, and in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from farm.domain.detailer import Detailer
from farm.domain.sampling_names import check_names
from farm.domain.step_rules import check_steps
from farm.errors import Rejected
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.detailer import ROWS_AT_ONCE
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
NetworkKind = Literal["small", "unet"]
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
    network: NetworkKind = "small"


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
    """Run a combination three times: in a batch, and twice with one of its crops alone."""
    try:
        asked = Detailer(
            sampler_name=cell.sampler_name, scheduler=cell.scheduler, steps=cell.steps, denoise=cell.denoise
        )
        check_names(asked.sampler_name, asked.scheduler)
        check_steps(asked, refined=False)
        together = _run(cell, range(cell.crops))
        alone, again = (_run(cell, range(ALONE, ALONE + 1)) for _ in range(2))
    except Rejected as error:
        return Found(refusal=str(error))
    if not bool(torch.isfinite(together).all() and torch.isfinite(alone).all()):
        return Found(fault="values that are not numbers")
    if not torch.equal(alone, again):
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
        return sample(latents()[rows], [painter(cell.network)], sampling, streams, mask)


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
def painter(kind: NetworkKind) -> Painter:
    """A network of random weights, with convolutions and with attention to the text.

    The UNet is called as the engine does on a CPU, the small one with all crops at once.
    """
    torch.manual_seed(0)
    network = still_network(_unet()) if kind == "unet" else _SmallNetwork().eval()
    rows = ROWS_AT_ONCE if kind == "unet" else CROPS
    positive, negative = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(2))
    return Painter(network, SigmaTable(betas_of({})), 0.18215, Guidance(positive, negative, 4.0), Context(rows))


def _unet() -> Any:  # noqa: ANN401 - diffusers is untyped
    """One block of the real class."""
    make: Any = UNet2DConditionModel
    return make(
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


class _SmallNetwork(nn.Module):
    """What a UNet's block does, once: a tenth of the time, for tables of thousands of runs."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(4, 16, 3, padding=1), nn.Conv2d(16, 4, 3, padding=1)
        self.norm, self.time = nn.GroupNorm(4, 16), nn.Linear(16, 16)
        self.query, self.key, self.value = nn.Linear(16, 8), nn.Linear(8, 8), nn.Linear(8, 16)

    def forward(self, x: Tensor, timestep: int, text: Tensor) -> Tensor:
        """As of `workers.gpu.denoiser.Network`."""
        texts = text.repeat_interleave(x.shape[1], dim=0)
        waves = torch.sin(timestep * torch.exp(-0.6 * torch.arange(16)))
        hidden = self.into(x.flatten(0, 1)) + self.time(waves)[:, None, None]
        pixels = torch.nn.functional.silu(self.norm(hidden)).flatten(2).transpose(1, 2)
        asked, keys, values = self.query(pixels), self.key(texts), self.value(texts)
        seen = torch.nn.functional.scaled_dot_product_attention(asked, keys, values)
        found: Tensor = self.out((pixels + seen).transpose(1, 2).reshape(hidden.shape))
        return found.reshape(x.shape)
