from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farm.domain.sampling_names import SAMPLERS, UnknownSampler
from farm.domain.step_rules import DIVIDES_BY_STEPS, LEAVES_THE_LAST_STEP, LevelsRepeat, TooManySteps
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.noise import clip_streams, crop_streams, initial_noise
from workers.gpu.sampling import Painter, Sampling, parts, sample, step_count
from workers.gpu.sigmas import SigmaTable, betas_of

TABLE = SigmaTable(betas_of({}))
LATENTS = torch.randn((3, 4, 8, 8), generator=torch.Generator().manual_seed(0))
TEXT = torch.zeros((1, 77, 2))


def _painter(share: float = 0.9, scaling: float = 1.0) -> Painter:
    """A network that takes most of its input for noise."""

    def network(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        return share * x

    return Painter(network, TABLE, scaling, Guidance(TEXT, TEXT, 1.0), Context(16))


def _sampling(
    sampler_name: str = "euler", denoise: float = 0.5, route: str = "ksampler", refiner_ratio: float | None = None
) -> Sampling:
    return Sampling(sampler_name, "normal", 6, denoise, "impact" if route == "impact" else "ksampler", refiner_ratio)


@pytest.mark.parametrize("name", ["euler", "euler_ancestral", "dpmpp_2m_sde", "dpm_adaptive", "ddim", "sa_solver"])
def test_a_crop_comes_out_as_if_it_were_alone(name: str) -> None:
    mask = torch.rand((3, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    together = sample(LATENTS, [_painter()], _sampling(name), crop_streams([5, 6, 7]), mask)
    for row in range(3):
        rows = slice(row, row + 1)
        alone = sample(LATENTS[rows], [_painter()], _sampling(name), crop_streams([5 + row]), mask[rows])
        assert torch.equal(together[rows], alone)


def test_a_clip_is_sampled_as_one() -> None:
    streams = clip_streams(5, range(3), 3)
    together = sample(LATENTS, [_painter()], _sampling("dpm_adaptive"), streams)
    alone = sample(LATENTS[:1], [_painter()], _sampling("dpm_adaptive"), clip_streams(5, [0], 3))
    assert not torch.equal(together[:1], alone)


def test_outside_the_mask_the_latent_comes_back() -> None:
    mask = torch.zeros((3, 1, 8, 8))
    mask[..., 4:] = 1
    result = sample(LATENTS, [_painter()], _sampling(), crop_streams([5, 6, 7]), mask)
    assert torch.allclose(result[..., :4], LATENTS[..., :4], atol=1e-5)
    assert not torch.allclose(result[..., 4:], LATENTS[..., 4:], atol=1e-2)


def test_latents_are_scaled_on_the_way_in_and_out() -> None:
    mask = torch.zeros((3, 1, 8, 8))
    result = sample(LATENTS, [_painter(scaling=4.5)], _sampling(), crop_streams([5, 6, 7]), mask)
    assert torch.allclose(result, LATENTS, atol=1e-5)


@pytest.mark.parametrize("name", ["euler", "heun", "dpm_adaptive", "uni_pc"])
@pytest.mark.parametrize("refiner_ratio", [None, 0.4])
def test_as_many_steps_are_told_as_were_foretold(name: str, refiner_ratio: float | None) -> None:
    told: list[int] = []
    sampling = _sampling(name, refiner_ratio=refiner_ratio)
    painters = [_painter(), _painter()]
    sample(LATENTS, painters, sampling, crop_streams([5, 6, 7]), on_step=told.append)
    assert told == sorted(told)
    assert told[-1] == step_count(sampling, [TABLE, TABLE], 3, one_stream=False)
    if name != "dpm_adaptive":
        assert told == [*range(1, 7)]


def test_a_refiner_runs_the_last_steps() -> None:
    streams = crop_streams([5, 6, 7])
    sampling = _sampling(refiner_ratio=0.5)
    alone = sample(LATENTS, [_painter()], _sampling(route="impact"), streams)
    same = sample(LATENTS, [_painter(), _painter()], sampling, streams)
    other = sample(LATENTS, [_painter(), _painter(0.5)], sampling, streams)
    assert torch.allclose(same, alone, atol=1e-5)
    assert not torch.allclose(other, alone, atol=1e-2)


def _spied(seen: list[Tensor]) -> Painter:
    def network(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        seen.append(x[0])
        return 0.9 * x

    return Painter(network, TABLE, 1.0, Guidance(TEXT, TEXT, 1.0), Context(16))


@pytest.mark.parametrize("route", ["ksampler", "impact"])
def test_the_refiner_is_handed_the_noisy_latent_inside_the_mask_and_the_clean_one_outside(route: str) -> None:
    mask, streams = torch.zeros((3, 1, 8, 8)), crop_streams([5, 6, 7])
    mask[..., 4:] = 1
    base: list[Tensor] = []
    refiner: list[Tensor] = []
    sampling = _sampling(route=route, refiner_ratio=0.5)
    result = sample(LATENTS, [_spied(base), _spied(refiner)], sampling, streams, mask)
    assert (len(base), len(refiner)) == (3, 3)
    level = parts(sampling, [TABLE, TABLE])[1].sigmas[0]
    first = refiner[0] * torch.sqrt(level**2 + 1)
    # No noise is added again: outside the mask the clean latent stands where noise is expected.
    assert torch.allclose(first[..., :4], LATENTS[..., :4], atol=1e-5)
    assert not torch.allclose(first[..., 4:], LATENTS[..., 4:], atol=0.2)
    alone = sample(LATENTS, [_spied([])], _sampling(route="impact"), streams, mask)
    assert torch.allclose(result[..., 4:], alone[..., 4:], atol=1e-4)
    assert torch.allclose(result[..., :4], LATENTS[..., :4], atol=1e-5)


def test_a_refiner_that_runs_all_steps_adds_the_noise_itself() -> None:
    streams = crop_streams([5, 6, 7])
    result = sample(LATENTS, [_painter(0.0), _painter()], _sampling(refiner_ratio=1.0), streams)
    assert torch.allclose(result, sample(LATENTS, [_painter()], _sampling(route="impact"), streams), atol=1e-5)


def test_noise_of_ones_own_takes_the_place_of_the_streams() -> None:
    streams, others = crop_streams([5, 6, 7]), crop_streams([1, 2, 3])
    noise = initial_noise(streams, LATENTS.shape[1:])
    for name in ("euler", "dpm_adaptive"):
        expected = sample(LATENTS, [_painter()], _sampling(name), streams)
        assert torch.equal(sample(LATENTS, [_painter()], _sampling(name), others, noise=noise), expected)


def test_a_refiner_without_steps_changes_nothing() -> None:
    streams = crop_streams([5, 6, 7])
    result = sample(LATENTS, [_painter(), _painter(0.0)], _sampling(refiner_ratio=0.0), streams)
    assert torch.allclose(result, sample(LATENTS, [_painter()], _sampling(route="impact"), streams), atol=1e-5)


def test_at_full_denoise_the_run_starts_as_the_model_was_trained() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        seen.append(x)
        return x

    painter = Painter(network, TABLE, 1.0, Guidance(TEXT, TEXT, 1.0), Context(16))
    sample(torch.zeros((1, 4, 64, 64)), [painter], _sampling(denoise=1.0), crop_streams([5]))
    assert float(seen[0].std()) == pytest.approx(1, abs=0.01)


def test_a_tiny_denoise_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(TooManySteps, match="Lower `steps` or raise `denoise`"):
        sample(LATENTS, [_painter()], Sampling("euler", "normal", 10_000, 0.0001), crop_streams([5, 6, 7]))


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"dpm_adaptive"}))
def test_levels_that_repeat_are_refused_for_the_samplers_that_divide_by_their_distance_and_for_no_others(
    name: str,
) -> None:
    sampling = Sampling(name, "simple", 6, 0.005)
    if name in DIVIDES_BY_STEPS:
        with pytest.raises(LevelsRepeat, match=r"1200 steps .* a model has 1000 levels. Lower `steps`"):
            sample(LATENTS[:1], [_painter()], sampling, crop_streams([5]))
    else:
        assert torch.isfinite(sample(LATENTS[:1], [_painter()], sampling, crop_streams([5]))).all()


def test_levels_too_near_to_0_for_a_method_are_refused_in_the_same_words() -> None:
    with pytest.raises(LevelsRepeat, match="'AYS SVD'"):
        sample(LATENTS[:1], [_painter()], Sampling("uni_pc", "AYS SVD", 20, 0.005), crop_streams([5]))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_with_one_step_only_those_that_need_two_never_ask_the_model(name: str) -> None:
    seen: list[Tensor] = []
    guidance = Guidance(TEXT, TEXT, 1.0)
    painter = Painter(_spied(seen).network, TABLE, 1.0, guidance, Context(16))
    sample(LATENTS[:1], [painter], Sampling(name, "sgm_uniform", 1, 1.0), crop_streams([5]))
    result_is_noise = name in LEAVES_THE_LAST_STEP
    assert (not seen or name == "dpm_fast") == result_is_noise


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(UnknownSampler):
        sample(LATENTS, [_painter()], _sampling("eulr"), crop_streams([5, 6, 7]))
