"""Models of every family, random and as small as their architecture allows, as folders and as single files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from farm.adapters.model_facts import SINGLE
from farm.domain.model import Family
from tests.unit.gpu.demo import FOLDER
from workers.gpu.single_file.names import open_clip_name, unet_name, vae_name

TOKENIZER = FOLDER / "tokenizer"
"""A vocabulary of 994 tokens."""
WIDTH, SUMMARY = 64, 48
"""Of the text encoders' values, and of what sums up a text."""
CHANNELS = [64, 128]
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "sd1": ("cond_stage_model.transformer.",),
    "sd2": ("cond_stage_model.model.",),
    "sdxl": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
    "sdxl_refiner": ("conditioner.embedders.0.model.",),
}


class Tiny:
    """The networks of a model."""

    def __init__(self, family: Family, in_channels: int = 4, prediction: str = "epsilon") -> None:
        torch.manual_seed(7)
        self.family = family
        self.prediction = prediction
        make: Any = UNet2DConditionModel
        self.unet = make(**_unet_config(family, in_channels))
        vae: Any = AutoencoderKL
        self.vae = vae(**_vae_config(0.13025 if family.startswith("sdxl") else 0.18215))
        self.texts = [_text(layout) for layout in _layouts(family)]

    def folder(self, folder: Path) -> Path:
        """In diffusers' layout, as its pipelines save."""
        self.unet.save_pretrained(folder / "unet")
        self.vae.save_pretrained(folder / "vae")
        scheduler: Any = EulerDiscreteScheduler
        config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
        scheduler(**config, prediction_type=self.prediction).save_pretrained(folder / "scheduler")
        ends = ("_2",) if self.family == "sdxl_refiner" else ("", "_2")
        for text, end, layout in zip(self.texts, ends, _layouts(self.family), strict=False):
            if self.family == "sd2":
                text = _without_last_layer(text)
            text.save_pretrained(folder / f"text_encoder{end}")
            shutil.copytree(TOKENIZER, folder / f"tokenizer{end}", dirs_exist_ok=True)
            if layout == "open_clip":
                _pad_with_zero(folder / f"tokenizer{end}")
        (folder / "model_index.json").write_text("{}")
        return folder

    def single(self, folder: Path, notes: dict[str, str] | None = None) -> Path:
        """In the original layout, as a worker's cache has it, with the vocabulary."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
        state = self.original()
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, folder / SINGLE, notes)
        return folder

    def original(self) -> dict[str, Tensor]:
        """All weights, by their original names."""
        state = {f"model.diffusion_model.{name}": tensor for name, tensor in original_unet(self.unet).items()}
        state |= {f"first_stage_model.{name}": tensor for name, tensor in original_vae(self.vae).items()}
        for text, layout, prefix in zip(self.texts, _layouts(self.family), _PREFIXES[self.family], strict=True):
            state |= {prefix + name: tensor for name, tensor in original_text(text, layout).items()}
        return state


@cache
def tiny(family: Family, in_channels: int = 4, prediction: str = "epsilon") -> Tiny:
    """Made once for all tests, which leave it alone."""
    return Tiny(family, in_channels, prediction)


def original_unet(unet: Any) -> dict[str, Tensor]:  # noqa: ANN401 - diffusers is untyped
    """Its weights, by their original names."""
    state = unet.state_dict()
    return {unet_name(name, unet.config.layers_per_block, set(state)): tensor for name, tensor in state.items()}


def original_vae(vae: Any) -> dict[str, Tensor]:  # noqa: ANN401 - diffusers is untyped
    """Its weights, by their original names; attention is made of convolutions there."""
    found = {}
    for name, tensor in vae.state_dict().items():
        key = vae_name(name, len(vae.config.block_out_channels))
        found[key] = tensor[..., None, None] if ".attn_1." in key and tensor.ndim == 2 else tensor
    return found


def original_text(text: Any, layout: str) -> dict[str, Tensor]:  # noqa: ANN401 - transformers is untyped
    """Its weights, by their original names."""
    state: dict[str, Tensor] = {}
    for name, tensor in text.state_dict().items():
        full = name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"
        if layout == "clip":
            state[full] = tensor
        elif ".k_proj." in full or ".v_proj." in full:
            continue
        elif ".q_proj." in full:
            others = [text.state_dict()[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            state[open_clip_name(full)] = torch.cat(others)
        else:
            state[open_clip_name(full)] = tensor.T if full == "text_projection.weight" else tensor
    return state


def _layouts(family: Family) -> tuple[str, ...]:
    return {"sd1": ("clip",), "sdxl": ("clip", "open_clip")}.get(family, ("open_clip",))


def _unet_config(family: Family, in_channels: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "in_channels": in_channels,
        "out_channels": 4,
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "cross_attention_dim": WIDTH * len(_layouts(family)),
        "attention_head_dim": 8,
    }
    if family != "sd1":
        config |= {"use_linear_projection": True, "attention_head_dim": [side // 64 for side in CHANNELS]}
    if family == "sd2":
        config |= {"upcast_attention": True}
    if family.startswith("sdxl"):
        numbers = 6 if family == "sdxl" else 5
        config |= {
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
            "transformer_layers_per_block": [1, 2],
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": SUMMARY + 256 * numbers,
        }
    return config


def _vae_config(scaling: float) -> dict[str, Any]:
    return {
        "block_out_channels": [32, 32],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "layers_per_block": 1,
        "latent_channels": 4,
        "scaling_factor": scaling,
    }


def _text(layout: str) -> Any:  # noqa: ANN401 - transformers is untyped
    config: Any = CLIPTextConfig(
        vocab_size=994,
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=1,
        projection_dim=SUMMARY,
        hidden_act="quick_gelu" if layout == "clip" else "gelu",
        bos_token_id=992,
        eos_token_id=993,
        pad_token_id=993 if layout == "clip" else 0,
        initializer_range=0.3,
    )
    kind: Any = CLIPTextModel if layout == "clip" else CLIPTextModelWithProjection
    return kind(config).eval()


def _without_last_layer(text: Any) -> Any:  # noqa: ANN401 - transformers is untyped
    config: Any = CLIPTextConfig(**{**text.config.to_dict(), "num_hidden_layers": 2})
    shorter: Any = CLIPTextModel(config)
    state = {name.removeprefix("text_model."): tensor for name, tensor in text.state_dict().items()}
    shorter.load_state_dict({name: state[name.removeprefix("text_model.")] for name in shorter.state_dict()})
    return shorter.eval()


def _pad_with_zero(folder: Path) -> None:
    tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    (folder / "special_tokens_map.json").unlink()  # it would win
    tokenizer.save_pretrained(folder)
