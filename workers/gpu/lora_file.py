"""A LoRA's file (arXiv:2106.09685): which weights it changes, and by what; named as by kohya or by diffusers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from farm.adapters.model_facts import SINGLE
from workers.gpu.faults import BadModel
from workers.gpu.single_file.names import unet_name

_ENDS = (
    (re.compile(r"(\.lora_down|\.lora_A|[._]lora\.down|\.lora_linear_layer\.down)\.weight$"), "down"),
    (re.compile(r"(\.lora_up|\.lora_B|[._]lora\.up|\.lora_linear_layer\.up)\.weight$"), "up"),
    (re.compile(r"\.lora_mid\.weight$"), "middle"),
    (re.compile(r"\.alpha$"), "alpha"),
)
"""How the names of a change's parts end: kohya's, PEFT's, those of diffusers' attention processors."""


@dataclass(frozen=True)
class Change:
    """What a LoRA adds to one weight."""

    down: Tensor
    """`[rank, in]` or `[rank, in, k, k]`."""
    up: Tensor
    """`[out, rank]` or `[out, rank, 1, 1]`."""
    middle: Tensor | None
    """`[rank, rank, k, k]`, between the two, of a convolution that was taken apart."""
    alpha: float | None
    """None: the rank."""

    def fits(self, shape: torch.Size) -> bool:
        """Whether it is for a weight of this shape."""
        rank, inputs = self.down.shape[0], self.down[0].numel()
        if self.middle is not None:
            inputs *= self.middle[0, 0].numel()
        return self.up.shape[0] == shape[0] and self.up[0].numel() == rank and inputs == math.prod(shape[1:])

    def added(self, shape: torch.Size, device: torch.device) -> Tensor:
        """`alpha / rank * up @ down`, float32, of the weight's shape, which it must fit."""
        down, up = (part.to(device, torch.float32) for part in (self.down, self.up))
        rank = down.shape[0]
        if self.middle is not None:
            middle = self.middle.to(device, torch.float32)
            down = torch.einsum("si,rskl->rikl", down.flatten(1), middle)
        scale = 1.0 if self.alpha is None else self.alpha / rank
        return (up.flatten(1) @ down.flatten(1)).reshape(shape) * scale


def read_changes(path: Path) -> dict[str, Change]:
    """Base name in the file -> change. Raises BadModel."""
    file = path / SINGLE if path.is_dir() else path
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadModel(f"the LoRA {path.name!r} cannot be read: {error}", "add it again") from error
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, match = next(((kind, m) for end, kind in _ENDS if (m := end.search(name))), (None, None))
        if kind is None or match is None:
            raise BadModel(f"the LoRA has a part {name!r}, which plain LoRAs do not have", "use a plain LoRA")
        found.setdefault(name[: match.start()], {})[kind] = tensor
    return {name: _change(name, parts) for name, parts in found.items()}


def _change(name: str, parts: Mapping[str, Tensor]) -> Change:
    if "down" not in parts or "up" not in parts:
        raise BadModel(f"the LoRA has only {', '.join(parts)} for {name!r}", "fetch the file again")
    alpha = float(parts["alpha"]) if "alpha" in parts else None
    return Change(parts["down"], parts["up"], parts.get("middle"), alpha)


def unet_aliases(unet: Any) -> dict[str, nn.Module]:  # noqa: ANN401  diffusers is untyped
    """By which names LoRAs mean the layers of a UNet."""
    layers = {name: module for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    names = {f"{name}.weight" for name, _ in unet.named_modules()}
    per_block = unet.config.layers_per_block
    per_block = per_block if isinstance(per_block, int) else per_block[0]
    found: dict[str, nn.Module] = {}
    for name, module in layers.items():
        original = unet_name(f"{name}.weight", per_block, names).removesuffix(".weight")
        for alias in (name, original):
            found["lora_unet_" + alias.replace(".", "_")] = module
        found["unet." + name] = found[name] = module
    return found


def text_aliases(encoder: nn.Module, number: int, of: int) -> dict[str, nn.Module]:
    """By which names LoRAs mean the layers of text encoder `number`, from 0, of so many."""
    kohya = ("lora_te_", "lora_te1_") if number == 0 else (f"lora_te{number + 1}_",)
    if of == 1:
        # The one encoder of SDXL's refiner is the second one of its base model.
        kohya = (*kohya, "lora_te2_")
    prefix = "text_encoder." if number == 0 else f"text_encoder_{number + 1}."
    found: dict[str, nn.Module] = {}
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Linear):
            full = name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"
            found[prefix + full] = module
            for start in kohya:
                found[start + full.replace(".", "_")] = module
    return found


def plain_name(name: str) -> str:
    """A base name without what some savers put around or into it."""
    name = name.removeprefix("base_model.model.").replace(".processor.", ".")
    # Attention processors call the output's layer `to_out_lora`; it is the first of two.
    return re.sub(r"\.to_out$", ".to_out.0", name)
