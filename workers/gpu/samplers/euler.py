"""One-step methods: Euler, Heun, midpoint, and those that put noise back."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, ancestral, steps


def euler(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Karras et al. 2022 (EDM), arXiv:2206.00364, algorithm 1 without its second half.

    In this form it is also `ddim`: Song et al. 2020, arXiv:2010.02502.
    """
    for s, t in steps(sigmas):
        x = x + (t - s) * (x - model.step(x, s)) / s
    return x


def euler_ancestral(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Euler to a lower level, then noise up to the step's end."""
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        down, up = ancestral(s, t)
        x = x + (down - s) * (x - denoised) / s + up * noise.normal()
    return x


def heun(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Karras et al. 2022, arXiv:2206.00364, algorithm 1: the mean of the slopes at both ends."""
    for s, t in steps(sigmas):
        d = (x - model.step(x, s)) / s
        end = x + (t - s) * d
        if t == 0:
            x = end
            continue
        d_end = (end - model(end, t)) / t
        x = x + (t - s) * (d + d_end) / 2
    return x


def heunpp2(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Heun with slopes of up to three levels, weighted by level; a community variant without a paper."""
    last, first = sigmas[-1], sigmas[0]
    for i, (s, t) in enumerate(steps(sigmas)):
        d = (x - model.step(x, s)) / s
        if t == last:
            x = x + (t - s) * d
            continue
        end = x + (t - s) * d
        d2 = (end - model(end, t)) / t
        beyond = sigmas[i + 2]
        if beyond == last:
            weight = t / (2 * first)
            slope = (1 - weight) * d + weight * d2
        else:
            further = end + (beyond - t) * d2
            d3 = (further - model(further, beyond)) / beyond
            weight2, weight3 = t / (3 * first), beyond / (3 * first)
            slope = (1 - weight2 - weight3) * d + weight2 * d2 + weight3 * d3
        x = x + (t - s) * slope
    return x


def dpm_2(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Midpoint method in the logarithm of the level: DPM-Solver-2's idea, Lu et al. 2022, arXiv:2206.00927."""
    for s, t in steps(sigmas):
        x = _midpoint(model, x, s, t)
    return x


def dpm_2_ancestral(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """`dpm_2` to a lower level, then noise up to the step's end."""
    for s, t in steps(sigmas):
        down, up = ancestral(s, t)
        x = _midpoint(model, x, s, down)
        if t > 0:
            x = x + up * noise.normal()
    return x


def _midpoint(model: Model, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    d = (x - model.step(x, s)) / s
    if t == 0:
        return x + (t - s) * d
    middle = s.log().lerp(t.log(), 0.5).exp()
    inner = x + (middle - s) * d
    return x + (t - s) * (inner - model(inner, middle)) / middle


def ddpm(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Ho et al. 2020, arXiv:2006.11239: the posterior's mean and variance, in variance-preserving form."""
    for s, t in steps(sigmas):
        predicted = (x - model.step(x, s)) / s
        kept, kept_next = 1 / (s**2 + 1), 1 / (t**2 + 1)
        ratio = kept / kept_next
        scaled = x / torch.sqrt(1 + s**2)
        x = (scaled - (1 - ratio) / torch.sqrt(1 - kept) * predicted) / torch.sqrt(ratio)
        if t > 0:
            variance = (1 - ratio) * (1 - kept_next) / (1 - kept)
            x = (x + torch.sqrt(variance) * noise.normal()) * torch.sqrt(t**2 + 1)
    return x


def lcm(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Luo et al. 2023, arXiv:2310.04378: jump to the clean latents, then noise them again."""
    for s, t in steps(sigmas):
        x = model.step(x, s)
        if t > 0:
            x = x + t * noise.normal()
    return x


def euler_cfg_pp(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """CFG++, Chung et al. 2024, arXiv:2406.08070: the noise that is kept is the unconditional one."""
    return _cfg_pp(model, x, sigmas, noise, eta=0.0)


def euler_ancestral_cfg_pp(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """`euler_cfg_pp` to a lower level, then noise up to the step's end."""
    return _cfg_pp(model, x, sigmas, noise, eta=1.0)


def _cfg_pp(model: Model, x: Tensor, sigmas: Tensor, noise: Noise, eta: float) -> Tensor:
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        down, up = ancestral(s, t, eta)
        x = denoised + down * (x - model.uncond) / s
        if eta > 0:
            x = x + up * noise.normal()
    return x
