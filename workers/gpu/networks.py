"""diffusers' UNets as the plain functions that a denoiser calls."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, SlicedAttnProcessor
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
ATTENTION_SLICES = 16
"""Parts of an attention layer's batch and heads, where it has to be cut."""


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


def motion_network(
    unet: Any,  # noqa: ANN401  diffusers is untyped
    extra: Extra | None = None,
    factor: int = 8,
    frames_of: Frames | None = None,
) -> Network:
    """A UNetMotionModel: the rows of a group are frames, which see each other.

    Args:
        factor: as of `still_network`.
        frames_of: where `norm_over_window` wants the number of frames noted.
    """

    def predict(x: Tensor, timestep: int, text: Tensor, vector: Vector | None = None) -> Tensor:
        frames = x.shape[1]
        if frames_of is not None:
            frames_of.count = frames
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
    # Filled on the device: a number that is copied there waits until the device has done all that it was given.
    return torch.full((), timestep, dtype=torch.int64, device=like.device)


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


class WindowNorm(nn.Module):
    """A group norm over all frames of the window, in place of one over each frame by itself."""

    def __init__(self, norm: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.norm = norm
        self._frames = frames

    def forward(self, flat: Tensor) -> Tensor:
        """`flat`: `[batch * frames, channels, h, w]`."""
        clip = flat.reshape(-1, self._frames.count, *flat.shape[1:]).transpose(1, 2)
        normed: Tensor = self.norm(clip).transpose(1, 2).flatten(0, 1)
        return normed


class Frames:
    """How many frames the window under way has: what a norm cannot see of its input."""

    def __init__(self) -> None:
        self.count = 1


def norm_per_frame(unet: nn.Module) -> None:
    """Puts a PerFrameNorm at the entry of every motion module of a UNetMotionModel."""
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.register_module("norm", PerFrameNorm(module.norm))


def norm_over_window(unet: nn.Module) -> Frames:
    """Lets every group norm of a UNetMotionModel go over all frames of the window, as the first motion modules were
    trained (PARITY 7); the motion modules' own, at their entries, do so in diffusers anyway.

    Returns:
        Where the number of frames must be noted before each call.
    """
    frames = Frames()
    entries = {id(module.norm) for module in unet.modules() if isinstance(module, AnimateDiffTransformer3D)}
    for parent in list(unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm) and id(child) not in entries:
                parent.register_module(name, WindowNorm(child, frames))
    return frames


class _Sliced(SlicedAttnProcessor):
    """Attention in about ATTENTION_SLICES parts, whatever the batch is."""

    def __init__(self) -> None:
        super().__init__(slice_size=1)

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **named: Any) -> Tensor:  # noqa: ANN401  untyped
        """See diffusers."""
        self.slice_size = -(-len(hidden_states) * attn.heads // ATTENTION_SLICES)
        attended: Tensor = super().__call__(attn, hidden_states, *args, **named)
        return attended


def attention_switch(unet: nn.Module) -> Callable[[bool], None]:
    """Switches a UNet's plain attention between whole (`scaled_dot_product_attention`) and slice by slice.

    Does not keep the UNet in memory.
    """
    owner = weakref.ref(unet)
    kept: list[tuple[weakref.ref[nn.Module], object]] = []

    def switch(sliced: bool) -> None:
        unet = owner()
        if unet is None or sliced == bool(kept):
            return
        if sliced:
            for module in unet.modules():
                processor: Any = module.processor if isinstance(module, Attention) else None
                # Exactly this kind: others (of IP-Adapters) do more than attend.
                if type(processor) is AttnProcessor2_0:
                    kept.append((weakref.ref(module), processor))
                    _set(module, _Sliced())
            return
        for module_of, whole in kept:
            _set(module_of(), whole)
        kept.clear()

    return switch


def _set(module: Any, processor: object) -> None:  # noqa: ANN401  diffusers is untyped
    if module is not None:
        module.set_processor(processor)
