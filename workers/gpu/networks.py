"""diffusers' UNets as the plain functions that a denoiser calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from workers.gpu.denoiser import Network
from workers.gpu.faults import memory_errors

Extra = Callable[[Tensor, Tensor, Tensor], dict[str, Any]]
"""Further arguments of a UNet, for latents `[groups * rows, channels, h, w]`, timestep and text as it is given them."""


def still_network(unet: Any, extra: Extra | None = None) -> Network:  # noqa: ANN401  diffusers is untyped
    """A UNet2DConditionModel: rows do not see each other."""

    def predict(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        groups, rows = x.shape[:2]
        flat, texts = x.flatten(0, 1).to(unet.dtype), text.to(unet.dtype).repeat_interleave(rows, dim=0)
        time = _timestep(timestep, x)
        with memory_errors("run the UNet"):
            added = extra(flat, time, texts) if extra else {}
            predicted = unet(flat, time, encoder_hidden_states=texts, return_dict=False, **added)[0]
        result: Tensor = predicted.float().unflatten(0, (groups, rows))
        return result

    return predict


def motion_network(unet: Any, extra: Extra | None = None) -> Network:  # noqa: ANN401  diffusers is untyped
    """A UNetMotionModel: the rows of a group are frames, which see each other."""

    def predict(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        frames = x.shape[1]
        clip, texts = x.transpose(1, 2).to(unet.dtype), text.to(unet.dtype).repeat_interleave(frames, dim=0)
        time = _timestep(timestep, x)
        with memory_errors("run the UNet with its motion module"):
            added = extra(x.flatten(0, 1).to(unet.dtype), time, texts) if extra else {}
            predicted = unet(clip, time, encoder_hidden_states=texts, return_dict=False, **added)[0]
        result: Tensor = predicted.float().transpose(1, 2)
        return result

    return predict


def _timestep(timestep: int, like: Tensor) -> Tensor:
    return torch.tensor(timestep, device=like.device)


class PerFrameNorm(nn.Module):
    """A group norm over each frame by itself, in place of one over all frames of the window.

    AnimateDiff's own motion modules were trained so; diffusers takes the mean over the window (PARITY 7).
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, clip: Tensor) -> Tensor:
        """`clip`: `[batch, channels, frames, h, w]`."""
        frames = clip.shape[2]
        flat = clip.transpose(1, 2).flatten(0, 1)
        normed: Tensor = self.norm(flat).unflatten(0, (-1, frames)).transpose(1, 2)
        return normed


def norm_per_frame(unet: nn.Module) -> None:
    """Puts a PerFrameNorm at the entry of every motion module of a UNetMotionModel."""
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.register_module("norm", PerFrameNorm(module.norm))
