"""DPM-Solver++ and its stochastic versions: Lu et al. 2022, arXiv:2211.01095."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, ancestral, grown, half_way, steps


def dpmpp_2m(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Second order from two steps' predictions; first and last step of first order."""
    before: Tensor | None = None
    h_before = torch.zeros(())
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            return denoised
        h = t.log().neg() - s.log().neg()
        guess = denoised
        if before is not None:
            r = h_before / h
            guess = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * before
        x = (t / s) * x - grown(-h) * guess
        before, h_before = denoised, h
    return x


def dpmpp_2m_cfg_pp(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """`dpmpp_2m` with CFG++, Chung et al. 2024, arXiv:2406.08070."""
    uncond_before: Tensor | None = None
    h_before = torch.zeros(())
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        uncond = model.uncond
        if t == 0:
            return denoised
        h = s.log() - t.log()
        x = denoised + torch.exp(-h) * (x - uncond)
        if uncond_before is not None:
            x = x - grown(-h) * (denoised - uncond_before) / (2 * h_before / h)
        uncond_before, h_before = uncond, h
    return x


def dpmpp_2s_ancestral(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Second order from one step with a middle point, to a lower level; then noise up to the step's end."""
    for s, t in steps(sigmas):
        down, up = ancestral(s, t)
        denoised = model.step(x, s)
        if down == 0:
            x = x + (down - s) * (x - denoised) / s
        else:
            h = down.log().neg() - s.log().neg()
            middle = half_way(s, down)
            inner = (middle / s) * x - grown(-h * 0.5) * denoised
            x = (down / s) * x - grown(-h) * model(inner, middle)
        if t > 0:
            x = x + up * noise.normal()
    return x


def dpmpp_2s_ancestral_cfg_pp(model: Model, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """`dpmpp_2s_ancestral` with CFG++, Chung et al. 2024, arXiv:2406.08070."""
    for s, t in steps(sigmas):
        down, up = ancestral(s, t)
        denoised = model.step(x, s)
        if down == 0:
            x = denoised + down * (x - model.uncond) / s
        else:
            h = down.log().neg() - s.log().neg()
            middle = half_way(s, down)
            inner = (middle / s) * (x + denoised - model.uncond) - grown(-h * 0.5) * denoised
            denoised_middle = model(inner, middle)
            x = (down / s) * (x + denoised - model.uncond) - grown(-h) * denoised_middle
        if t > 0:
            x = x + up * noise.normal()
    return x


def dpmpp_sde(model: Model, x: Tensor, sigmas: Tensor, noise: Noise, on_device: bool = False) -> Tensor:
    """Stochastic, second order from one step with a middle point; noise of a Brownian path."""
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        middle = half_way(s, t)
        down, up = ancestral(s, middle)
        h = s.log() - down.log()
        inner = torch.exp(-h) * x - grown(-h) * denoised + up * noise.brownian(s, middle, on_device)
        denoised = model(inner, middle)
        down, up = ancestral(s, t)
        h = s.log() - down.log()
        x = torch.exp(-h) * x - grown(-h) * denoised + up * noise.brownian(s, t, on_device)
    return x


def dpmpp_2m_sde(
    model: Model, x: Tensor, sigmas: Tensor, noise: Noise, on_device: bool = False, solver: str = "midpoint"
) -> Tensor:
    """Stochastic, second order from two steps' predictions, by the midpoint rule or (`solver="heun"`) by Heun's."""
    before: Tensor | None = None
    h_before = torch.zeros(())
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        h = t.log().neg() - s.log().neg()
        wide = 2 * h
        change = x.new_zeros(())
        if before is not None:
            slope = (denoised - before) / (h_before / h)
            weight = (1 + grown(-wide) / wide) if solver == "heun" else -0.5 * grown(-wide)
            change = weight * slope
        x = (t / s) * torch.exp(-h) * x - grown(-wide) * denoised + change
        x = x + t * torch.sqrt(-grown(-wide)) * noise.brownian(s, t, on_device)
        before, h_before = denoised, h
    return x


def dpmpp_3m_sde(model: Model, x: Tensor, sigmas: Tensor, noise: Noise, on_device: bool = False) -> Tensor:
    """Stochastic, third order from three steps' predictions."""
    seen: list[tuple[Tensor, Tensor]] = []
    for s, t in steps(sigmas):
        denoised = model.step(x, s)
        if t == 0:
            x = denoised
            continue
        h = t.log().neg() - s.log().neg()
        wide = 2 * h
        x = (t / s) * torch.exp(-h) * x - grown(-wide) * denoised
        x = x + _bends(denoised, seen, h)
        x = x + t * torch.sqrt(-grown(-wide)) * noise.brownian(s, t, on_device)
        seen = [(denoised, h), *seen[:1]]
    return x


def _bends(denoised: Tensor, seen: list[tuple[Tensor, Tensor]], h: Tensor) -> Tensor:
    """Second and third order terms, as far as there are earlier predictions (newest first, with their steps)."""
    if not seen:
        return torch.zeros_like(denoised)
    wide = 2 * h
    phi2 = grown(-wide) / wide + 1
    first, h1 = seen[0]
    if len(seen) == 1:
        return phi2 * (denoised - first) / (h1 / h)
    second, h2 = seen[1]
    phi3 = phi2 / wide - 0.5
    r0, r1 = h1 / h, h2 / h
    a, b = (denoised - first) / r0, (first - second) / r1
    slope = a + (a - b) * r0 / (r0 + r1)
    return phi2 * slope - phi3 * (a - b) / (r0 + r1)
