"""A model's table of noise levels, and its way between noise level and timestep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workers.gpu.faults import BadModel

LAST_SIGNAL = 4.8973451890853435e-08
"""Share of signal that a schedule which ends in pure noise keeps, so that its noise level is finite: ComfyUI's."""


class SigmaTable:
    """Noise levels sigma of a model trained on discrete timesteps, rising; float32, on the CPU.

    Source:
        PARITY 3.1: sigma = sqrt((1 - abar) / abar), computed in float64 and rounded.
    """

    def __init__(self, betas: Tensor) -> None:
        alphas = torch.cumprod(1 - betas.to(torch.float64), dim=0)
        sigmas = torch.sqrt((1 - alphas) / alphas)
        self.sigmas: Tensor = sigmas.to(torch.float32)
        self.log_sigmas: Tensor = torch.log(sigmas).to(torch.float32)

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def smallest(self) -> float:
        """Noise level of timestep 0."""
        return float(self.sigmas[0])

    @property
    def largest(self) -> float:
        """Noise level of the last timestep."""
        return float(self.sigmas[-1])

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise levels of fractional timesteps, log-linear between the table's."""
        timestep = timestep.to(torch.float32).clamp(0, len(self) - 1)
        low, high, weight = timestep.floor().long(), timestep.ceil().long(), timestep.frac()
        return torch.exp((1 - weight) * self.log_sigmas[low] + weight * self.log_sigmas[high])

    def timestep(self, sigma: Tensor) -> int:
        """The timestep whose noise level is nearest, by logarithm; every model call uses this whole number."""
        return int(torch.argmin(torch.abs(torch.log(sigma.cpu()) - self.log_sigmas)))


def betas_of(config: Mapping[str, Any], linear: bool = False) -> Tensor:
    """The betas that a `scheduler_config.json` describes, float64.

    Args:
        config: the file's content.
        linear: take the straight line between the first and the last beta, as AnimateDiff's own motion modules were
            trained with (PARITY 7), whatever the file says.
    Raises:
        BadModel: if the schedule is of a kind that the engine does not know.
    """
    count = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 0.00085)), float(config.get("beta_end", 0.012))
    kind = "linear" if linear else str(config.get("beta_schedule", "scaled_linear"))
    trained = config.get("trained_betas")
    if trained is not None and not linear:
        return torch.tensor(trained, dtype=torch.float64)
    if kind == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float64)
    elif kind == "scaled_linear":
        betas = torch.linspace(math.sqrt(start), math.sqrt(end), count, dtype=torch.float64) ** 2
    else:
        raise BadModel(
            f"its scheduler has the beta schedule {kind!r}", "use `linear`, `scaled_linear`, `trained_betas`"
        )
    return _to_pure_noise(betas) if config.get("rescale_betas_zero_snr") and not linear else betas


def _to_pure_noise(betas: Tensor) -> Tensor:
    """The same schedule, stretched so that it ends in noise alone (arXiv:2305.08891, algorithm 1), or all but alone."""
    roots = torch.sqrt(torch.cumprod(1 - betas, dim=0))
    stretched = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    stretched[-1] = LAST_SIGNAL
    before = torch.cat([torch.ones(1, dtype=torch.float64), stretched[:-1]])
    return 1 - stretched / before
