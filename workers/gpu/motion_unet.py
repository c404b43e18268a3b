"""A UNet with a motion module in it: diffusers' UNetMotionModel, put right where diffusers is not AnimateDiff."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNetMotionModel
from safetensors.torch import load_file
from torch import Tensor

from workers.gpu.batch import Motion
from workers.gpu.faults import BadModel
from workers.gpu.motion import MotionModule, MotionNorm, read_motion, weights_file
from workers.gpu.motion_lora import apply_motion_lora
from workers.gpu.networks import Frames, norm_over_window, norm_per_frame

MOTION_FOLDER = "motion_adapter"
"""Where a model's folder has its own motion module."""


@dataclass(frozen=True)
class MovingUnet:
    """A UNet whose frames see each other."""

    unet: Any
    """diffusers' UNetMotionModel."""
    longest: int
    """Frames that it sees at the most."""
    betas: Tensor | None
    """The noise schedule that the motion module was trained with; None: the model's own."""
    frames_of: Frames | None
    """Where the number of frames must be noted before each call, if it must."""


def moving_unet(
    unet: Any,  # noqa: ANN401  diffusers is untyped
    folder: Path,
    motion: Motion,
    norm: MotionNorm | None,
    dtype: torch.dtype,
) -> MovingUnet:
    """The UNet with a motion module and its LoRAs.

    Args:
        unet: a UNet2DConditionModel.
        folder: of the model.
        norm: what the model's folder says of its own motion module; not of another one.
    Raises:
        BadModel: the motion module or a LoRA cannot be read, or was made for another kind of model.
    """
    sdxl = unet.config.addition_embed_type is not None
    module = read_motion(motion.module or folder / MOTION_FOLDER, dtype, sdxl)
    for place, strength in motion.loras:
        apply_motion_lora(module.adapter, load_file(weights_file(place, "motion LoRA")), strength)
    _check_fit(unet, module)
    made = UNetMotionModel.from_unet2d(unet, module.adapter)
    if getattr(unet, "add_embedding", None) is not None:
        # diffusers makes this part anew and forgets to fill it.
        made.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    own = norm if motion.module is None else None
    frames_of = _norms(made, own or module.norm)
    return MovingUnet(made, module.longest, module.betas if own is None else None, frames_of)


def _norms(unet: Any, norm: MotionNorm) -> Frames | None:  # noqa: ANN401  diffusers is untyped
    if norm == "per_frame":
        norm_per_frame(unet)
    return norm_over_window(unet) if norm == "all_window" else None


def _check_fit(unet: Any, module: MotionModule) -> None:  # noqa: ANN401  diffusers is untyped
    ours, theirs = tuple(unet.config.block_out_channels), tuple(module.adapter.config.block_out_channels)
    if ours != theirs:
        raise BadModel(
            f"its motion module is for a UNet with blocks of {theirs} channels, this one has {ours}",
            "choose a motion module of the model's kind: v1, v2 and v3 are for SD 1.5, another is for SDXL",
        )
