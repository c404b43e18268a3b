"""Multistep methods: the slopes of earlier steps foretell the next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, ancestral, grown, steps

LMS_ORDER = 4
DEIS_ORDER = 3
DEIS_POINTS = 10_000
"""Points of the plain sum by which ComfyUI integrates; the sum's own error is part of the result."""
IPNDM_WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth for equal steps, newest slope first."""
GAMMA = 2.0
"""How far gradient estimation corrects the slope."""


def lms(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Adams-Bashforth for unequal steps, on the Lagrange basis in sigma; by K. Crowson, without a paper."""
    slopes: list[Tensor] = []
    levels = [float(sigma) for sigma in sigmas]
    for i, (s, t) in enumerate(steps(sigmas)):
        denoised = model.step(x, s)
        slopes = [(x - denoised) / s, *slopes[: LMS_ORDER - 1]]
        if t == 0:
            x = denoised
            continue
        nodes = levels[i::-1][: len(slopes)]
        for j, slope in enumerate(slopes):
            x = x + _lagrange_integral(nodes, j, levels[i], levels[i + 1]) * slope
    return x


def _lagrange_integral(nodes: Sequence[float], j: int, start: float, end: float) -> float:
    """The integral of the basis polynomial of node `j`; Gauss-Legendre with two points is exact for a cubic."""
    points, weights = np.polynomial.legendre.leggauss(2)
    places = (end - start) / 2 * points + (end + start) / 2
    values = np.prod([(places - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j], axis=0)
    return float(np.sum(weights * values) * (end - start) / 2)


def ipndm(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Liu et al. 2022, arXiv:2202.09778, improved in Zhang and Chen 2022, arXiv:2204.13902: constant weights."""
    slopes: list[Tensor] = []
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        slopes = [(x - denoised) / s, *slopes[:3]]
        if t == 0:
            x = denoised
            continue
        weights = IPNDM_WEIGHTS[len(slopes) - 1]
        x = x + (t - s) * _weighted(weights, slopes)
    return x


def ipndm_v(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """`ipndm` with weights for unequal steps; of a published collection, not of the paper."""
    slopes: list[Tensor] = []
    for i, (s, t) in enumerate(steps(sigmas)):
        denoised = model.step(x, s)
        slopes = [(x - denoised) / s, *slopes[:3]]
        if t == 0:
            x = denoised
            continue
        past = sigmas[max(0, i - 3) : i + 2].double().diff().flip(0).tolist()
        x = x + (t - s) * _weighted(_variable_weights(past), slopes)
    return x


def _variable_weights(widths: list[float]) -> list[float]:
    """Weights of the slopes, newest first; `widths`: of this step and of those before it, all negative."""
    if len(widths) == 1:
        return [1.0]
    h, a = widths[:2]
    weights = [1 + h / (2 * a), -h / (2 * a)]
    if len(widths) == 2:
        return weights
    b = widths[2]
    # Not the textbook's value of three unequal steps, but the one that ComfyUI's results have.
    q, g = 0.5 - h**2 / (6 * a * (a + b)), a / b
    weights = [weights[0] + q, weights[1] - (1 + g) * q, g * q]
    if len(widths) == 3:
        return weights
    c = widths[3]
    v = a * (a + b) / (b * (b + c))
    p = 0.5 * (1 - h / (3 * (h + a))) + (1 - h / (2 * (h + a))) * h / (6 * (h + a + b))
    p *= h * (h + a) * (h + a + b) / (a * (a + b) * (a + b + c))
    last = [p, -(1 + g + v) * p, (g + v * (1 + b / c)) * p, -v * g * p]
    return [w + extra for w, extra in zip([*weights, 0.0], last, strict=True)]


def _weighted(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return total


def deis(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """DEIS, Zhang and Chen 2022, arXiv:2204.13902: Lagrange polynomials in the time of a VP process."""
    times = _vp_times(sigmas)
    slopes: list[Tensor] = []
    for i, (s, t) in enumerate(steps(sigmas)):
        slopes = [(x - model.step(x, s)) / s, *slopes[: DEIS_ORDER - 1]]
        if t <= 0 or len(slopes) == 1:
            x = x + (t - s) * slopes[0]
            continue
        nodes = times[max(0, i - DEIS_ORDER + 1) : i + 1].flip(0)
        for j, slope in enumerate(slopes):
            x = x + _deis_weight(nodes, j, times[i + 1]) * slope
    return x


def _vp_betas() -> tuple[float, float]:
    """Width and start of a VP process's linear beta; it spans EDM's levels, .002 to 80, from time .001 to 1."""
    low = math.log(float(np.float32(0.002**2 + 1)))
    high = math.log(80.0**2 + 1)
    width = 2 * (low / 1e-3 - high) / (1e-3 - 1)
    return width, high - width / 2


def _vp_times(sigmas: Tensor) -> Tensor:
    width, start = _vp_betas()
    times: Tensor = ((start**2 + 2 * width * (sigmas**2 + 1).log()).sqrt() - start) / width
    return times


def _deis_weight(nodes: Tensor, j: int, end: Tensor) -> Tensor:
    width, start = _vp_betas()
    start_time = nodes[0]
    times = torch.linspace(float(start_time), float(end), DEIS_POINTS)
    alpha = torch.exp(-0.5 * width * times**2 - start * times)
    speed = (width * times + start) / (2 * torch.sqrt(alpha * (1 - alpha)))
    for k, node in enumerate(nodes):
        if k != j:
            speed = speed * (times - node) / (nodes[j] - node)
    return speed.sum() * (end - start_time) / DEIS_POINTS


def res_multistep(
    model: Model, x: Tensor, sigmas: Tensor, noise: Noise, eta: float = 0.0, cfg_pp: bool = False
) -> Tensor:
    """RES, Zhang et al. 2023, arXiv:2308.02157: exponential multistep of second order.

    Args:
        eta: 1 puts noise back (`..._ancestral`).   cfg_pp: with CFG++, arXiv:2406.08070.
    """
    before: Tensor | None = None
    down_before = s_before = torch.zeros(())
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        told = model.uncond if cfg_pp else denoised
        down, up = ancestral(s, t, eta)
        if before is None or down == 0:
            x = denoised + (x - told) / s * down if cfg_pp else x + (x - denoised) / s * (down - s)
        else:
            h = s.log() - down.log()
            past = (down_before.log() - s_before.log()) / h
            phi1 = grown(-h) / -h
            phi2 = (phi1 - 1) / -h
            now, then = torch.nan_to_num(phi1 - phi2 / past), torch.nan_to_num(phi2 / past)
            x = x + (denoised - told) if cfg_pp else x
            x = torch.exp(-h) * x + h * (now * told + then * before)
        if t > 0 and eta > 0:
            x = x + up * noise.normal()
        before, down_before, s_before = told, down, s
    return x


def gradient_estimation(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise, cfg_pp: bool = False) -> Tensor:
    """Permenter and Yuan 2023, arXiv:2306.04848: Euler with the change of the slope carried on."""
    before: Tensor | None = None
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        slope = (x - (model.uncond if cfg_pp else denoised)) / s
        if t == 0:
            return denoised
        x = denoised + t * slope if cfg_pp else x + (t - s) * slope
        if before is not None:
            x = x + (GAMMA - 1) * (slope - before) * (t - s)
        before = slope
    return x
