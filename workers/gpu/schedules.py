"""Schedules: the noise levels of a run, by ComfyUI's names (PARITY 3.2, 3.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TypedDict

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from farm.domain.sampling_names import UnknownScheduler, gits_coefficient
from workers.gpu.sigmas import SigmaTable

DROPS_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
"""Samplers that ask for one step more and leave the last but one noise level out."""
KARRAS_RHO = 7.0
BETA_SHAPE = 0.6
"""Both shape parameters of the beta distribution."""
LINEAR_SHARE = 0.025
"""Where the linear half of `linear_quadratic` ends, as a share of the largest noise level."""
GITS_LONGEST = 20
"""Steps of the longest published GITS row; longer runs are interpolated from it."""


def schedule(name: str, table: SigmaTable, sampler_name: str, steps: int) -> Tensor:
    """All noise levels of a run from pure noise, falling, the last one 0; float32 on the CPU.

    Args:
        name: scheduler.
        sampler_name: some samplers leave out the last but one level.
        steps: at least 1. `beta` may give fewer, `ddim_uniform` more.
    Raises:
        UnknownScheduler.
    """
    if sampler_name not in DROPS_PENULTIMATE:
        return _levels(name, table, steps)
    levels = _levels(name, table, steps + 1)
    return torch.cat([levels[:-2], levels[-1:]])


def _levels(name: str, table: SigmaTable, steps: int) -> Tensor:
    if name in SCHEDULERS:
        return _with_zero(SCHEDULERS[name](table, steps))
    ays = _published()["ays"].get(name.removeprefix("AYS "))
    if ays is not None and name.startswith("AYS "):
        return _zero_at_end(_stretched(ays, steps))
    coefficient = gits_coefficient(name)
    if coefficient is None:
        raise UnknownScheduler(name)
    return _zero_at_end(_gits(coefficient, steps))


def _with_zero(levels: Tensor) -> Tensor:
    return torch.cat([levels.to(torch.float32), torch.zeros(1)])


def _zero_at_end(levels: list[float]) -> Tensor:
    return torch.tensor([*levels[:-1], 0.0], dtype=torch.float32)


def normal(table: SigmaTable, steps: int) -> Tensor:
    """Even in timesteps, both ends included."""
    return table.sigma(torch.linspace(len(table) - 1, 0, steps))


def sgm_uniform(table: SigmaTable, steps: int) -> Tensor:
    """Even in timesteps, without the lowest."""
    return table.sigma(torch.linspace(len(table) - 1, 0, steps + 1)[:-1])


def simple(table: SigmaTable, steps: int) -> Tensor:
    """Every so many entries of the table, from its top."""
    stride = len(table) / steps
    return table.sigmas[[len(table) - 1 - int(i * stride) for i in range(steps)]]


def ddim_uniform(table: SigmaTable, steps: int) -> Tensor:
    """Every so many entries of the table, from its bottom; may be more than `steps`."""
    stride = max(len(table) // steps, 1)
    return table.sigmas[1::stride].flip(0)


def karras(table: SigmaTable, steps: int) -> Tensor:
    """Karras et al. 2022, arXiv:2206.00364, equation 5."""
    top, bottom = table.largest ** (1 / KARRAS_RHO), table.smallest ** (1 / KARRAS_RHO)
    ramp = torch.linspace(0, 1, steps)
    result: Tensor = (top + ramp * (bottom - top)) ** KARRAS_RHO
    return result


def exponential(table: SigmaTable, steps: int) -> Tensor:
    """Even in the logarithm of the noise level."""
    return torch.linspace(math.log(table.largest), math.log(table.smallest), steps).exp()


def beta(table: SigmaTable, steps: int) -> Tensor:
    """Dense at both ends (arXiv:2407.12173); equal neighbors are dropped, so it may be fewer than `steps`."""
    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    timesteps = np.rint(stats.beta.ppf(shares, BETA_SHAPE, BETA_SHAPE) * (len(table) - 1)).astype(int)
    kept = [int(t) for i, t in enumerate(timesteps) if i == 0 or t != timesteps[i - 1]]
    return table.sigmas[kept]


def linear_quadratic(table: SigmaTable, steps: int) -> Tensor:
    """Linear over the first half of the steps, then a parabola that goes on with the same slope."""
    if steps == 1:
        return table.sigmas[-1:]
    half = steps // 2
    slope = LINEAR_SHARE / half
    bend = (1 - LINEAR_SHARE - slope * (steps - half)) / (steps - half) ** 2
    gone = [slope * i + bend * max(0, i - half) ** 2 for i in range(steps)]
    return torch.tensor([1 - share for share in gone], dtype=torch.float32) * table.largest


def kl_optimal(table: SigmaTable, steps: int) -> Tensor:
    """Even in the arc tangent of the noise level (arXiv:2404.14507, section 3)."""
    share = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    return (share * math.atan(table.smallest) + (1 - share) * math.atan(table.largest)).tan()


SCHEDULERS: dict[str, Callable[[SigmaTable, int], Tensor]] = {
    function.__name__: function
    for function in (
        normal,
        karras,
        exponential,
        sgm_uniform,
        simple,
        ddim_uniform,
        beta,
        linear_quadratic,
        kl_optimal,
    )
}
"""Those that follow the model's own table; AYS and GITS are published levels."""


class Published(TypedDict):
    """Noise levels from papers."""

    ays: dict[str, list[float]]
    """Align Your Steps, arXiv:2404.14507: by model, for 10 steps."""
    gits: dict[str, dict[str, list[float]]]
    """arXiv:2405.11326: by coefficient, then by number of steps."""


@cache
def _published() -> Published:
    tables: Published = json.loads(files("workers.gpu").joinpath("schedule_tables.json").read_text())
    return tables


def _stretched(levels: list[float], steps: int) -> list[float]:
    """The levels, log-linearly interpolated to `steps` + 1 values."""
    if len(levels) == steps + 1:
        return levels
    places = np.linspace(0, 1, steps + 1)
    rising = np.interp(places, np.linspace(0, 1, len(levels)), np.log(levels[::-1]))
    return [float(level) for level in np.exp(rising)[::-1]]


def _gits(coefficient: str, steps: int) -> list[float]:
    rows = _published()["gits"][coefficient]
    if 2 <= steps <= GITS_LONGEST:
        return rows[str(steps)]
    # One step takes the quiet end of the longest row, as the original does.
    return rows[str(GITS_LONGEST)][-2:] if steps == 1 else _stretched(rows[str(GITS_LONGEST)], steps)
