"""Networks with random weights, of the real classes and small."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from tests.unit.gpu.demo import FOLDER


@cache
def demo_unet() -> Any:  # noqa: ANN401  diffusers is untyped
    """The embedded model's UNet."""
    kind: Any = UNet2DConditionModel
    return kind.from_pretrained(FOLDER / "unet", local_files_only=True)


def control_net(seed: int = 0, scale: float = 0.3) -> Any:  # noqa: ANN401  diffusers is untyped
    """A ControlNet for the embedded model, whose way out is not 0 as in one that was never trained."""
    kind: Any = ControlNetModel
    net = kind.from_unet(demo_unet(), conditioning_embedding_out_channels=(4, 8, 8, 16))
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
