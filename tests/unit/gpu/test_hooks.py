"""The farm's own hooks on latents, and through the engine."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.detail.enhance import CropInput
from farm.detail.hooks import Chain, DetailerHook, KSample
from farm.domain import hooks as specs
from farm.domain.detailer import Detailer, JobType
from farm.domain.hooks import Hook
from tests.unit.gpu.demo import FOLDER
from workers.gpu.batch import Batch
from workers.gpu.denoiser import Context, Guidance, RunModel
from workers.gpu.engine import Engine, open_engine
from workers.gpu.hooks import foretold, open_hooks
from workers.gpu.noise import SamplerNoise, crop_streams, initial_noise
from workers.gpu.samplers.registry import sampler
from workers.gpu.sampling import Painter, Sampling, unsample
from workers.gpu.schedules import schedule
from workers.gpu.sigmas import SigmaTable, betas_of

LATENTS = torch.randn((2, 4, 6, 5), generator=torch.Generator().manual_seed(0))
SAMPLING = KSample((5, 6), 20, 8.0, "euler", "normal", 0.5)
PICTURE = np.random.default_rng(0).random((8, 12, 3), dtype=np.float32).repeat(4, axis=0).repeat(4, axis=1)


def _draw(latents: Tensor, seed: int) -> Tensor:
    return initial_noise(crop_streams([seed] * len(latents)), latents.shape[1:])


def _chain(*hooks: Hook) -> Chain[Tensor]:
    return open_hooks(hooks, (), lambda latents, spec, step: latents * 0 + step, _draw)


def test_noise_is_injected_in_proportion_with_the_seed_of_the_cycle() -> None:
    chain = _chain(specs.NoiseInjection(seed=3, start_strength=2, end_strength=1, schedule_for_cycle="from_start"))
    for cycle, strength in enumerate((2.0, 1.5, 1.0)):
        noisy = chain.begin_cycle(cycle, 3, LATENTS)
        assert torch.allclose(noisy, LATENTS + strength * _draw(LATENTS, 3 + 2 * cycle))


def test_the_first_cycle_may_be_left_alone() -> None:
    chain = _chain(specs.NoiseInjection(), specs.Unsampler())
    assert torch.equal(chain.begin_cycle(0, 2, LATENTS), LATENTS)
    assert not torch.equal(chain.begin_cycle(1, 2, LATENTS), LATENTS)


def test_variation_noise_mixes_two_seeds_and_keeps_the_variance() -> None:
    chain = _chain(specs.VariationNoise(variation_seed=9, variation_strength=0.25))
    noise = chain.get_custom_noise(SAMPLING, LATENTS)
    assert noise is not None
    own = torch.cat([_draw(LATENTS, 5)[:1], _draw(LATENTS, 6)[:1]])
    assert torch.allclose(noise, (0.75 * own + 0.25 * _draw(LATENTS, 9)) / (0.75**2 + 0.25**2) ** 0.5)
    large = torch.zeros((1, 4, 64, 64))
    mixed = chain.get_custom_noise(SAMPLING, large)
    assert mixed is not None
    assert float(mixed.std()) == pytest.approx(1, abs=0.02)
    assert _chain(specs.VariationNoise(variation_strength=0)).get_custom_noise(SAMPLING, LATENTS) is None


def test_variations_build_on_each_other() -> None:
    first = specs.VariationNoise(variation_seed=9, variation_strength=0.5)
    second = specs.VariationNoise(variation_seed=4, variation_strength=1)
    noise = _chain(first, second).get_custom_noise(SAMPLING, LATENTS)
    assert noise is not None
    assert torch.allclose(noise, _draw(LATENTS, 4))


def test_the_unsampler_goes_back_to_a_step_between_two_and_may_normalize() -> None:
    spec = specs.Unsampler(start_end_at_step=4, end_end_at_step=9, schedule_for_cycle="from_start")
    chain = _chain(spec)
    assert [float(chain.begin_cycle(cycle, 3, LATENTS).mean()) for cycle in range(3)] == [4, 6, 9]
    shifted = open_hooks(
        [spec.model_copy(update={"normalize": True})], (), lambda latents, _spec, _step: 3 * latents + 7, _draw
    ).begin_cycle(0, 1, LATENTS)
    for row in shifted:
        assert float(row.mean()) == pytest.approx(0, abs=1e-5)
        assert float(row.std()) == pytest.approx(1, abs=1e-5)


def test_schedules_go_to_their_targets_over_the_cycles_and_add_up() -> None:
    hooks: list[Hook] = [
        specs.DenoiseSchedule(target_denoise=0.1),
        specs.CfgSchedule(target_cfg=2),
        specs.StepsSchedule(target_steps=7),
    ]
    found = foretold(hooks, SAMPLING, 3)
    assert [one.denoise for one in found] == pytest.approx([0.5, 0.3, 0.1])
    assert [one.cfg for one in found] == [8, 5, 2]
    assert [one.steps for one in found] == [20, 13, 7]
    assert foretold(hooks, SAMPLING, 1) == [SAMPLING]


def _painter() -> Painter:
    text = torch.zeros((1, 77, 2))
    return Painter(
        lambda x, timestep, text: 0.3 * x, SigmaTable(betas_of({})), 1.0, Guidance(text, text, 1.0), Context(16)
    )


def test_running_backwards_undoes_a_run_without_new_noise() -> None:
    painter, steps = _painter(), 200
    back = unsample(LATENTS, painter, Sampling("euler", "normal", steps, 1.0), 100)
    assert float(back.std()) > 1.2 * float(LATENTS.std())
    falling = schedule("normal", painter.table, "euler", steps)[100:]
    noise = SamplerNoise((), (4, 6, 5), torch.device("cpu"), lambda: (falling[0], falling[1]))
    forth = sampler("euler")(RunModel(painter.denoiser("euler"), falling, None, lambda _: None), back, falling, noise)
    assert torch.allclose(forth, LATENTS, atol=0.02 * float(LATENTS.std()))


def test_running_backwards_keeps_what_the_mask_keeps_and_may_have_nothing_to_do() -> None:
    mask = torch.zeros((2, 1, 6, 5))
    mask[..., 3:] = 1
    back = unsample(LATENTS, _painter(), Sampling("heun", "karras", 10, 1.0), 4, mask)
    assert torch.allclose(back[..., :3], LATENTS[..., :3], atol=1e-5)
    assert not torch.allclose(back[..., 3:], LATENTS[..., 3:], atol=1e-2)
    assert torch.equal(unsample(LATENTS, _painter(), Sampling("euler", "normal", 10, 1.0), 10), LATENTS)


@cache
def _engine() -> Engine:
    return open_engine("diffusers", device="cpu", threads=1)


def _crops(count: int, seed: int = 3) -> tuple[CropInput, ...]:
    mask = np.linspace(0, 1, 48, dtype=np.float32)[None].repeat(32, axis=0)
    return tuple(CropInput(np.roll(PICTURE, k, axis=1), mask, (64, 40), seed, k) for k in range(count))


def _patches(
    *hooks: Hook,
    crops: tuple[CropInput, ...] | None = None,
    job_type: JobType = JobType.MASK,
    plugins: tuple[DetailerHook[Tensor], ...] = (),
) -> list[NDArray[np.uint8]]:
    detailer = Detailer(steps=2, cfg=1.5, denoise=0.4, prompt="sharp", cycle=2, hooks=hooks)
    batch = Batch(job_type, detailer, crops or _crops(1), FOLDER, None, 9, plugins)
    told: list[tuple[int, int]] = []
    patches = _engine().detail(batch, lambda step, steps: told.append((step, steps)))
    assert told == [(step, told[-1][1]) for step in range(1, told[-1][1] + 1)]
    return patches


EVERY: list[Hook] = [
    specs.NoiseInjection(schedule_for_cycle="from_start"),
    specs.VariationNoise(variation_seed=8, variation_strength=0.4),
    specs.Unsampler(steps=4, start_end_at_step=2, end_end_at_step=3, schedule_for_cycle="from_start"),
    specs.DenoiseSchedule(target_denoise=0.9),
    specs.CfgSchedule(target_cfg=8),
    specs.StepsSchedule(target_steps=4),
]


@pytest.mark.parametrize("hook", EVERY, ids=lambda hook: hook.kind)
def test_every_hook_changes_the_patch_and_gives_a_crop_the_same_alone_and_in_a_batch(hook: Hook) -> None:
    crops = _crops(2)
    together = _patches(hook, crops=crops)
    assert not np.array_equal(together[0], _patches()[0])
    alone = _patches(hook, crops=crops[1:])[0]
    levels = np.abs(together[1].astype(int) - alone)
    assert levels.max() <= 1
    assert (levels > 0).mean() < 1e-3


def test_hooks_draw_each_frames_part_of_a_clips_noise() -> None:
    still = tuple(CropInput(PICTURE, None, (64, 40), 3, frame) for frame in (2, 3))
    hook = specs.NoiseInjection(schedule_for_cycle="from_start", start_strength=3, end_strength=3)
    ours = _patches(hook, crops=still, job_type=JobType.ANIMATEDIFF)
    plain = _patches(crops=still, job_type=JobType.ANIMATEDIFF)
    assert np.abs(ours[0].astype(int) - ours[1]).mean() > np.abs(plain[0].astype(int) - plain[1]).mean()


def test_a_hook_without_effect_leaves_every_bit() -> None:
    idle: list[Hook] = [
        specs.Preview(),
        specs.VariationNoise(variation_strength=0),
        specs.NoiseInjection(start_strength=0, end_strength=0),
        specs.LabelFilter(labels="none of them"),
    ]
    assert np.array_equal(_patches(*idle)[0], _patches()[0])


class Halving(DetailerHook[Tensor]):
    """Halves the sampling size; asks for fewer steps."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        return width // 2, height // 2

    def pre_ksample(self, sampling: KSample) -> KSample:
        return KSample(sampling.seeds, 1, sampling.cfg, "heun", "karras", sampling.denoise)

    def pre_decode(self, latents: Tensor) -> Tensor:
        self.seen.append(tuple(latents.shape))
        return latents


def test_a_packages_hook_takes_its_place_among_the_farms_own() -> None:
    hook, spec = Halving(), specs.PluginHook(name="halving", pure=True, version="1")
    detailer = Detailer(steps=2, cfg=1, prompt="sharp", cycle=1, hooks=(EVERY[0], spec, EVERY[3]))
    told: list[tuple[int, int]] = []
    batch = Batch(JobType.MASK, detailer, _crops(1), FOLDER, None, 9, (hook,))
    patch = _engine().detail(batch, lambda step, steps: told.append((step, steps)))[0]
    assert patch.shape == (32, 48, 3)
    assert hook.seen == [(1, 32, 2, 4)]
    assert told == [(1, 2)]


def test_texts_of_a_crop_take_the_prompts_place_or_are_added_to_it() -> None:
    def patch(prompt: tuple[str, ...], base: str = "sharp") -> NDArray[np.uint8]:
        crop = CropInput(PICTURE, None, (64, 40), 3, 0, prompt)
        batch = Batch(JobType.MASK, Detailer(steps=1, cfg=4, prompt=base), (crop,), FOLDER, None, 1)
        return _engine().detail(batch, lambda step, steps: None)[0]

    assert np.array_equal(patch(("blurry",)), patch((), "blurry"))
    assert not np.array_equal(patch(("sharp", "blurry")), patch(("sharp",)))
    assert not np.array_equal(patch(("sharp", "blurry")), patch(("blurry",)))
