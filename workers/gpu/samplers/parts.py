"""What samplers are given and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from workers.gpu.sigmas import SigmaTable


class Model(Protocol):
    """D(x, sigma): the clean latents, after guidance and mask, that the model sees in noisy ones."""

    @property
    def table(self) -> SigmaTable:
        """The model's own noise levels."""

    @property
    def uncond(self) -> Tensor:
        """U: the unconditional clean latents of the last call, without mask."""

    def step(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D at the beginning of a step: counts the steps; what it gave last is the result of the `impact` route."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D anywhere else."""


class Noise(Protocol):
    """Noise of the batch; each row's numbers are its own."""

    def normal(self) -> Tensor:
        """The next unit Gaussian noise."""

    def brownian(self, sigma: Tensor, sigma_next: Tensor, on_device: bool = False) -> Tensor:
        """Unit noise of the Brownian path from `sigma` down to `sigma_next`."""


class Sampler(Protocol):
    """Runs a schedule."""

    def __call__(self, model: Model, x: Tensor, sigmas: Tensor, noise: Noise, /) -> Tensor:
        """Latents at the last of `sigmas` (float32, falling, on the CPU), from `x`, latents at the first."""


def steps(sigmas: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Start and end of each step."""
    return pairwise(sigmas)


def ancestral(s: Tensor, t: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """(down, up): the level to go down to, and that of the noise to add, so that the step ends at `t`.

    Written with two roots, as ComfyUI has it: it loses digits where `t` is much smaller than `s`.
    """
    if eta == 0:
        return t, torch.zeros_like(t)
    up = torch.minimum(t, eta * (t**2 * (s**2 - t**2) / s**2) ** 0.5)
    return (t**2 - up**2) ** 0.5, up


def grown(value: Tensor) -> Tensor:
    """e^value - 1."""
    return torch.expm1(value)


def half_way(s: Tensor, t: Tensor) -> Tensor:
    """The geometric mean of two levels, in the very order of operations that decides its last bit."""
    a, b = -s.log(), -t.log()
    return torch.exp(-(a + 0.5 * (b - a)))
