"""Tiny models of the real classes with random weights, saved as their makers save them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from tests.unit.gpu.demo import FOLDER

UNET: Any = UNet2DConditionModel
ADAPTER: Any = MotionAdapter
CHANNELS = (32, 64)
LATENT_CHANNELS, TEXT_WIDTH = 32, 128
"""Of the embedded model, whose VAE and text encoder the tiny models share."""


def tiny_unet(seed: int = 0, channels: tuple[int, ...] = CHANNELS, **config: object) -> Any:  # noqa: ANN401  untyped
    """A UNet2DConditionModel with a block per entry of `channels`, cross attention in all but the last."""
    torch.manual_seed(seed)
    crossed = len(channels) - 1
    values: dict[str, object] = {
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "down_block_types": ("CrossAttnDownBlock2D",) * crossed + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * crossed,
        "block_out_channels": channels,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 4,
        "cross_attention_dim": TEXT_WIDTH,
    }
    return UNET(**(values | config)).eval()


def tiny_folder(folder: Path, unet: Any) -> Path:  # noqa: ANN401  diffusers is untyped
    """A model folder with that UNet, without a motion module; everything else is the embedded model's."""
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.copytree(FOLDER / part, folder / part)
    unet.save_pretrained(folder / "unet")
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = {"prediction_type": "epsilon", "num_train_timesteps": 1000} | betas
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    (folder / "model_index.json").write_text("{}")
    return folder


def tiny_adapter(seed: int = 1, length: int = 32, middle: bool = False, channels: tuple[int, ...] = CHANNELS) -> Any:  # noqa: ANN401  diffusers is untyped
    """A MotionAdapter: v1 has a `length` of 24, v2 a middle, v3 neither."""
    torch.manual_seed(seed)
    return ADAPTER(
        block_out_channels=channels,
        motion_layers_per_block=1,
        motion_max_seq_length=length,
        motion_num_attention_heads=8,
        use_motion_mid_block=middle,
    ).eval()


def original_layout(adapter: Any) -> dict[str, Tensor]:  # noqa: ANN401  diffusers is untyped
    """The adapter's weights as AnimateDiff's own files have them."""
    found = {}
    for key, value in adapter.state_dict().items():
        name = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", key)
        if name.endswith("pos_embed.pe"):
            for block in range(2):
                found[name.replace("pos_embed", f"attention_blocks.{block}.pos_encoder")] = value.clone()
            continue
        for ours, theirs in (
            ("norm1", "norms.0"),
            ("norm2", "norms.1"),
            ("norm3", "ff_norm"),
            ("attn1", "attention_blocks.0"),
            ("attn2", "attention_blocks.1"),
        ):
            name = name.replace(f".{ours}.", f".{theirs}.")
        found[name] = value.clone()
    return found


def motion_file(path: Path, adapter: Any, prefix: str = "") -> Path:  # noqa: ANN401  diffusers is untyped
    """The adapter in AnimateDiff's own layout."""
    return saved(path, {prefix + key: value for key, value in original_layout(adapter).items()})


def saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Tensors as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path


def lora_tensors(adapter: Any, rank: int = 2, seed: int = 2, form: str = "original") -> dict[str, Tensor]:  # noqa: ANN401
    """A motion LoRA for every attention projection of the adapter, in one of three spellings."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for key, weight in adapter.state_dict().items():
        match = re.fullmatch(r"(.+\.attn[12])\.(to_q|to_k|to_v|to_out)(\.0)?\.weight", key)
        if match is None:
            continue
        down = torch.randn((rank, weight.shape[1]), generator=generator) / 8
        up = torch.randn((weight.shape[0], rank), generator=generator) / 8
        layer, name = match[1], match[2]
        if form == "peft":
            dotted = f"unet.{layer}.{name}{match[3] or ''}"
            found |= {f"{dotted}.lora_A.weight": down, f"{dotted}.lora_B.weight": up}
            continue
        if form == "original":
            layer = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", layer)
            layer = layer.replace("attn1", "attention_blocks.0").replace("attn2", "attention_blocks.1")
        start = f"{layer}.processor.{name}_lora"
        found |= {f"{start}.down.weight": down, f"{start}.up.weight": up}
    return found


def same_weights(ours: Any, theirs: Any) -> bool:  # noqa: ANN401  diffusers is untyped
    """Whether two networks have the same weights by the same names."""
    one, other = ours.state_dict(), theirs.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
