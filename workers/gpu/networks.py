"""diffusers' UNets as the plain functions that a denoiser calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from workers.gpu.denoiser import Network, Vector
from workers.gpu.faults import memory_errors

Told = dict[str, Tensor]
"""What a UNet is told besides text and time, by diffusers' names, a row for each of its input's; empty: nothing."""
Extra = Callable[[Tensor, Tensor, Tensor, Told], dict[str, Any]]
"""Further arguments of a UNet, for latents `[groups * rows, channels, h, w]`, timestep, text and what it is told
besides, as it is given them."""
REFINER_NUMBERS = 5
"""Numbers that SDXL's refiner is told besides the text; the base model is told one more."""


def still_network(unet: Any, extra: Extra | None = None, factor: int = 8) -> Network:  # noqa: ANN401  diffusers is untyped
    """A UNet2DConditionModel: rows do not see each other.

    Args:
        factor: pixels per latent pixel and side, for a UNet that is told sizes.
    """

    def predict(x: Tensor, timestep: int, text: Tensor, vector: Vector | None = None) -> Tensor:
        groups, rows = x.shape[:2]
        flat, texts = x.flatten(0, 1).to(unet.dtype), text.to(unet.dtype).repeat_interleave(rows, dim=0)
        time = _timestep(timestep, x)
        told = _rows(_told(unet, vector, x, factor), rows)
        with memory_errors("run the UNet"):
            added = _arguments(extra(flat, time, texts, told) if extra else {}, told)
            predicted = unet(flat, time, texts, return_dict=False, **added)[0]
        result: Tensor = predicted.float().unflatten(0, (groups, rows))
        return result

    return predict


def motion_network(unet: Any, extra: Extra | None = None, factor: int = 8) -> Network:  # noqa: ANN401  diffusers is untyped
    """A UNetMotionModel: the rows of a group are frames, which see each other. `factor`: as of `still_network`."""

    def predict(x: Tensor, timestep: int, text: Tensor, vector: Vector | None = None) -> Tensor:
        frames = x.shape[1]
        clip, texts = x.transpose(1, 2).to(unet.dtype), text.to(unet.dtype).repeat_interleave(frames, dim=0)
        time = _timestep(timestep, x)
        told = _told(unet, vector, x, factor)
        with memory_errors("run the UNet with its motion module"):
            flat = x.flatten(0, 1).to(unet.dtype)
            added = _arguments(extra(flat, time, texts, _rows(told, frames)) if extra else {}, told)
            predicted = unet(clip, time, texts, return_dict=False, **added)[0]
        result: Tensor = predicted.float().transpose(1, 2)
        return result

    return predict


def _arguments(extra: dict[str, Any], told: Told) -> dict[str, Any]:
    """The UNet's arguments: those of others, and what it is told besides the text, which lies among theirs."""
    together = {**told, **extra.get("added_cond_kwargs", {})}
    return {**extra, "added_cond_kwargs": together or None}


def _rows(told: Told, rows: int) -> Told:
    """The same for each of a group's rows."""
    return {name: value.repeat_interleave(rows, dim=0) for name, value in told.items()}


def _told(unet: Any, vector: Vector | None, x: Tensor, factor: int) -> Told:  # noqa: ANN401  as above
    """What SDXL is told besides the text, per group: the text as a whole, and the picture's sizes as ComfyUI feeds
    them: height, width, no crop, and again height, width (the refiner: how pleasing it is to be)."""
    if vector is None:
        return {}
    height, width = (float(side * factor) for side in x.shape[-2:])
    sizes = torch.tensor([height, width, 0.0, 0.0, height, width], device=x.device).expand(len(vector.pooled), 6)
    pooled, each = vector.pooled, unet.config.addition_time_embed_dim
    if unet.config.projection_class_embeddings_input_dim == pooled.shape[1] + REFINER_NUMBERS * each:
        sizes = torch.cat([sizes[:, :4], vector.score.to(sizes)[:, None]], dim=1)
    return {"text_embeds": pooled, "time_ids": sizes}


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
