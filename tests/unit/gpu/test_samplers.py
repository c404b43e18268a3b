"""Samplers against a case whose answer is known: latents that are Gaussian with standard deviation SPREAD."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farm.domain import sampling_names
from farm.domain.sampling_names import UnknownSampler
from workers.gpu.noise import SamplerNoise, crop_streams
from workers.gpu.samplers.registry import ROW_BY_ROW, SAMPLERS, needs_uncond, sampler
from workers.gpu.schedules import DROPS_PENULTIMATE, schedule
from workers.gpu.sigmas import SigmaTable, betas_of

SPREAD = 0.7
TABLE = SigmaTable(betas_of({}))
STAYS_ABOVE_ZERO = {"dpm_fast", "dpm_adaptive"}
LOOSE = {
    "euler",
    "ddim",
    "euler_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "heunpp2",
    "dpm_adaptive",
}
"""Methods of first order, and one that stops at its own tolerance."""
STOCHASTIC = {name for name in SAMPLERS if any(part in name for part in ("ancestral", "sde", "seeds", "sa_"))} | {
    "ddpm"
}
BIASED = {"dpmpp_2s_ancestral_cfg_pp"}
"""It mixes predictions of two levels, so that in the limit its results have another spread. A golden row holds it."""
DETERMINISTIC = sorted(set(SAMPLERS) - STOCHASTIC - {"lcm"})


class Gaussian:
    """D(x, sigma) of Gaussian latents: the mean of what the clean latents can be."""

    def __init__(self) -> None:
        self.table = TABLE
        self.uncond = torch.empty(0)
        self.called_with: list[float] = []
        self.begun: list[float] = []

    def step(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.begun.append(float(sigma))
        return self(x, sigma)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.called_with.append(float(sigma))
        self.uncond = x * SPREAD**2 / (SPREAD**2 + sigma**2)
        return self.uncond


def _run(name: str, x: Tensor, sigmas: Tensor, seed: int = 1) -> tuple[Tensor, Gaussian]:
    model = Gaussian()
    positive = sigmas[sigmas > 0]
    streams = crop_streams([seed + i for i in range(len(x))])
    noise = SamplerNoise(streams, x.shape[1:], x.device, lambda: (positive.min(), positive.max()))
    return sampler(name)(model, x, sigmas, noise), model


def _start(rows: int, sigma: Tensor, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn((rows, 4, side, side), generator=generator) * torch.sqrt(SPREAD**2 + sigma**2)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_sampler_follows_the_exact_path(name: str) -> None:
    sigmas = schedule("karras", TABLE, name, 40)
    x = _start(1, sigmas[0])
    end = sigmas[-2] if name in STAYS_ABOVE_ZERO else torch.zeros(())
    exact = x * torch.sqrt((SPREAD**2 + end**2) / (SPREAD**2 + sigmas[0] ** 2))
    result, _ = _run(name, x, sigmas)
    error = float((result - exact).abs().max() / exact.std())
    assert error < (0.2 if name in LOOSE else 0.03)


@pytest.mark.parametrize("name", sorted(STOCHASTIC - BIASED))
def test_a_stochastic_sampler_ends_in_the_right_distribution(name: str) -> None:
    sigmas = schedule("karras", TABLE, name, 40)
    result, _ = _run(name, _start(2, sigmas[0], side=48), sigmas)
    assert float(result.std()) == pytest.approx(SPREAD, rel=0.1)
    assert abs(float(result.mean())) < 0.03


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - ROW_BY_ROW))
def test_a_row_does_not_depend_on_the_rows_beside_it(name: str) -> None:
    sigmas = schedule("normal", TABLE, name, 6)
    x = _start(3, sigmas[0])
    together, _ = _run(name, x, sigmas, seed=5)
    for row in range(3):
        alone, _ = _run(name, x[row : row + 1], sigmas, seed=5 + row)
        assert torch.equal(together[row : row + 1], alone)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_give_numbers(name: str, steps: int) -> None:
    sigmas = schedule("normal", TABLE, name, steps)
    result, model = _run(name, _start(1, sigmas[0]), sigmas)
    assert torch.isfinite(result).all()
    assert all(sigma > 0 for sigma in model.called_with)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - STAYS_ABOVE_ZERO))
def test_every_step_is_reported_once_and_in_order(name: str) -> None:
    sigmas = schedule("normal", TABLE, name, 5)
    _, model = _run(name, _start(1, sigmas[0]), sigmas)
    assert model.begun == [float(sigma) for sigma in sigmas[:-1]]


def test_lcm_ends_with_the_models_last_word() -> None:
    sigmas = schedule("normal", TABLE, "lcm", 4)
    result, model = _run("lcm", _start(1, sigmas[0]), sigmas)
    assert torch.equal(result, model.uncond)


def test_uni_pc_with_one_step_never_denoises_as_in_comfyui() -> None:
    sigmas = schedule("normal", TABLE, "uni_pc", 1)
    result, model = _run("uni_pc", _start(1, sigmas[0]), sigmas)
    assert model.called_with == []
    assert float(result.std()) > 0.9


def test_the_names_that_the_api_knows_are_the_samplers_that_there_are() -> None:
    assert tuple(SAMPLERS) == sampling_names.SAMPLERS
    assert not set(sampling_names.MISSING_SAMPLERS) & set(SAMPLERS)


def test_only_cfg_pp_samplers_need_the_unconditional_prediction() -> None:
    assert {name for name in SAMPLERS if needs_uncond(name)} == {name for name in SAMPLERS if name.endswith("_cfg_pp")}


def test_samplers_that_leave_a_level_out_are_samplers() -> None:
    assert set(SAMPLERS) >= DROPS_PENULTIMATE


def test_an_unknown_sampler_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(UnknownSampler, match=r"eulr.*euler_ancestral"):
        sampler("eulr")
