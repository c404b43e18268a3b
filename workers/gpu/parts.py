"""The networks of a model, from a folder in diffusers' layout or from a single file: read, not yet put to work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from pydantic import BaseModel, ConfigDict
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from farm.adapters.model_facts import SINGLE, facts_of
from farm.adapters.model_sources import LocalFiles
from farm.domain.model import FAMILY_NAMES, Family
from workers.gpu.clip import ClipText, LayerRule, Slot
from workers.gpu.faults import BadModel
from workers.gpu.motion import MotionNorm
from workers.gpu.single_file.loading import load_texts, load_unet, load_vae, opened, scheduler_config

SLOTS: dict[Family, tuple[Slot, ...]] = {
    "sd1": ("clip_l",),
    "sd2": ("clip_h",),
    "sdxl": ("clip_l", "clip_g"),
    "sdxl_refiner": ("clip_g",),
}
"""Text encoders of a family, in the order in which their values are laid side by side."""
LAYERS: dict[Family, LayerRule] = {
    "sd1": LayerRule(-1, normed=True),
    "sd2": LayerRule(-2, normed=True),
    "sdxl": LayerRule(-2, normed=False),
    "sdxl_refiner": LayerRule(-2, normed=False),
}
_FOLDERS: dict[Slot, str] = {"clip_l": "", "clip_h": "", "clip_g": "_2"}


class FarmFile(BaseModel):
    """What a model's folder may say about itself, in `farm.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    motion_norm: MotionNorm | None = None
    """What the group norms of the folder's motion module go over. Not given: it is one of AnimateDiff's or was
    converted from one, and is run as its version was trained, with its version's betas (PARITY 7). `window`: as
    diffusers has it, with the betas of the model's own scheduler."""
    prediction_type: Literal["epsilon", "v_prediction"] | None = None
    """What a single file's network predicts, where the file does not tell."""
    recommended: dict[str, float | int | str] = {}
    """Parameters that suit the model, by the nodes' names; for people and for defaults of a form."""


@dataclass(frozen=True)
class Parts:
    """A model's networks, on the CPU."""

    family: Family
    unet: Any
    vae: Any
    clips: Sequence[ClipText]
    scheduler: dict[str, Any]
    """As in `scheduler_config.json`."""
    about: FarmFile


def read_parts(folder: Path, dtype: torch.dtype) -> Parts:
    """The networks in a folder; safetensors only, nothing but local files. Raises BadModel, and what libraries raise.

    Args:
        dtype: of the UNet; VAE and text encoders are float32.
    """
    about = FarmFile.model_validate(_document(folder / "farm.json", {}))
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    facts = facts_of(LocalFiles(names), folder.name)
    if facts.kind != "model" or not facts.family:
        raise BadModel(f"it is a {facts.kind} without a UNet of a known kind", "give a whole model")
    if (folder / SINGLE).is_file():
        return _single(folder, facts.family, dtype, about)
    scheduler = _document(folder / "scheduler" / "scheduler_config.json", None)
    if about.prediction_type is not None:
        scheduler["prediction_type"] = about.prediction_type
    unet = read_part(UNet2DConditionModel, folder / "unet", dtype)
    vae = read_part(AutoencoderKL, folder / "vae", torch.float32)
    clips = [_folder_clip(folder, facts.family, slot) for slot in SLOTS[facts.family]]
    return checked(Parts(facts.family, unet, vae, clips, scheduler, about))


def read_vae(folder: Path) -> Any:  # noqa: ANN401  diffusers is untyped
    """A VAE of its own, from a folder or a single file. Raises BadModel, and what libraries raise."""
    if (folder / SINGLE).is_file():
        return load_vae(opened(folder / SINGLE), "")
    return read_part(AutoencoderKL, folder, torch.float32)


def read_part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:  # noqa: ANN401  diffusers and transformers are untyped
    """One network, from its own folder."""
    if not folder.is_dir():
        raise BadModel(f"it has no folder {folder.name!r}", "add it: the layout is diffusers'")
    # Hubs name half-precision weights so, and some folders hold nothing else.
    plain = any(file for file in folder.glob("*.safetensors") if ".fp16." not in file.name)
    variant = None if plain or not any(folder.glob("*.fp16.*safetensors")) else "fp16"
    options = {"local_files_only": True, "use_safetensors": True, "variant": variant}
    return kind.from_pretrained(folder, torch_dtype=dtype, **options)


def checked(parts: Parts) -> Parts:
    """The same. Raises BadModel: the UNet is of a kind that the engine does not run."""
    config = parts.unet.config
    if config.class_embed_type is not None or config.num_class_embeds is not None:
        raise BadModel("its UNet wants a class, as those that enlarge pictures do", "use one that is told a text alone")
    told = config.addition_embed_type
    if told not in (None, "text_time"):
        raise BadModel(f"its UNet wants {told!r} besides the text", "use Stable Diffusion 1.x, 2.x or SDXL")
    channels = parts.vae.config.latent_channels
    if config.in_channels not in (channels, 2 * channels + 1):
        raise BadModel(
            f"its UNet takes {config.in_channels} channels, for latents of {channels}",
            f"use one that takes {channels}, or {2 * channels + 1} (an inpaint model)",
        )
    width = sum(clip.width for clip in parts.clips)
    if config.cross_attention_dim != width:
        raise BadModel(
            f"its UNet reads text of width {config.cross_attention_dim}, its text encoders give {width} "
            f"({FAMILY_NAMES[parts.family]})",
            "use parts that belong together",
        )
    return parts


def _single(folder: Path, family: Family, dtype: torch.dtype, about: FarmFile) -> Parts:
    checkpoint = opened(folder / SINGLE)
    texts = load_texts(checkpoint, family, folder)
    clips = [
        ClipText(tokenizer, encoder, LAYERS[family], slot)
        for (tokenizer, encoder), slot in zip(texts, SLOTS[family], strict=True)
    ]
    scheduler = scheduler_config(checkpoint, family, about.prediction_type)
    unet = load_unet(checkpoint, family, dtype)
    return checked(Parts(family, unet, load_vae(checkpoint, family), clips, scheduler, about))


def _folder_clip(folder: Path, family: Family, slot: Slot) -> ClipText:
    end = _FOLDERS[slot]
    kind = CLIPTextModelWithProjection if slot == "clip_g" else CLIPTextModel
    encoder = read_part(kind, folder / f"text_encoder{end}", torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{end}", local_files_only=True)
    rule = LAYERS[family]
    if family == "sd2":
        rule = LayerRule(rule.default, rule.normed, cut=1)
    return ClipText(tokenizer, encoder, rule, slot)


def _document(path: Path, missing: dict[str, Any] | None) -> dict[str, Any]:
    if not path.is_file() and missing is not None:
        return missing
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
