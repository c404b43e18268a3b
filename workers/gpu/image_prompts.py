"""IP-Adapters: pictures beside the text, by way of a CLIP vision model (Ye et al. 2023, arXiv:2308.06721).

An IP-Adapter changes a UNet's attention for good, so a model with one is a model of its own in memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from farm.detail.blend import Pixels
from workers.gpu.faults import BadModel, memory_errors

ENCODER_FOLDER = "image_encoder"
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the red, green and blue that CLIP was trained on."""


@dataclass(frozen=True)
class ImagePrompt:
    """What an IP-Adapter is shown, and when it acts."""

    weight: float
    highest: float
    """Noise level at which it begins to act."""
    lowest: float
    """The same, at which it ends."""
    shown: Tensor
    """Of each row, `[rows, width]` or `[rows, tokens, width]`."""
    blank: Tensor
    """The same for no picture, `[1, ...]`: what stands beside the negative prompt."""


@dataclass(frozen=True)
class ImagePrompts:
    """All IP-Adapters of a batch, in the order in which the UNet has them."""

    parts: tuple[ImagePrompt, ...]
    unet: Any
    per_clip: bool
    """The UNet has one picture for all frames of a window: that of the first."""

    def only(self, rows: slice) -> ImagePrompts:
        """The same for some of the rows."""
        return replace(self, parts=tuple(replace(part, shown=part.shown[rows]) for part in self.parts))

    def arguments(self, rows: Sequence[int], sigma: Tensor, negative: Sequence[bool]) -> dict[str, Any]:
        """The UNet's arguments for these rows of the batch at this noise level.

        Args:
            negative: for each text of the call, whether it is a negative prompt.
        """
        level = float(sigma)
        set_scales(self.unet, [p.weight if p.lowest <= level <= p.highest else 0.0 for p in self.parts])
        wanted = list(rows)[:1] if self.per_clip else list(rows)
        embeds = []
        for part in self.parts:
            shown, blank = part.shown[wanted], part.blank.expand(len(wanted), *part.blank.shape[1:])
            each = torch.cat([blank if away else shown for away in negative])
            embeds.append(each[:, None].to(self.unet.dtype))
        return {"added_cond_kwargs": {"image_embeds": embeds}}


class Adapters:
    """The IP-Adapters that a UNet was loaded with."""

    def __init__(self, unet: Any, folders: Sequence[Path], device: torch.device, dtype: torch.dtype) -> None:  # noqa: ANN401  diffusers is untyped
        """Changes `unet`. Raises BadModel, OutOfMemory."""
        states = [_weights(folder) for folder in folders]
        try:
            unet._load_ip_adapter_weights(states, low_cpu_mem_usage=False)
        except (KeyError, RuntimeError, ValueError) as error:
            names = ", ".join(repr(folder.name) for folder in folders)
            raise BadModel(
                f"the IP-Adapter {names} was made for another kind of model ({error})",
                "choose one that was made for the job's model",
            ) from error
        self._layers = list(unet.encoder_hid_proj.image_projection_layers)
        with memory_errors("load the IP-Adapter's image encoder"):
            self._encoders = [_encoder(folder, device, dtype) for folder in folders]

    def shown(self, number: int, pictures: Sequence[Pixels]) -> tuple[Tensor, Tensor]:
        """What adapter `number` is told of pictures `[h, w, 3]`, and of none: `[n, ...]` and `[1, ...]`."""
        encoder, whole = self._encoders[number], isinstance(self._layers[number], ImageProjection)
        pixels = torch.cat([_prepared(picture, encoder.config.image_size) for picture in pictures])
        pixels = pixels.to(encoder.device, encoder.dtype)
        with memory_errors("look at the pictures of an IP-Adapter"):
            if whole:
                embeds = encoder(pixels).image_embeds.float()
                return embeds, torch.zeros_like(embeds[:1])
            both = encoder(torch.cat([pixels, torch.zeros_like(pixels[:1])]), output_hidden_states=True)
            hidden = both.hidden_states[-2].float()
            return hidden[:-1], hidden[-1:]


def set_scales(unet: Any, scales: Sequence[float]) -> None:  # noqa: ANN401  diffusers is untyped
    """How strongly each IP-Adapter of a UNet acts from now on."""
    for processor in unet.attn_processors.values():
        if isinstance(processor, IPAdapterAttnProcessor | IPAdapterAttnProcessor2_0):
            processor.scale = list(scales)


def _prepared(picture: Pixels, side: int) -> Tensor:
    """`[1, 3, side, side]`: the shorter side scaled to `side`, the middle cut out, in CLIP's units."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    height, width = pixels.shape[2:]
    scale = side / min(height, width)
    size = max(side, round(height * scale)), max(side, round(width * scale))
    pixels = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    pixels = pixels[:, :, top : top + side, left : left + side]
    mean, deviation = (torch.tensor(values)[None, :, None, None] for values in (MEAN, DEVIATION))
    return (pixels - mean) / deviation


def _weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """`image_proj` and `ip_adapter`, each by the rest of the name."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    remedy = "put the adapter's one .safetensors file and the folder image_encoder/ into one folder"
    if len(files) != 1:
        raise BadModel(f"the IP-Adapter {folder.name!r} has {len(files)} .safetensors files", remedy)
    found: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    try:
        tensors = load_file(files[0])
    except (OSError, SafetensorError) as error:
        raise BadModel(f"the IP-Adapter {folder.name!r} cannot be read: {error}", "repair the folder") from error
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part in found:
            found[part][rest] = tensor
    if not all(found.values()):
        raise BadModel(f"the file {files[0].name!r} is no IP-Adapter", remedy)
    return found


def _encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:  # noqa: ANN401  transformers is untyped
    kind: Any = CLIPVisionModelWithProjection
    try:
        encoder = kind.from_pretrained(folder / ENCODER_FOLDER, local_files_only=True, use_safetensors=True)
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, ValueError) as error:
        raise BadModel(
            f"the IP-Adapter {folder.name!r} has no image encoder that can be read: {error}",
            "put the CLIP vision model that it was trained with into its folder as image_encoder/",
        ) from error
    return encoder.to(device, dtype).eval().requires_grad_(False)
