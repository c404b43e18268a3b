"""Models with random weights of the real classes and sizes: what they compute is noise, what they cost is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel

from workers.gpu.batch import Motion
from workers.gpu.conditioning import Encoded, TextEncoder
from workers.gpu.denoiser import Network
from workers.gpu.fitting import Fitting, Meter
from workers.gpu.lora import Overlay
from workers.gpu.models import Model, ModelCache, weight_bytes
from workers.gpu.networks import Extra, motion_network, norm_per_frame, still_network
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.vae import Codec

TOKENS = 77

VAE: dict[str, object] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "force_upcast": False,
}
TINY_VAE = VAE | {"block_out_channels": (8, 16, 16, 32), "norm_num_groups": 4, "layers_per_block": 1}
SDXL_UNET: dict[str, object] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@dataclass(frozen=True)
class Architecture:
    """A kind of model."""

    name: str
    unet: Mapping[str, object]
    vae: Mapping[str, object]
    text_width: int
    motion: Mapping[str, object] = field(default_factory=dict)
    """Of its MotionAdapter; empty: it is not measured with one."""
    pooled: int = 0
    """Width of SDXL's pooled text; 0: it is not of that kind."""


SD15 = Architecture(
    "SD 1.5",
    {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    VAE,
    768,
    {"motion_max_seq_length": 32, "use_motion_mid_block": False},
)
SDXL = Architecture("SDXL", SDXL_UNET, VAE, 2048, pooled=1280)
TINY = Architecture(
    "tiny",
    {
        "sample_size": 64,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 4,
        "cross_attention_dim": 64,
    },
    TINY_VAE,
    64,
    {"block_out_channels": (32, 64), "motion_layers_per_block": 1, "use_motion_mid_block": False},
)


class RandomTexts:
    """In a text encoder's place: the same numbers for the same prompt."""

    def __init__(self, kind: Architecture, device: torch.device) -> None:
        self._kind = kind
        self._device = device

    def forget(self) -> None:
        """Nothing is remembered."""

    def encoded(self, prompt: str, *_: object) -> Encoded:
        """One chunk of tokens; the whole too, for a model of the SDXL kind."""
        generator = torch.Generator().manual_seed(len(prompt))
        hidden = torch.randn((1, TOKENS, self._kind.text_width), generator=generator).to(self._device)
        whole = torch.randn((1, self._kind.pooled), generator=generator).to(self._device)
        return Encoded(hidden, whole if self._kind.pooled else None)


@dataclass(frozen=True)
class Parts:
    """The networks of a model."""

    kind: Architecture
    unet: Any
    vae: Any
    moving: Any | None


def random_parts(kind: Architecture, device: torch.device, dtype: torch.dtype, motion: bool = False) -> Parts:
    """Networks of that kind, made on the device."""
    unets: Any = UNet2DConditionModel
    vaes: Any = AutoencoderKL
    adapters: Any = MotionAdapter
    motion_unets: Any = UNetMotionModel
    torch.manual_seed(0)
    with torch.device(device):
        unet = _still(unets(**kind.unet)).to(dtype)
        vae = _still(vaes(**kind.vae))
        moving = None
        if motion and kind.motion:
            moving = _still(motion_unets.from_unet2d(unet, adapters(**kind.motion).to(dtype)))
    return Parts(kind, unet, vae, moving)


def _still(network: Any) -> Any:  # noqa: ANN401  diffusers is untyped
    return network.eval().requires_grad_(False)


def random_model(parts: Parts, device: torch.device, dtype: torch.dtype, motion: bool = False) -> Model:
    """The networks as the engine's model."""
    kind = parts.kind
    unet = parts.moving if motion else parts.unet
    assert unet is not None
    if device.type == "cuda":
        unet = unet.to(memory_format=torch.channels_last)
    if motion:
        norm_per_frame(unet)
    fitting = Fitting(Meter(device))

    def as_network(extra: Extra | None = None) -> Network:
        return motion_network(unet, extra) if motion else still_network(unet, extra)

    return Model(
        network=as_network(),
        table=SigmaTable(betas_of({})),
        prediction="epsilon",
        codec=Codec(parts.vae, device, dtype, fitting),
        text=cast(TextEncoder, RandomTexts(kind, device)),
        latent_channels=4,
        takes_concat=False,
        longest_context=32 if motion else None,
        extended=as_network,
        control_shape=(),
        family="sdxl" if kind.pooled else "sd1",
        wants_vector=bool(kind.pooled),
        overlay=Overlay(unet, []),
        unet=unet,
        size=weight_bytes(unet, parts.vae),
        fitting=fitting,
    )


class OneModel(ModelCache):
    """A cache that always gives the same model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def get(
        self, folder: Path, motion: Motion | bool = False, adapters: tuple[Path, ...] = (), apart: bool = False
    ) -> Model:
        """The one model."""
        return self._model


def operations(kind: Architecture, side: int, steps: int, motion_frames: int = 0) -> float:
    """Floating-point operations of one crop of `side` x `side` px: encoder, `steps` steps with two texts, decoder."""
    from torch.utils.flop_counter import FlopCounterMode

    device = torch.device("meta")
    parts = random_parts(kind, device, torch.float32, motion=motion_frames > 0)
    latent = side // 8
    counted: list[float] = []

    def count(call: Any) -> None:  # noqa: ANN401  any call
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        counted.append(float(counter.get_total_flops()))

    rows = max(1, motion_frames)
    text = torch.empty((rows, TOKENS, kind.text_width), device=device)
    step = torch.ones((), device=device)
    if motion_frames:
        clip = torch.empty((1, 4, rows, latent, latent), device=device)
        count(lambda: parts.moving(clip, step, encoder_hidden_states=text) if parts.moving else None)
    else:
        x = torch.empty((1, 4, latent, latent), device=device)
        told = {
            "text_embeds": torch.empty((1, kind.pooled), device=device),
            "time_ids": torch.empty((1, 6), device=device),
        }
        added = told if kind.pooled else None
        count(lambda: parts.unet(x, step, encoder_hidden_states=text, added_cond_kwargs=added))
    count(lambda: parts.vae.encode(torch.empty((1, 3, side, side), device=device)))
    count(lambda: parts.vae.decode(torch.empty((1, 4, latent, latent), device=device)))
    return counted[0] / rows * 2 * steps + counted[1] + counted[2]
