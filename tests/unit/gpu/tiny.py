"""Networks with random weights, of the real classes and small."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.unit.gpu.demo import FOLDER


@cache
def demo_unet() -> Any:  # noqa: ANN401  diffusers is untyped
    """The embedded model's UNet."""
    kind: Any = UNet2DConditionModel
    return kind.from_pretrained(FOLDER / "unet", local_files_only=True)


def control_net(seed: int = 0, scale: float = 0.3, unet: Any = None) -> Any:  # noqa: ANN401  diffusers is untyped
    """A ControlNet for a UNet, or the embedded model's, whose way out is not 0 as in one that was never trained."""
    kind: Any = ControlNetModel
    net = kind.from_unet(demo_unet() if unet is None else unet, conditioning_embedding_out_channels=(4, 8, 8, 16))
    generator = torch.Generator().manual_seed(seed)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        for weights in layer.parameters():
            weights.data = torch.randn(weights.shape, generator=generator) * scale / max(1, weights[0].numel()) ** 0.5
    return net


def save_control_net(folder: Path, seed: int = 0, scale: float = 0.3) -> Path:
    """The same as a folder."""
    control_net(seed, scale).save_pretrained(folder)
    return folder


def save_narrow_net(folder: Path) -> Path:
    """A ControlNet that fits no model of the tests."""
    kind: Any = ControlNetModel
    kind(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
        conditioning_embedding_out_channels=(4, 4),
    ).save_pretrained(folder)
    return folder


def save_ip_adapter(folder: Path, seed: int = 0, patches: bool = False) -> Path:
    """An IP-Adapter for the embedded model with a vision model of its own, all of random weights.

    Args:
        patches: it looks at the parts of a picture (a `plus` adapter), not at the picture as a whole.
    """
    torch.manual_seed(seed)
    vision = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            projection_dim=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        )
    )
    vision.save_pretrained(folder / "image_encoder")
    unet = demo_unet()
    width = unet.config.cross_attention_dim
    tensors = _patch_projection(width) if patches else _whole_projection(width)
    found = {f"image_proj.{name}": tensor for name, tensor in tensors.items()}
    crossing = [processor for name, processor in _modules(unet) if name.endswith("attn2")]
    for number, attention in enumerate(crossing):
        for part in ("to_k_ip", "to_v_ip"):
            found[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(attention.inner_dim, width) * 0.2
    save_file(found, folder / "ip_adapter.safetensors")
    return folder


def _modules(unet: Any) -> list[tuple[str, Any]]:  # noqa: ANN401  diffusers is untyped
    """The UNet's attention layers in the order of its processors."""
    named = dict(unet.named_modules())
    return [(name.removesuffix(".processor"), named[name.removesuffix(".processor")]) for name in unet.attn_processors]


def _whole_projection(width: int) -> dict[str, torch.Tensor]:
    """As a plain adapter's file has it: 4 tokens."""
    return {
        "proj.weight": torch.randn(4 * width, 8),
        "proj.bias": torch.zeros(4 * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }


def _patch_projection(width: int) -> dict[str, torch.Tensor]:
    """As a `plus` adapter's file has it: a resampler with 4 layers and 4 tokens."""
    layers = {f"layers.{number}.{name}": tensor for number in range(4) for name, tensor in _layer(width, 64).items()}
    return layers | {
        "latents": torch.randn(1, 4, width),
        "proj_in.weight": torch.randn(width, 16),
        "proj_in.bias": torch.zeros(width),
        "proj_out.weight": torch.randn(width, width),
        "proj_out.bias": torch.zeros(width),
        "norm_out.weight": torch.ones(width),
        "norm_out.bias": torch.zeros(width),
    }


def _layer(width: int, inner: int) -> dict[str, torch.Tensor]:
    return {
        "0.norm1.weight": torch.ones(width),
        "0.norm1.bias": torch.zeros(width),
        "0.norm2.weight": torch.ones(width),
        "0.norm2.bias": torch.zeros(width),
        "0.to_q.weight": torch.randn(inner, width) * 0.1,
        "0.to_kv.weight": torch.randn(2 * inner, width) * 0.1,
        "0.to_out.weight": torch.randn(width, inner) * 0.1,
        "1.0.weight": torch.ones(width),
        "1.0.bias": torch.zeros(width),
        "1.1.weight": torch.randn(4 * width, width) * 0.1,
        "1.3.weight": torch.randn(width, 4 * width) * 0.1,
    }
