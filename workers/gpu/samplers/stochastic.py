"""Solvers of the reverse stochastic equation: ER-SDE and SEEDS."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, grown, steps

ER_SDE_POINTS = 200
"""Points of the sums that stand for integrals."""


def er_sde(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """ER-SDE-Solver-3, Cui et al. 2023, arXiv:2309.06169."""
    before: tuple[Tensor, Tensor] | None = None
    slope_before: tuple[Tensor, Tensor] | None = None
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        # Through the logarithm and back, as ComfyUI has it: the last bit counts here.
        a, b = s.log().exp(), t.log().exp()
        ratio, delta = _scale(b) / _scale(a), b - a
        x = ratio * x + (1 - ratio) * denoised
        if before is not None:
            width = -delta / ER_SDE_POINTS
            places = b + torch.arange(ER_SDE_POINTS, dtype=torch.float32) * width
            slope = (denoised - before[0]) / (a - before[1])
            x = x + (delta + _scale(b) * (torch.sum(1 / _scale(places)) * width)) * slope
            if slope_before is not None:
                bend = (slope - slope_before[0]) / ((a - slope_before[1]) / 2)
                x = x + (delta**2 / 2 + _scale(b) * (torch.sum((places - a) / _scale(places)) * width)) * bend
            slope_before = (slope, before[1])
        level = torch.sqrt(b**2 - a**2 * ratio**2).nan_to_num(nan=0.0)
        x = x + level * noise.normal()
        before = (denoised, a)
    return x


def _scale(level: Tensor) -> Tensor:
    """The noise scaler that the paper recommends."""
    return level * (torch.exp(level**0.3) + 10)


def seeds_2(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """SEEDS, Gonzalez et al. 2023, arXiv:2305.14267: second order, data prediction."""
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        h, wide, middle = _widths(s, t, 0.5)
        carried = torch.sqrt(-grown(-2 * 0.5 * h)) * noise.normal()
        inner = (middle / s) * torch.exp(-0.5 * h) * x - grown(-0.5 * wide) * denoised + middle * carried
        denoised_middle = model(inner, middle)
        carried = _carry(carried, 0.5, h, noise)
        x = (t / s) * torch.exp(-h) * x - grown(-wide) * denoised_middle + t * carried
    return x


def seeds_3(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """SEEDS, Gonzalez et al. 2023, arXiv:2305.14267: third order, data prediction."""
    r1, r2 = 1 / 3, 2 / 3
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        h, wide, first = _widths(s, t, r1)
        second = _widths(s, t, r2)[2]
        carried = torch.sqrt(-grown(-2 * r1 * h)) * noise.normal()
        inner = (first / s) * torch.exp(-r1 * h) * x - grown(-r1 * wide) * denoised + first * carried
        denoised_first = model(inner, first)
        a2 = (r2 / r1) * _grown_twice(-r2 * wide)
        a1 = grown(-r2 * wide) - a2
        carried = _carry(carried, r2 - r1, h, noise)
        inner = (second / s) * torch.exp(-r2 * h) * x - a1 * denoised - a2 * denoised_first + second * carried
        denoised_second = model(inner, second)
        b3 = _grown_twice(-wide) / r2
        b1 = grown(-wide) - b3
        carried = _carry(carried, 1 - r2, h, noise)
        x = (t / s) * torch.exp(-h) * x - b1 * denoised - b3 * denoised_second + t * carried
    return x


def _widths(s: Tensor, t: Tensor, r: float) -> tuple[Tensor, Tensor, Tensor]:
    """h, 2 h, and the level at the share `r` of the way in lambda."""
    a, b = -s.log(), -t.log()
    return b - a, 2 * (b - a), torch.exp(-torch.lerp(a, b, r))


def _carry(carried: Tensor, share: float, h: Tensor, noise: Noise) -> Tensor:
    """The step's noise, in units of the level, after a further `share` of the step."""
    return torch.exp(-share * h) * carried + torch.sqrt(-grown(-2 * share * h)) * noise.normal()


def _grown_twice(value: Tensor) -> Tensor:
    """(e^value - 1 - value) / value."""
    return (grown(value) - value) / value
