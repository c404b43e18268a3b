"""LoRAs over a model's weights: laid over and taken off again in place, so that a model is kept in memory once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from workers.gpu.batch import LoraFile
from workers.gpu.faults import BadModel, memory_errors
from workers.gpu.lora_file import Change, plain_name, read_changes, text_aliases, unet_aliases

log = structlog.get_logger()

LEAST_SHARE = 0.5
"""Share of a LoRA's changes that must find their weight; less means that it was made for another kind of model."""


class Overlay:
    """The weights of a UNet and its text encoders, with what is laid over them.

    A weight is its original plus all changes, in float32, rounded once: laying another stack over it starts from the
    original again, whatever was there before.
    """

    def __init__(self, unet: Any, encoders: Sequence[nn.Module]) -> None:  # noqa: ANN401  diffusers is untyped
        self._unet = unet_aliases(unet)
        self._texts: dict[str, nn.Module] = {}
        for number, encoder in enumerate(encoders):
            self._texts |= text_aliases(encoder, number, len(encoders))
        self._laid: tuple[LoraFile, ...] = ()
        self._originals: dict[nn.Module, Tensor] = {}
        """Weights as they were, on the CPU."""

    def lay(self, loras: tuple[LoraFile, ...]) -> bool:
        """Have these over the weights, and no others; whether anything changed.

        Raises:
            BadModel: a file cannot be read, or was made for another kind of model; then nothing is laid over.
        """
        if loras == self._laid:
            return False
        self._restore()
        if loras:
            with memory_errors("lay LoRAs over the model"):
                try:
                    self._add(loras)
                except BaseException:
                    self._restore()
                    raise
        self._laid = loras
        return True

    def _restore(self) -> None:
        for module, original in self._originals.items():
            _weight(module).copy_(original)
        self._originals.clear()
        self._laid = ()

    def _add(self, loras: tuple[LoraFile, ...]) -> None:
        wanted: dict[nn.Module, list[tuple[LoraFile, str, Change, float]]] = {}
        for lora in loras:
            for name, module, change, strength in self._found(lora):
                if strength:
                    wanted.setdefault(module, []).append((lora, name, change, strength))
        for module, changes in wanted.items():
            weight = _weight(module)
            self._originals[module] = weight.to("cpu", copy=True)
            total = weight.to(torch.float32, copy=True)
            for lora, name, change, strength in changes:
                if not change.fits(weight.shape):
                    raise _misfit(lora, f"{name!r} does not fit a weight of {list(weight.shape)}")
                total += strength * change.added(weight.shape, weight.device)
            weight.copy_(total)

    def _found(self, lora: LoraFile) -> list[tuple[str, nn.Module, Change, float]]:
        changes = read_changes(lora.path)
        found, unknown = [], []
        for name, change in changes.items():
            known = plain_name(name)
            if known in self._unet:
                found.append((name, self._unet[known], change, lora.weight))
            elif known in self._texts:
                found.append((name, self._texts[known], change, lora.clip_weight))
            else:
                unknown.append(name)
        if not found or len(found) < LEAST_SHARE * len(changes):
            some = f", first {unknown[0]!r}" if unknown else ""
            raise _misfit(lora, f"{len(unknown)} of its {len(changes)} changes find no weight{some}")
        if unknown:
            log.warning("lora_partly_used", lora=lora.name, changes=len(changes), unused=len(unknown))
        return found


def _weight(module: nn.Module) -> Tensor:
    """Of a layer, for changing it in place."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _misfit(lora: LoraFile, fault: str) -> BadModel:
    return BadModel(
        f"the LoRA {lora.name or lora.path.name!r} was made for another kind of model: {fault}",
        "choose a LoRA of the model's kind, or leave it out",
    )
