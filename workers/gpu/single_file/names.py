"""Names of weights: diffusers' and transformers' -> those of the original code (CompVis, Stability AI, OpenCLIP)."""

from __future__ import annotations

import re
from collections.abc import Collection

_Rules = tuple[tuple[str, str], ...]

_UNET_ENDS: _Rules = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
)
_UNET_RESNET: _Rules = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)
_VAE: _Rules = (
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
    (r"\.attn_1\.to_([qkv])\.", r".attn_1.\1."),
    (r"\.attn_1\.to_out\.0\.", ".attn_1.proj_out."),
    (r"\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
)
_OPEN_CLIP: _Rules = (
    (r"^text_model\.", ""),
    (r"^embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"^encoder\.layers\.(\d+)\.", r"transformer.resblocks.\1."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.self_attn\.[qkv]_proj\.", ".attn.in_proj_"),
)


def unet_name(name: str, layers_per_block: int, names: Collection[str]) -> str:
    """The original name of a UNet2DConditionModel's weight.

    Args:
        names: of all weights: whether an up block has attentions decides a number.
    """
    stride = layers_per_block + 1
    match = re.match(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)$", name)
    if match is None:
        ends = _replaced(name, _UNET_ENDS)
        return _replaced(ends, _UNET_RESNET) if ".resnets." in name else ends
    block, number = int(match[2]), int(match[4])
    if match[3] == "downsamplers":
        return f"input_blocks.{(block + 1) * stride}.0.op.{match[5].removeprefix('conv.')}"
    if match[3] == "upsamplers":
        place = 2 if f"up_blocks.{block}.attentions.0.norm.weight" in names else 1
        return f"output_blocks.{block * stride + layers_per_block}.{place}.{match[5]}"
    place = block * stride + number
    where = f"input_blocks.{place + 1}" if match[1] == "down" else f"output_blocks.{place}"
    if match[3] == "attentions":
        return f"{where}.1.{match[5]}"
    return _replaced(f"{where}.0.{match[5]}", _UNET_RESNET)


def vae_name(name: str, levels: int) -> str:
    """The original name of an AutoencoderKL's weight; the original counts the decoder's levels from the picture."""
    match = re.match(r"^decoder\.up_blocks\.(\d+)\.(?:resnets\.(\d+)|upsamplers\.0)\.(.*)$", name)
    if match is None:
        return _replaced(name, _VAE)
    level = levels - 1 - int(match[1])
    if match[2] is None:
        return f"decoder.up.{level}.upsample.{match[3]}"
    return _replaced(f"decoder.up.{level}.block.{match[2]}.{match[3]}", _VAE)


def open_clip_name(name: str) -> str:
    """OpenCLIP's name of a CLIPTextModel's weight; queries, keys and values share one, one after the other."""
    return _replaced(name, _OPEN_CLIP)


def _replaced(name: str, rules: _Rules) -> str:
    for pattern, text in rules:
        name = re.sub(pattern, text, name)
    return name
