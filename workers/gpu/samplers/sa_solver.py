"""SA-Solver, Xue et al. 2023, arXiv:2309.05019: stochastic Adams predictor and corrector, data prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.gpu.samplers.parts import Model, Noise, grown

PREDICTOR_ORDER, CORRECTOR_ORDER = 3, 4
STOCHASTIC = (0.2, 0.8)
"""Shares of the model's schedule between which noise is put back."""


@dataclass
class _Run:
    """State of a run: predictions of the clean latents, oldest first, and the noise of the step under way."""

    lambdas: Tensor
    sigmas: Tensor
    seen: list[Tensor]
    tau: float = 0.0
    noise: Tensor | None = None

    def weighted(self, order: int, i: int, start: int) -> Tensor:
        """The weighted sum of the last `order` predictions, up to that of step `i`, over the step from `start`."""
        nodes = self.lambdas[i - order + 1 : i + 1]
        weights = _weights(nodes, self.lambdas[start], self.lambdas[start + 1], self.tau)
        total = torch.zeros_like(self.seen[-1])
        for weight, prediction in zip(weights, self.seen[-order:], strict=True):
            total = total + weight * prediction
        return total

    def advanced(self, x: Tensor, order: int, i: int, start: int) -> Tensor:
        """Latents at the end of the step that begins at `start`."""
        h = self.lambdas[start + 1] - self.lambdas[start]
        x = (self.sigmas[start + 1] / self.sigmas[start]) * torch.exp(-(self.tau**2) * h) * x
        x = x + self.weighted(order, i, start)
        return x if self.noise is None else x + self.noise


def sa_solver(model: Model, x: Tensor, sigmas: Tensor, noise: Noise, evaluate_again: bool = False) -> Tensor:
    """Predict, evaluate, correct; with `evaluate_again` the corrected state is evaluated too (`sa_solver_pece`)."""
    last = len(sigmas) - 2
    ends_at_zero = bool(sigmas[-1] == 0)
    lowest, highest = _stochastic_span(model)
    run = _Run(-sigmas.log(), sigmas, [])
    predicted = x
    for i, s in enumerate(sigmas[:-1]):
        run.seen = [*run.seen, model.step(predicted, s)][-CORRECTOR_ORDER:]
        predictor, corrector = _orders(i, last, len(run.seen), ends_at_zero, evaluate_again)
        if corrector > 0:
            x = run.advanced(x, corrector, i, i - 1)
            if evaluate_again:
                run.seen[-1] = model(x, s)
        else:
            x = predicted
        if i == last and ends_at_zero:
            return run.seen[-1]
        t = sigmas[i + 1]
        run.tau = 1.0 if lowest <= t <= highest else 0.0
        run.noise = None
        if run.tau > 0:
            h = run.lambdas[i + 1] - run.lambdas[i]
            run.noise = t * torch.sqrt(-grown(-2 * run.tau**2 * h)) * noise.normal()
        predicted = run.advanced(x, predictor, i, i)
    return predicted


def _orders(i: int, last: int, seen: int, ends_at_zero: bool, evaluate_again: bool) -> tuple[int, int]:
    """Orders of predictor and corrector in step `i`; the corrector's is 0 where there is none."""
    predictor = min(PREDICTOR_ORDER, seen)
    corrector = 0 if i == 0 or (i == last and not evaluate_again) else min(CORRECTOR_ORDER, seen)
    if ends_at_zero:
        predictor, corrector = min(predictor, last - i), min(corrector, last + 1 - i)
    return predictor, corrector


def _stochastic_span(model: Model) -> tuple[Tensor, Tensor]:
    top = len(model.table) - 1
    high, low = ((1 - share) * top for share in STOCHASTIC)
    return model.table.sigma(torch.tensor(low)), model.table.sigma(torch.tensor(high))


def _weights(nodes: Tensor, a: Tensor, b: Tensor, tau: float) -> Tensor:
    """Weights by which predictions at `nodes` (in lambda) stand for the integral from `a` to `b`.

    In float32 with an ordinary solve on absolute lambdas: the system is ill-conditioned, and its rounding is part of
    ComfyUI's results.
    """
    m = 1 + tau**2
    decay = torch.exp(m * (a - b))
    integrals = []
    for q in range(len(nodes)):
        terms = [
            (-1) ** (q - g) * (math.factorial(q) / math.factorial(g)) * m ** -(q - g) * (b**g - a**g * decay)
            for g in range(q + 1)
        ]
        integrals.append(torch.stack(terms).sum())
    system = torch.stack([nodes**q for q in range(len(nodes))])
    weights: Tensor = torch.linalg.solve(system, torch.stack(integrals))
    return weights
