from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workers.gpu.denoiser import Area, Beside, Context, Denoiser, Guidance, NoiseMask, RunModel
from workers.gpu.schedules import schedule
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.windows import Layout

TABLE = SigmaTable(betas_of({}))
SIGMA = TABLE.sigma(torch.tensor(400))
X = torch.randn((3, 4, 8, 8), generator=torch.Generator().manual_seed(0))
POSITIVE, NEGATIVE = torch.full((1, 77, 2), 2.0), torch.full((1, 77, 2), 1.0)


class Network:
    """Predicts its input times the mean of the text; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, ...], int, tuple[int, ...]]] = []

    def __call__(self, x: Tensor, timestep: int, text: Tensor) -> Tensor:
        self.calls.append((tuple(x.shape), timestep, tuple(text.shape)))
        return x[:, :, :4] * text.mean(dim=(1, 2)).reshape(-1, 1, 1, 1, 1)


def _denoiser(cfg: float = 1.0, always_both: bool = False, context: Context | None = None) -> tuple[Denoiser, Network]:
    network = Network()
    guidance = Guidance(POSITIVE, NEGATIVE, cfg, always_both)
    return Denoiser(network, TABLE, guidance, context or Context(16)), network


def _clean(text: float) -> Tensor:
    return X - text * X / torch.sqrt(SIGMA**2 + 1) * SIGMA


def test_the_network_sees_unit_variance_and_the_nearest_whole_timestep() -> None:
    denoiser, network = _denoiser()
    assert torch.allclose(denoiser(X, SIGMA * 1.0001), _clean(2.0), atol=1e-2)
    assert network.calls == [((1, 3, 4, 8, 8), 400, (1, 77, 2))]


def test_guidance_is_done_on_clean_latents_in_one_call_with_the_negative_first() -> None:
    denoiser, network = _denoiser(cfg=3.0)
    assert torch.allclose(denoiser(X, SIGMA), _clean(1.0) + 3 * (_clean(2.0) - _clean(1.0)), atol=1e-5)
    assert torch.allclose(denoiser.uncond, _clean(1.0), atol=1e-6)
    assert network.calls == [((2, 3, 4, 8, 8), 400, (2, 77, 2))]


def test_at_cfg_one_the_negative_is_asked_for_only_where_a_sampler_needs_it() -> None:
    denoiser, network = _denoiser(cfg=1.0, always_both=True)
    assert torch.allclose(denoiser(X, SIGMA), _clean(2.0), atol=1e-5)
    assert torch.allclose(denoiser.uncond, _clean(1.0), atol=1e-6)
    assert network.calls[0][0][0] == 2


def test_texts_of_unlike_length_are_repeated_to_a_common_multiple() -> None:
    network = Network()
    guidance = Guidance(POSITIVE.repeat(1, 2, 1), NEGATIVE.repeat(1, 3, 1), 2.0)
    Denoiser(network, TABLE, guidance, Context(16))(X, SIGMA)
    assert network.calls[0][2] == (2, 77 * 6, 2)


def test_texts_of_far_too_unlike_length_are_not_repeated_but_asked_for_one_by_one() -> None:
    network = Network()
    guidance = Guidance(POSITIVE.repeat(1, 5, 1), NEGATIVE.repeat(1, 4, 1), 2.0)
    denoiser = Denoiser(network, TABLE, guidance, Context(16))
    assert torch.allclose(denoiser(X, SIGMA), _clean(1.0) + 2 * (_clean(2.0) - _clean(1.0)), atol=1e-5)
    assert [text for _, _, text in network.calls] == [(1, 4 * 77, 2), (1, 5 * 77, 2)]


def test_rows_that_do_not_see_each_other_are_counted_off() -> None:
    denoiser, network = _denoiser(context=Context(2))
    assert torch.allclose(denoiser(X, SIGMA), _clean(2.0), atol=1e-5)
    assert [shape[1] for shape, _, _ in network.calls] == [2, 1]


def test_windows_are_used_only_where_a_clip_is_longer() -> None:
    _, network = denoiser_of_windows = _denoiser(cfg=2.0, context=Context(16, Layout(2, 1)))
    assert torch.allclose(denoiser_of_windows[0](X, SIGMA), 2 * _clean(2.0) - _clean(1.0), atol=1e-5)
    assert [shape[:2] for shape, _, _ in network.calls] == [(2, 2), (2, 2)]
    denoiser, network = _denoiser(context=Context(16, Layout(16, 4)))
    denoiser(X, SIGMA)
    assert len(network.calls) == 1


def test_v_prediction() -> None:
    network = Network()
    denoiser = Denoiser(network, TABLE, Guidance(POSITIVE, NEGATIVE, 1.0), Context(16), "v_prediction")
    v = 2 * X / torch.sqrt(SIGMA**2 + 1)
    assert torch.allclose(denoiser(X, SIGMA), X / (SIGMA**2 + 1) - v * SIGMA / torch.sqrt(SIGMA**2 + 1), atol=1e-6)


def test_an_inpaint_model_is_shown_mask_and_picture_beside_each_row() -> None:
    network = Network()
    concat = torch.zeros((3, 5, 8, 8))
    Denoiser(network, TABLE, Guidance(POSITIVE, NEGATIVE, 2.0), Context(2), beside=Beside(concat))(X, SIGMA)
    assert [shape for shape, _, _ in network.calls] == [(2, 2, 9, 8, 8), (2, 1, 9, 8, 8)]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("context", [Context(2), Context(2, Layout(2, 1))])
def test_further_prompts_count_by_their_weight_beside_the_one_they_stand_beside(cfg: float, context: Context) -> None:
    network = Network()
    weight = torch.zeros((3, 1, 8, 8))
    weight[1, :, :, 4:] = 3.0
    areas = (Area(torch.full((1, 154, 2), 4.0), weight), Area(torch.full((1, 77, 2), 7.0), weight, negative=True))
    guidance = Guidance(POSITIVE, NEGATIVE, cfg)
    denoiser = Denoiser(network, TABLE, guidance, context, beside=Beside(areas=areas))
    found = denoiser(X, SIGMA)
    share = weight / (1 + weight)
    positive, negative = (
        _clean(text) * (1 - share) + _clean(other) * share for text, other in ((2.0, 4.0), (1.0, 7.0))
    )
    assert torch.allclose(found, negative + cfg * (positive - negative), atol=1e-4)
    assert len(network.calls) == 2 * (2 if cfg == 1 else 3)


def _masked(mask: Tensor, differential: bool = False) -> tuple[RunModel, Tensor, Tensor]:
    latent, noise = torch.full_like(X, 3.0), torch.full_like(X, 0.5)
    sigmas = schedule("normal", TABLE, "euler", 10)
    run = RunModel(_denoiser()[0], sigmas, NoiseMask(mask, latent, noise, differential), lambda _: None)
    return run, latent, sigmas


def test_outside_the_mask_the_latent_is_kept_and_the_network_sees_it_noised() -> None:
    run, latent, _ = _masked(torch.zeros((3, 1, 8, 8)))
    assert torch.equal(run(X, SIGMA), latent)
    run, _, _ = _masked(torch.ones((3, 1, 8, 8)))
    assert torch.allclose(run(X, SIGMA), _clean(2.0), atol=1e-5)


def test_a_soft_mask_mixes_before_and_after_the_network() -> None:
    run, latent, _ = _masked(torch.full((3, 1, 8, 8), 0.25))
    seen = 0.25 * X + 0.75 * (latent + 0.5 * SIGMA)
    cleaned = seen - 2 * seen / torch.sqrt(SIGMA**2 + 1) * SIGMA
    assert torch.allclose(run(X, SIGMA), 0.25 * cleaned + 0.75 * latent, atol=1e-4)


def test_differential_diffusion_frees_a_pixel_when_the_run_has_come_down_to_its_value() -> None:
    run, latent, sigmas = _masked(torch.full((3, 1, 8, 8), 0.5), differential=True)
    freed = [not torch.equal(run(X, sigma), latent) for sigma in sigmas[:-1]]
    assert freed == sorted(freed)
    assert 4 <= freed.count(True) <= 6


def test_steps_are_told_when_the_next_one_begins() -> None:
    told: list[int] = []
    run = RunModel(_denoiser()[0], schedule("normal", TABLE, "euler", 3), None, told.append)
    for _ in range(3):
        run.step(X, SIGMA)
    assert told == [1, 2]


def test_what_a_listener_raises_passes_through() -> None:
    def stop(step: int) -> None:
        raise KeyboardInterrupt

    run = RunModel(_denoiser()[0], schedule("normal", TABLE, "euler", 3), None, stop)
    run.step(X, SIGMA)
    with pytest.raises(KeyboardInterrupt):
        run.step(X, SIGMA)
