"""ControlNets from folders in diffusers' layout, kept in memory while they are used."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from safetensors import SafetensorError

from workers.gpu.faults import BadModel, memory_errors

KEPT = 4
"""ControlNets that a worker holds."""


class ControlNets:
    """ControlNets by folder; the least recently used leaves when there is no room."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._kept: OrderedDict[Path, Any] = OrderedDict()

    def get(self, folder: Path, wanted: tuple[object, ...]) -> Any:  # noqa: ANN401  diffusers is untyped
        """The ControlNet in `folder`.

        Args:
            wanted: `control_shape` of the UNet that it acts on.
        Raises:
            BadModel: the folder cannot be used, or was made for another kind of model.
            OutOfMemory.
        """
        folder = folder.resolve()
        if folder not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.popitem(last=False)
            with memory_errors(f"load the ControlNet {folder.name}"):
                self._kept[folder] = _load(folder).to(self._device, self._dtype).eval().requires_grad_(False)
        self._kept.move_to_end(folder)
        net = self._kept[folder]
        if control_shape(net.config) != wanted:
            raise BadModel(
                f"the ControlNet in {folder.name!r} was made for another kind of model",
                "choose one that was made for the job's model",
            )
        return net

    def clear(self) -> None:
        """Let all go."""
        self._kept.clear()


def control_shape(config: Any) -> tuple[object, ...]:  # noqa: ANN401  diffusers is untyped
    """What a ControlNet and the UNet that it acts on have in common: widths, depths and the text's width."""
    return (
        tuple(config.block_out_channels),
        _each(config.layers_per_block),
        _each(config.cross_attention_dim),
        tuple(config.down_block_types),
    )


def _each(value: Any) -> object:  # noqa: ANN401  diffusers is untyped
    return tuple(value) if isinstance(value, list | tuple) else value


def _load(folder: Path) -> Any:  # noqa: ANN401  diffusers is untyped
    kind: Any = ControlNetModel
    try:
        return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, ValueError) as error:
        raise BadModel(
            f"its folder {folder.name!r} is no ControlNet of diffusers' layout: {error}",
            "add a folder with config.json and safetensors, as `save_pretrained` writes it",
        ) from error
