"""Files of weights without weights worth the name, for tests of what looks at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]


def write_weights(path: Path, shapes: Shapes, notes: Mapping[str, str] | None = None) -> Path:
    """A `.safetensors` file of empty tensors: headers tell of any shape, data has no bytes."""
    header: dict[str, object] = {
        name: {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]} for name, shape in shapes.items()
    }
    if notes:
        header["__metadata__"] = dict(notes)
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


def checkpoint(family: str, tokens: int = 49_408, **changes: tuple[int, ...] | None) -> Shapes:
    """The weights by which a checkpoint of a family is known; None leaves one out."""
    prefix, width = {
        "sd1": ("cond_stage_model.transformer.text_model.embeddings.", 768),
        "sd2": ("cond_stage_model.model.", 1024),
        "sdxl": ("conditioner.embedders.1.model.", 2048),
        "sdxl_refiner": ("conditioner.embedders.0.model.", 1280),
    }[family]
    unet = "model.diffusion_model."
    shapes: dict[str, tuple[int, ...] | None] = {
        f"{unet}input_blocks.0.0.weight": (320, 4, 3, 3),
        f"{unet}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, width),
        f"{unet}out.2.weight": (4, 320, 3, 3),
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
        f"{prefix}token_embedding.weight": (tokens, 768),
    }
    return {name: shape for name, shape in {**shapes, **changes}.items() if shape is not None}
