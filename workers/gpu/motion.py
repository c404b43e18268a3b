"""Motion modules of AnimateDiff, in its own format and in diffusers', and what each kind was trained with.

A motion module is a folder with a diffusers MotionAdapter (`config.json` and weights), a folder with one `.safetensors`
file in the original layout, or that file. Pickles (`.ckpt`) are not opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import MotionAdapter
from diffusers.loaders.single_file_utils import convert_animatediff_checkpoint_to_diffusers
from safetensors.torch import load_file
from torch import Tensor

from workers.gpu.faults import BadModel
from workers.gpu.sigmas import betas_of

MotionNorm = Literal["per_frame", "window", "all_window"]
"""What the group norm at the entry of each motion module goes over: each frame by itself, or all frames of the window;
`all_window`: over the window, and every other group norm of the UNet too."""
Version = Literal["v1", "v2", "v3", "sdxl"]

_ADAPTER: Any = MotionAdapter
diffusers_names: Callable[[dict[str, Tensor]], dict[str, Tensor]] = convert_animatediff_checkpoint_to_diffusers
"""AnimateDiff's names of tensors as diffusers'; those of positions are left out, others left alone."""

HEADS, GROUPS = 8, 32
"""Attention heads and norm groups of every motion module that was published; the files do not say."""
V1_LENGTH, LENGTH = 24, 32
"""Frames that modules of the first version, and of all others, were trained with."""
PICKLES = ("*.ckpt", "*.pt", "*.pth", "*.bin")
SD_BETAS = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
SDXL_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.02}
"""Noise schedules of AnimateDiff's published configurations, SD 1.5 and SDXL."""
POSITIONS_OFF = 0.05
"""How far, of 1, a file's positions may be from the sinusoid: half precision is off by less."""


@dataclass(frozen=True)
class MotionModule:
    """A motion module, read."""

    adapter: Any
    """diffusers' MotionAdapter."""
    version: Version

    @property
    def longest(self) -> int:
        """Frames that it sees at the most."""
        return int(self.adapter.config.motion_max_seq_length)

    @property
    def norm(self) -> MotionNorm:
        """How it was trained (PARITY 7): the first version with all norms over the window, the others per frame."""
        return "all_window" if self.version == "v1" else "per_frame"

    @property
    def betas(self) -> Tensor:
        """The noise schedule that it was trained with, float64."""
        return betas_of(SDXL_BETAS if self.version == "sdxl" else SD_BETAS)


def read_motion(place: Path, dtype: torch.dtype, sdxl: bool = False) -> MotionModule:
    """The motion module at a place: a folder or a file.

    Args:
        sdxl: for a UNet of the SDXL kind.
    Raises:
        BadModel: nothing there is a motion module; the text says what was seen.
    """
    if (place / "config.json").is_file():
        adapter = _ADAPTER.from_pretrained(place, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
    else:
        adapter = adapter_of(load_file(weights_file(place, "motion module"))).to(dtype)
    return MotionModule(adapter, version_of(adapter.config, sdxl))


def version_of(config: Mapping[str, Any], sdxl: bool) -> Version:
    """Which of AnimateDiff's versions a MotionAdapter is: by its UNet, its middle, and the frames that it sees."""
    if sdxl:
        return "sdxl"
    if config["use_motion_mid_block"]:
        return "v2"
    return "v1" if config["motion_max_seq_length"] <= V1_LENGTH else "v3"


def weights_file(place: Path, what: str) -> Path:
    """The one `.safetensors` file of a place. Raises BadModel."""
    if place.is_file() and place.suffix == ".safetensors":
        return place
    found = sorted(place.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    pickles = [path.name for pattern in PICKLES for path in place.glob(pattern)]
    if pickles or (place.is_file() and not found):
        name = pickles[0] if pickles else place.name
        raise BadModel(
            f"its {what} {name!r} is a pickle, which runs code when it is read", "convert it to .safetensors"
        )
    seen = f"{len(found)} .safetensors files" if found else "no .safetensors file"
    raise BadModel(f"its {what} {place.name!r} has {seen}", "give a folder with one, or a diffusers MotionAdapter")


def adapter_of(tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401  diffusers is untyped
    """A MotionAdapter with the weights of a file, in AnimateDiff's layout or in diffusers'; its sizes are read off.

    Positions are not weights: they are computed anew, and what the file says of them must be the same.
    """
    plain = {key.removeprefix("module."): value.float() for key, value in tensors.items()}
    if any(".temporal_attentions." in key for key in plain):
        raise BadModel("its motion module is of the HotshotXL kind", "use one of AnimateDiff's")
    config = _sizes(plain)
    if not config:
        raise BadModel(
            f"its motion module has no motion layers; it begins with {next(iter(sorted(plain)), 'nothing')!r}",
            "choose a file of AnimateDiff's, such as mm_sd_v15_v2 or v3_sd15_mm",
        )
    adapter = _ADAPTER(**config)
    converted = diffusers_names(plain)
    wanted = adapter.state_dict()
    # Only sizes and names are compared here; `load_state_dict` would list thousands of them.
    _compare(
        {k: v.shape for k, v in converted.items()}, {k: v.shape for k, v in wanted.items() if "pos_embed" not in k}
    )
    _check_positions(plain, wanted)
    adapter.load_state_dict(converted, strict=False)
    return adapter


_LAYER = re.compile(
    r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?motion_modules\.(\d+)\.(?:temporal_transformer\.)?"
)
_BLOCK = re.compile(r"\.transformer_blocks\.(\d+)\.")


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a MotionAdapter must be made with; empty if there are no motion layers at all."""
    layers: dict[int, int] = {}
    channels: dict[int, int] = {}
    middle, depth, length = 0, 1, LENGTH
    for key, value in tensors.items():
        found = _LAYER.match(key)
        if found is None:
            continue
        part, block, layer = found.groups()
        if part == "mid_block":
            middle = max(middle, int(layer) + 1)
        if part == "down_blocks":
            layers[int(block)] = max(layers.get(int(block), 0), int(layer) + 1)
            if key.endswith("norm.weight") and value.ndim == 1 and ".transformer_blocks." not in key:
                channels[int(block)] = len(value)
        deeper = _BLOCK.search(key)
        depth = max(depth, int(deeper[1]) + 1 if deeper else 1)
        if key.endswith(("pos_encoder.pe", "pos_embed.pe")):
            length = value.shape[1]
    if not layers or sorted(layers) != sorted(channels) or sorted(layers) != list(range(len(layers))):
        return {}
    return {
        "block_out_channels": tuple(channels[i] for i in sorted(channels)),
        "motion_layers_per_block": _same(tuple(layers[i] for i in sorted(layers))),
        "motion_transformer_layers_per_block": depth,
        "motion_mid_block_layers_per_block": max(1, middle),
        "motion_num_attention_heads": HEADS,
        "motion_norm_num_groups": GROUPS,
        "motion_max_seq_length": length,
        "use_motion_mid_block": middle > 0,
    }


def _same(values: tuple[int, ...]) -> int | tuple[int, ...]:
    return values[0] if len(set(values)) == 1 else values


def _compare(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    strange = sorted(set(found) - set(wanted) - {key for key in found if "pos_embed" in key})
    missing = sorted(set(wanted) - set(found))
    other = sorted(key for key in set(found) & set(wanted) if found[key] != wanted[key])
    for names, fault in (
        (strange, "has layers of no motion module"),
        (missing, "lacks"),
        (other, "has another size at"),
    ):
        if names:
            raise BadModel(
                f"its motion module {fault}, {len(names)} in all: {names[0]!r}", "get the file anew, or choose another"
            )


def _check_positions(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    sinusoids = {value.shape[-1]: value for key, value in wanted.items() if key.endswith("pos_embed.pe")}
    for key, value in tensors.items():
        if not key.endswith(("pos_encoder.pe", "pos_embed.pe")):
            continue
        expected = sinusoids.get(value.shape[-1])
        if expected is None or expected.shape != value.shape or (expected - value).abs().max() > POSITIONS_OFF:
            raise BadModel(f"its motion module counts frames in its own way at {key!r}", "choose another")
