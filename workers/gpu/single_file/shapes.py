"""Configurations of networks from the shapes of their weights, so that any size of a family is read alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workers.gpu.faults import BadModel

Shapes = Mapping[str, tuple[int, ...]]
"""Original name, without the part's prefix -> shape."""

SIZE_WIDTH = 256
"""Width of the embedding of each number that SDXL is told besides the text."""
HEAD_WIDTH = 64
"""Channels per attention head of every CLIP."""


def unet_config(shapes: Shapes, family: Mapping[str, Any]) -> dict[str, Any]:
    """Of a UNet2DConditionModel; `family` says what shapes do not. Raises BadModel."""
    levels, depths = _levels(shapes)
    channels = [shapes[f"input_blocks.{max(blocks)}.0.out_layers.3.weight"][0] for blocks in levels]
    middle = _depth(shapes, "middle_block.1.")
    texts = {shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")}
    if len(texts) != 1:
        raise BadModel("its UNet reads no text, or texts of several widths", "use Stable Diffusion 1.x, 2.x or SDXL")
    per_block = {len(blocks) for blocks in levels}
    if len(per_block) != 1:
        raise BadModel("its UNet's levels have different numbers of layers", "use Stable Diffusion 1.x, 2.x or SDXL")
    config: dict[str, Any] = {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": per_block.pop(),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [depth or middle for depth in depths],
        "cross_attention_dim": texts.pop(),
        "use_linear_projection": any(len(s) == 2 for n, s in shapes.items() if n.endswith("1.proj_in.weight")),
        "upcast_attention": bool(family["upcast_attention"]),
        # diffusers calls the number of heads so.
        "attention_head_dim": family.get("heads") or [side // int(family["head_width"]) for side in channels],
    }
    if "label_emb.0.0.weight" in shapes:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": SIZE_WIDTH,
            "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1],
        }
    return config


def vae_config(shapes: Shapes, scaling_factor: float) -> dict[str, Any]:
    """Of an AutoencoderKL."""
    levels = _count(shapes, r"^encoder\.down\.(\d+)\.")
    channels = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    return {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": _count(shapes, r"^encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "scaling_factor": scaling_factor,
    }


def text_config(shapes: Shapes, layout: str) -> dict[str, Any]:
    """Of a CLIPTextConfig; `layout` is `clip` (transformers' names, without `text_model.`) or `open_clip`."""
    if layout == "clip":
        tokens, positions = shapes["embeddings.token_embedding.weight"], shapes["embeddings.position_embedding.weight"]
        wide, layers = shapes["encoder.layers.0.mlp.fc1.weight"][0], _count(shapes, r"^encoder\.layers\.(\d+)\.")
    else:
        tokens, positions = shapes["token_embedding.weight"], shapes["positional_embedding"]
        wide = shapes["transformer.resblocks.0.mlp.c_fc.weight"][0]
        layers = _count(shapes, r"^transformer\.resblocks\.(\d+)\.")
    return {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "max_position_embeddings": positions[0],
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, tokens[1] // HEAD_WIDTH),
        "projection_dim": shapes["text_projection"][1] if "text_projection" in shapes else tokens[1],
        "hidden_act": "quick_gelu" if layout == "clip" else "gelu",
    }


def _levels(shapes: Shapes) -> tuple[list[list[int]], list[int]]:
    """Numbers of the input blocks with a residual layer, level by level, and how deep each level's attentions are."""
    levels: list[list[int]] = [[]]
    for number in range(1, _count(shapes, r"^input_blocks\.(\d+)\.")):
        if f"input_blocks.{number}.0.op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(number)
    if not all(levels):
        raise BadModel("its UNet has a level without layers", "use Stable Diffusion 1.x, 2.x or SDXL")
    return levels, [_depth(shapes, f"input_blocks.{blocks[0]}.1.") for blocks in levels]


def _depth(shapes: Shapes, prefix: str) -> int:
    return _count(shapes, rf"^{re.escape(prefix)}transformer_blocks\.(\d+)\.")


def _count(shapes: Shapes, pattern: str) -> int:
    found = [int(match[1]) for name in shapes if (match := re.match(pattern, name))]
    return max(found, default=-1) + 1
