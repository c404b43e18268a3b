"""ControlNets and IP-Adapters beside a UNet: by what they are shown, at which noise levels (SPEC 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from farm.detail.blend import Pixels
from workers.gpu.denoiser import Network
from workers.gpu.image_prompts import ImagePrompts
from workers.gpu.networks import Extra, Told
from workers.gpu.sigmas import SigmaTable

ALWAYS = 1e9
"""A noise level above all."""


@dataclass(frozen=True)
class Control:
    """One ControlNet at work."""

    net: Any
    """diffusers' ControlNetModel."""
    strength: float
    highest: float
    """Noise level at which it begins to act."""
    lowest: float
    """The same, at which it ends."""
    shown: Tensor
    """`[rows, 3, height, width]` in 0..1, `factor` pixels per latent pixel."""

    def acts(self, sigma: Tensor) -> bool:
        """Whether it has a part in a call at this noise level; both bounds belong to its range."""
        return self.lowest <= float(sigma) <= self.highest


@dataclass(frozen=True)
class Controls:
    """All ControlNets of a batch, of which the sum is added, and its IP-Adapters."""

    parts: tuple[Control, ...]
    extended: Callable[[Extra], Network]
    """The UNet, called with further arguments."""
    prompts: ImagePrompts | None = None
    """None: the UNet has no IP-Adapter."""

    def only(self, rows: slice) -> Controls:
        """The same for some of the rows."""
        parts = tuple(replace(part, shown=part.shown[rows]) for part in self.parts)
        return replace(self, parts=parts, prompts=self.prompts and self.prompts.only(rows))

    def network(self, rows: Sequence[int], sigma: Tensor, negative: Sequence[bool]) -> Network | None:
        """See `workers.gpu.denoiser.Controlled`."""
        picked = [(part, part.shown[list(rows)]) for part in self.parts if part.acts(sigma)]
        if not picked and self.prompts is None:
            return None

        def extra(x: Tensor, timestep: Tensor, text: Tensor, told: Told) -> dict[str, Any]:
            arguments = self.prompts.arguments(rows, sigma, negative) if self.prompts else {}
            if not picked:
                return arguments
            sums: list[Tensor] = []
            for part, shown in picked:
                each = shown.to(x.dtype).repeat(len(x) // len(shown), 1, 1, 1)
                # An inpaint model's UNet is given more channels than its latents have, the ControlNet is not.
                latents = x[:, : part.net.config.in_channels]
                down, middle = part.net(
                    latents, timestep, text, each, part.strength, added_cond_kwargs=told or None, return_dict=False
                )
                added = [*down, middle]
                sums = [one + other for one, other in zip(sums, added, strict=True)] if sums else added
            ours = {"down_block_additional_residuals": tuple(sums[:-1]), "mid_block_additional_residual": sums[-1]}
            return {**arguments, **ours}

        return self.extended(extra)


def sigma_at(percent: float, table: SigmaTable) -> float:
    """Noise level at a share of the model's levels, counted from the noisiest; 0 stands before all, 1 behind all."""
    if percent <= 0:
        return ALWAYS
    return 0.0 if percent >= 1 else float(table.sigma(torch.tensor((1 - percent) * (len(table) - 1))))


def shown_at(pictures: Sequence[Pixels], size: tuple[int, int], device: torch.device) -> Tensor:
    """Control pictures `[h, w, 3]` at the size that a ControlNet wants, `[n, 3, height, width]`.

    What is too wide or too high for the sides' ratio is cut, equally on both sides, the rest scaled to the nearest
    pixel, as ComfyUI does.

    Args:
        size: height, width in pixels.
    """
    height, width = size
    return torch.cat([_scaled(picture, height, width) for picture in pictures]).to(device)


def _scaled(picture: Pixels, height: int, width: int) -> Tensor:
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    ours, theirs = pixels.shape[3] / pixels.shape[2], width / height
    left = round((pixels.shape[3] - pixels.shape[3] * (theirs / ours)) / 2) if ours > theirs else 0
    top = round((pixels.shape[2] - pixels.shape[2] * (ours / theirs)) / 2) if ours < theirs else 0
    pixels = pixels[:, :, top : pixels.shape[2] - top, left : pixels.shape[3] - left]
    return functional.interpolate(pixels, size=(height, width), mode="nearest-exact")
