"""UniPC, Zhao et al. 2023, arXiv:2302.04867: multistep, prediction of clean latents, in variance-preserving form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, grown

ORDER = 3
LAST_SIGMA = 0.001
"""Takes the place of a final level of 0."""


@dataclass(frozen=True)
class _Levels:
    """Of a variance-preserving process: signal, noise and half the logarithm of their squared ratio."""

    alpha: Tensor
    kappa: Tensor
    lam: Tensor


def _levels(sigmas: Tensor) -> _Levels:
    # In float32 and by these very expressions: at the last level their rounding is 2 % and visible.
    log_alpha = 0.5 * torch.log(1 / (sigmas**2 + 1))
    square = torch.exp(2 * log_alpha)
    return _Levels(torch.exp(log_alpha), torch.sqrt(1 - square), log_alpha - 0.5 * torch.log(1 - square))


def uni_pc(model: Model, x: Tensor, sigmas: Tensor, _noise: Noise, bh2: bool = False) -> Tensor:
    """Predictor and corrector of order 3 at most, with B(h) = h or, as `uni_pc_bh2`, e^h - 1.

    With a single step nothing is denoised, as in ComfyUI.
    """
    if sigmas[-1] == 0:
        sigmas = torch.cat([sigmas[:-1], torch.tensor([LAST_SIGMA])])
    levels, count = _levels(sigmas), len(sigmas) - 1
    y = x / torch.sqrt(1 + sigmas[0] ** 2)
    if count > 1:
        seen = [model.step(_unscaled(y, sigmas[0]), sigmas[0])]
        for i in range(1, count + 1):
            order = min(i, ORDER, count - 1, count + 1 - i)
            step = _Step(levels, i, order, seen, bh2)
            predicted = step.predicted(y)
            if i == count:
                y = predicted
                break
            found = model.step(_unscaled(predicted, sigmas[i]), sigmas[i])
            y = step.corrected(y, found)
            seen = [found, *seen[: ORDER - 1]]
    return y / levels.alpha[-1]


def _unscaled(y: Tensor, sigma: Tensor) -> Tensor:
    return y * torch.sqrt(1 + sigma**2)


class _Step:
    """One step, from level `i` - 1 to level `i`; `seen` are the model's predictions, newest first."""

    def __init__(self, levels: _Levels, i: int, order: int, seen: list[Tensor], bh2: bool) -> None:
        h = levels.lam[i] - levels.lam[i - 1]
        g = -h
        self._order = order
        self._newest = seen[0]
        self._shrink = levels.kappa[i] / levels.kappa[i - 1]
        self._alpha = levels.alpha[i]
        self._grown = grown(g)
        self._b = self._grown if bh2 else g
        places = [(levels.lam[i - 1 - k] - levels.lam[i - 1]) / h for k in range(1, order)]
        self._changes = [(seen[k] - seen[0]) / place for k, place in enumerate(places, start=1)]
        rho = torch.stack([*places, torch.ones(())])
        self._system = torch.stack([rho**k for k in range(order)])
        self._right = self._right_side(g)

    def _right_side(self, g: Tensor) -> Tensor:
        phi = self._grown / g - 1
        values = []
        for k in range(1, self._order + 1):
            values.append(phi * math.factorial(k) / self._b)
            phi = phi / g - 1 / math.factorial(k + 1)
        return torch.stack(values)

    def _base(self, y: Tensor) -> Tensor:
        return self._shrink * y - self._alpha * self._grown * self._newest

    def predicted(self, y: Tensor) -> Tensor:
        """The state at the step's end, from earlier predictions."""
        if self._order == 1:
            return self._base(y)
        if self._order == 2:
            weights = torch.tensor([0.5])
        else:
            weights = torch.linalg.solve(self._system[:-1, :-1], self._right[:-1])
        return self._base(y) - self._alpha * self._b * self._change(weights)

    def corrected(self, y: Tensor, found: Tensor) -> Tensor:
        """The state at the step's end, once the model was asked there."""
        weights = torch.tensor([0.5]) if self._order == 1 else torch.linalg.solve(self._system, self._right)
        change = self._change(weights[:-1]) + weights[-1] * (found - self._newest)
        return self._base(y) - self._alpha * self._b * change

    def _change(self, weights: Tensor) -> Tensor:
        total = torch.zeros_like(self._newest)
        for weight, change in zip(weights, self._changes, strict=True):
            total = total + weight * change
        return total
