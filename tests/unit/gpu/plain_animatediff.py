"""AnimateDiff's sampling of a clip, said as plainly as possible (PARITY 3.1, 3.4 and 7): the reference of a test.

One window after the other, one prompt after the other, one frame after the other; nothing of the engine is used but the
places of windows, where they are not spelled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from diffusers import UNetMotionModel
from torch import Tensor, nn
from torch.nn import functional

KIND: Any = UNetMotionModel


class FrameByFrame(nn.Module):
    """A group norm of one frame after the other."""

    def __init__(self, norm: Any) -> None:  # noqa: ANN401  a GroupNorm
        super().__init__()
        self.norm = norm

    def forward(self, clip: Tensor) -> Tensor:
        """`clip`: `[1, channels, frames, h, w]`."""
        norm = self.norm
        frames = [
            functional.group_norm(clip[:, :, f], norm.num_groups, norm.weight, norm.bias, norm.eps)
            for f in range(clip.shape[2])
        ]
        return torch.stack(frames, dim=2)


def plain_unet(unet: Any, adapter: Any) -> Any:  # noqa: ANN401  diffusers is untyped
    """The UNet with a third-version motion module in it."""
    made = KIND.from_unet2d(unet, adapter).eval()
    for name, module in list(made.named_modules()):
        if type(module).__name__ == "AnimateDiffTransformer3D":
            made.get_submodule(name).norm = FrameByFrame(module.norm)
    return made


def table() -> list[float]:
    """Noise levels of the straight betas .00085 .. .012."""
    kept, levels = 1.0, []
    for step in range(1000):
        kept *= 1 - (0.00085 + (0.012 - 0.00085) * step / 999)
        levels.append(math.sqrt((1 - kept) / kept))
    return levels


def normal_sigmas(steps: int, denoise: float) -> list[float]:
    """The end of ComfyUI's `normal` schedule, and 0."""
    levels, whole = table(), int(steps / denoise)
    found = []
    for i in range(whole):
        t = 999 * (1 - i / (whole - 1))
        low, share = int(t), t - int(t)
        high = min(low + 1, 999)
        found.append(math.exp((1 - share) * math.log(levels[low]) + share * math.log(levels[high])))
    return [*found, 0.0][-(steps + 1) :]


def plain_clip(
    unet: Any,  # noqa: ANN401  diffusers is untyped
    latents: Tensor,
    texts: tuple[Tensor, Tensor],
    cfg: float,
    sigmas: Sequence[float],
    seed: int,
    windows: Callable[[int], Sequence[Sequence[int]]],
    weights: Sequence[float],
) -> Tensor:
    """Euler's method over a clip of latents `[frames, ...]`, as the UNet sees them.

    Args:
        texts: negative, positive, `[1, tokens, width]`.
        windows: of a step.
        weights: of a window's frames.
    """
    levels = torch.tensor(table())
    frames = len(latents)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    x = latents + noise * sigmas[0]
    for step, (s, t) in enumerate(pairwise(sigmas)):
        timestep = int(torch.argmin((torch.tensor(s).log() - levels.log()).abs()))
        clean = []
        for text in texts:
            total, counts = torch.zeros_like(x), torch.zeros(frames)
            for window in windows(step):
                places = list(window)
                seen = (x[places] / math.sqrt(s * s + 1)).transpose(0, 1)[None]
                predicted = unet(seen, torch.tensor(timestep), text.repeat(len(places), 1, 1)).sample
                for row, frame in enumerate(places):
                    total[frame] += weights[row] * (x[frame] - s * predicted[0, :, row])
                    counts[frame] += weights[row]
            clean.append(total / counts[:, None, None, None])
        guided = clean[0] + cfg * (clean[1] - clean[0])
        x = x + (x - guided) / s * (t - s)
    return x
