"""Sizes and paces of training runs. All presets go through the same code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

EMBEDDED = Path(__file__).resolve().parents[2] / "assets" / "demo" / "model"
"""The model in use."""
TEXT_WIDTH = 128


class StageName(StrEnum):
    """Parts of a run, in the order in which they must be run."""

    AUTOENCODER = "autoencoder"
    """Encoder and decoder together, with a divergence from unit latents."""
    DENOISER = "denoiser"
    """The UNet (and the text encoder, if the run starts from nothing)."""
    DECODER = "decoder"
    """The decoder again, on what the denoiser makes of soft latents."""
    MOTION = "motion"
    """The motion adapter, all else held still."""


@dataclass(frozen=True)
class Pace:
    """How a stage is run."""

    minutes: float
    """Wall-clock time; `--minutes` overrides it."""
    batch: int
    """Crops, or clips, per step."""
    rate: float
    """Highest learning rate; it falls to nought along a cosine."""
    average: float = 0.999
    """Weight of what was in the moving average of the weights, per step."""


@dataclass(frozen=True)
class Preset:
    """A kind of run."""

    start: Path | None
    """A model folder to go on from; None: from nothing, with the shapes below."""
    paces: Mapping[StageName, Pace]
    """Its stages; others are left out."""
    crop: int
    """Pixels of width and height of a training crop: a multiple of 32, at most 256."""
    tiles: int
    """Tiles that `prepare` cuts."""
    adversary: int = 0
    """Channels of the adversary's first layer; 0: there is none."""
    frames: int = 8
    """Frames of a training clip."""
    vae: Mapping[str, Any] | None = None
    unet: Mapping[str, Any] | None = None
    text: Mapping[str, Any] | None = None
    motion: Mapping[str, Any] | None = None


def _vae(widths: tuple[int, ...], groups: int) -> dict[str, Any]:
    return {
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": list(widths),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": groups,
        "sample_size": 256,
        "mid_block_add_attention": False,
    }


def _unet(widths: tuple[int, int, int], groups: int) -> dict[str, Any]:
    return {
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": list(widths),
        "layers_per_block": 1,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": groups,
    }


def _motion(widths: tuple[int, int, int], groups: int) -> dict[str, Any]:
    return {
        "block_out_channels": list(widths),
        "motion_layers_per_block": 1,
        "motion_mid_block_layers_per_block": 1,
        "motion_num_attention_heads": 4,
        "motion_norm_num_groups": groups,
        "motion_max_seq_length": 32,
        "use_motion_mid_block": False,
    }


def _text(layers: int) -> dict[str, Any]:
    return {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 320,
        "projection_dim": TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
    }


PRESETS: dict[str, Preset] = {
    "cpu": Preset(
        start=EMBEDDED,
        paces={
            StageName.DENOISER: Pace(minutes=36, batch=16, rate=4e-4),
        },
        crop=128,
        tiles=2400,
    ),
    # 14 million parameters, 28 MB at 16 bits.
    "gpu": Preset(
        start=None,
        paces={
            StageName.AUTOENCODER: Pace(minutes=9, batch=48, rate=6e-4, average=0.998),
            StageName.DENOISER: Pace(minutes=10, batch=256, rate=8e-4),
            StageName.DECODER: Pace(minutes=5, batch=48, rate=3e-4),
            StageName.MOTION: Pace(minutes=4, batch=16, rate=6e-4, average=0.998),
        },
        crop=192,
        tiles=12000,
        adversary=48,
        frames=16,
        vae=_vae((32, 64, 96, 128), 8),
        unet=_unet((96, 128, 144), 16),
        text=_text(2),
        motion=_motion((96, 128, 144), 16),
    ),
    # The same as `gpu`, small enough for a test.
    "tiny": Preset(
        start=None,
        paces={stage: Pace(minutes=0.05, batch=2, rate=1e-3, average=0.9) for stage in StageName},
        crop=64,
        tiles=12,
        adversary=4,
        frames=3,
        vae=_vae((8, 8, 16, 16), 4),
        unet=_unet((8, 16, 16), 4),
        text=_text(1),
        motion=_motion((8, 16, 16), 4),
    ),
}
