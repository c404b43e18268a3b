"""DPM-Solver, Lu et al. 2022, arXiv:2206.00927, with prediction of the noise. Works in lambda = -ln(sigma); the result
stays at the last level above 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, grown

STEP_SIZE = 0.05
"""First step of the adaptive solver, in lambda."""
RELATIVE, ABSOLUTE = 0.05, 0.0078
"""Tolerances of the adaptive solver; the second is two levels of 255."""
ACCEPT = 0.81
"""A step is kept if the next one may be at least this many times as long."""
END = 1e-5
"""Distance from the end, in lambda, that counts as there."""


def dpm_fast(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """Even steps in lambda, of third order as far as the number of model calls allows."""
    calls = len(sigmas) - 1
    start, end = _span(sigmas)
    blocks = calls // 3 + 1
    lambdas = torch.linspace(float(start), float(end), blocks + 1)
    orders = [3] * (blocks - 2) + [2, 1] if calls % 3 == 0 else [3] * (blocks - 1) + [calls % 3]
    for i, order in enumerate(orders):
        x = _Block(model, x, lambdas[i], lambdas[i + 1]).solve(order)
    return x


def dpm_adaptive(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    """DPM-Solver-23: third order, its distance from second order decides the steps (I part of a PID rule)."""
    now, end = _span(sigmas)
    kept_low, size = x, STEP_SIZE
    while now < end - END:
        there = torch.minimum(end, now + size)
        block = _Block(model, x, now, there)
        low, high = block.second(1 / 3), block.third()
        scale = torch.clamp(RELATIVE * torch.maximum(low.abs(), kept_low.abs()), min=ABSOLUTE)
        error = float(torch.linalg.norm((low - high) / scale)) / math.sqrt(x.numel())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        if factor >= ACCEPT:
            x, kept_low, now = high, low, there
        size *= factor
    return x


def _span(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    lowest = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -sigmas[0].log(), -lowest.log()


class _Block:
    """One step of the solver from `start` to `end`, in lambda; remembers what the model said on the way."""

    def __init__(self, model: Model, x: Tensor, start: Tensor, end: Tensor) -> None:
        self._model = model
        self._x = x
        self._start = start
        self._width = end - start
        self._sigma_end = torch.exp(-end)
        sigma = torch.exp(-start)
        self._eps = (x - model.step(x, sigma)) / sigma
        self._inner: dict[float, Tensor] = {}

    def solve(self, order: int) -> Tensor:
        """Latents at the end, by a method of that order."""
        if order == 1:
            return self._x - self._sigma_end * grown(self._width) * self._eps
        return self.second(0.5) if order == 2 else self.third()

    def second(self, r: float) -> Tensor:
        """Second order, with one inner node at the share `r` of the way."""
        bend = (self._eps_at(r) - self._eps) / (2 * r)
        return self._x - self._sigma_end * grown(self._width) * (self._eps + bend)

    def third(self) -> Tensor:
        """Third order, with inner nodes at 1/3 and 2/3."""
        h, r1, r2 = self._width, 1 / 3, 2 / 3
        bend = self._eps_at(r1) - self._eps
        sigma = torch.exp(-(self._start + r2 * h))
        inner = self._x - sigma * (grown(r2 * h) * self._eps + (r2 / r1) * (grown(r2 * h) / (r2 * h) - 1) * bend)
        eps = (inner - self._model(inner, sigma)) / sigma
        change = grown(h) * self._eps + (1 / r2) * (grown(h) / h - 1) * (eps - self._eps)
        return self._x - self._sigma_end * change

    def _eps_at(self, r: float) -> Tensor:
        if r not in self._inner:
            sigma = torch.exp(-(self._start + r * self._width))
            inner = self._x - sigma * grown(r * self._width) * self._eps
            self._inner[r] = (inner - self._model(inner, sigma)) / sigma
        return self._inner[r]
