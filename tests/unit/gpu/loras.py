"""LoRAs in every way of naming, for tests: one change, many names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

RANK = 3
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
"""Where the tiny models of Stable Diffusion 1.x have attention."""


def factors(out_width: int, in_width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`down` `[rank, in]` and `up` `[out, rank]`."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn((RANK, in_width), generator=dice), torch.randn((out_width, RANK), generator=dice)


def write_lora(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """As a worker's cache has it."""
    path.mkdir(parents=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path / "weights.safetensors")
    return path


def kohya(name: str, down: Tensor, up: Tensor, alpha: float | None = None) -> dict[str, Tensor]:
    """Named as by kohya's scripts; `name` has dots."""
    base = name.replace(".", "_")
    found = {f"{base}.lora_down.weight": down, f"{base}.lora_up.weight": up}
    return found if alpha is None else {**found, f"{base}.alpha": torch.tensor(alpha)}


def peft(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Named as by diffusers today."""
    return {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}


def processor(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Named as by diffusers' attention processors."""
    head, _, tail = name.rpartition(".attn")
    number, _, layer = tail.partition(".")
    layer = layer.removesuffix(".0")
    base = f"{head}.attn{number}.processor.{layer}_lora"
    return {f"{base}.down.weight": down, f"{base}.up.weight": up}
