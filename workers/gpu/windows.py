"""Windows over a clip that is longer than the motion module sees, and their fusing (PARITY 7: standard static)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Fuse = Literal["flat", "pyramid"]


def windows(frames: int, length: int, overlap: int) -> tuple[range, ...]:
    """Runs of `length` frames that cover `frames`; the last is moved back to end with the clip.

    Args:
        frames, length: 1 or more.
        overlap: frames that neighbors share, below `length`.
    """
    if frames <= length:
        return (range(frames),)
    starts = range(0, frames - length, length - overlap)
    return (*(range(start, start + length) for start in starts), range(frames - length, frames))


def weights(length: int, fuse: Fuse) -> Tensor:
    """What each frame of a window counts for: `flat` 1, `pyramid` 1, 2, ... up to the middle and down again."""
    if fuse == "flat":
        return torch.ones(length)
    places = torch.arange(length)
    return torch.minimum(places, length - 1 - places).to(torch.float32) + 1


def fused(model: Callable[[range], tuple[Tensor, ...]], runs: tuple[range, ...], fuse: Fuse) -> tuple[Tensor, ...]:
    """Calls `model` for each window and averages what it gives, frame by frame, by weight.

    Args:
        model: window -> tensors of `[len(window), ...]`.
        runs: as `windows` gives them.
    Returns:
        As many tensors as `model` gives, of `[frames, ...]`.
    """
    if len(runs) == 1:
        return model(runs[0])
    frames = runs[-1].stop
    sums: list[Tensor] = []
    total = torch.zeros(frames)
    for run in runs:
        weight = weights(len(run), fuse)
        results = model(run)
        sums = sums or [result.new_zeros((frames, *result.shape[1:])) for result in results]
        total[run.start : run.stop] += weight
        for summed, result in zip(sums, results, strict=True):
            summed[run.start : run.stop] += result * _per_frame(weight, result)
    return tuple(summed / _per_frame(total, summed) for summed in sums)


def _per_frame(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device).reshape(-1, *[1] * (like.ndim - 1))
