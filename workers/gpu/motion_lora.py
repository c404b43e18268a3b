"""Motion LoRAs: a camera's move, learned as a small change of a motion module's weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workers.gpu.faults import BadModel
from workers.gpu.motion import diffusers_names

_SIDES = {"down": "down", "up": "up", "A": "down", "B": "up"}
_FORMS = (
    # AnimateDiff's own files, and diffusers' older ones: `...attn1.processor.to_q_lora.down.weight`.
    re.compile(r"(?P<layer>.+?)(?:\.processor)?\.(?P<name>to_[a-z]+)_lora\.(?P<side>down|up)\.weight"),
    # diffusers' newer ones: `...attn1.to_q.lora_A.weight`; others': `...to_q.lora.down.weight`, `...lora_down.weight`.
    re.compile(r"(?P<layer>.+)\.(?P<name>[a-z_0-9]+)\.lora[._](?P<side>A|B|down|up)(?:\.default)?\.weight"),
)
_ALPHA = re.compile(r"(?P<layer>.+?)\.(?P<name>to_[a-z]+)(?:_lora)?\.alpha")


def apply_motion_lora(adapter: Any, tensors: Mapping[str, Tensor], strength: float) -> None:  # noqa: ANN401  untyped
    """Adds `strength` times the LoRA's change to the weights of a MotionAdapter, in place.

    Args:
        tensors: of the file, in AnimateDiff's layout or in diffusers'.
    Raises:
        BadModel: it is no motion LoRA, or one for a motion module of another size.
    """
    pairs, alphas = _pairs(tensors)
    for layer, sides in pairs.items():
        weight = _weight(adapter, layer)
        if "down" not in sides or "up" not in sides:
            raise BadModel(f"its motion LoRA has one half only of {layer!r}", "get the file anew")
        change = sides["up"].float() @ sides["down"].float()
        if change.shape != weight.shape:
            raise BadModel(
                f"its motion LoRA changes {layer!r} of size {tuple(change.shape)}; the motion module's has "
                f"{tuple(weight.shape)}",
                "choose a LoRA that was made for this motion module",
            )
        scale = strength * alphas.get(layer, 1.0 * len(sides["down"])) / len(sides["down"])
        with torch.no_grad():
            weight.copy_((weight.float() + scale * change.to(weight.device)).to(weight.dtype))


def _pairs(tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Layer -> its two factors, and layer -> alpha, by diffusers' names."""
    plain = {key.removeprefix("module.").removeprefix("unet."): value for key, value in tensors.items()}
    pairs: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, value in diffusers_names(plain).items():
        found = next((match for form in _FORMS if (match := form.fullmatch(key))), None)
        alpha = _ALPHA.fullmatch(key)
        if found is not None:
            pairs.setdefault(_layer(found), {})[_SIDES[found["side"]]] = value
        elif alpha is not None:
            alphas[_layer(alpha)] = float(value)
        else:
            raise BadModel(f"its motion LoRA has {key!r}, which is no part of one", "choose another file")
    if not pairs:
        raise BadModel("its motion LoRA is empty", "choose another file")
    return pairs, alphas


def _layer(match: re.Match[str]) -> str:
    layer, name = match["layer"], match["name"]
    # An output projection is a layer and a dropout; the LoRA is of the first.
    return f"{layer}.{name}.0" if name == "to_out" else f"{layer}.{name}"


def _weight(adapter: Any, layer: str) -> Tensor:  # noqa: ANN401  diffusers is untyped
    if "motion_modules" not in layer:
        raise BadModel(f"its motion LoRA changes {layer!r}, which is no part of a motion module", "give it as a LoRA")
    try:
        weight: Tensor = adapter.get_submodule(layer).weight
    except AttributeError:
        raise BadModel(
            f"its motion LoRA changes {layer!r}, which the motion module does not have",
            "choose a LoRA that was made for this motion module",
        ) from None
    return weight
