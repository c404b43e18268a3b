"""Parameters of both nodes that decide how a crop is sampled, one by one (SPEC 5 to 8, PARITY 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.domain.detailer import JobType
from tests.unit.gpu.node_at_work import MIDDLE, U8, Call, Mask, NodeAtWork, Painted, marked, picture
from tests.unit.gpu.parameters import CLIP, MASK, holds
from workers.gpu.noise import clip_streams, crop_streams, initial_noise
from workers.gpu.schedules import schedule
from workers.gpu.sigmas import SigmaTable, betas_of

both = pytest.mark.parametrize("kind", [MASK, CLIP])
ONE = marked(MIDDLE)
TWO = marked((2, 30, 16, 44), (30, 4, 44, 18))
"""Two segments, the one on the left first; at 1.5 times their size they do not meet."""
LEFT, RIGHT = (slice(30, 44), slice(2, 16)), (slice(4, 18), slice(30, 44))
TABLE = SigmaTable(betas_of({"beta_schedule": "scaled_linear"}))


def _timesteps(scheduler: str, steps: int, last: int) -> list[int]:
    """Those of the last `last` steps of a schedule."""
    sigmas = schedule(scheduler, TABLE, "euler", steps)[:-1]
    return [TABLE.timestep(sigma) for sigma in sigmas[-last:]]


def _begins_with(call: Call, noise: Tensor) -> bool:
    """Whether what a UNet was given at full noise is this noise and little besides."""
    return call.x.shape == noise.shape and _likeness(call.x, noise) > 0.9


def _likeness(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def _levels_apart(one: U8, other: U8) -> int:
    """Between batches of other sizes one level is a matter of rounding."""
    return int(np.abs(one.astype(int) - other).max())


def _first_calls(painted: Painted) -> list[Call]:
    """Of each batch."""
    return [call for call in painted.calls if call.timestep == painted.timesteps[0]]


def _crop_noise(*seeds: int) -> Tensor:
    return initial_noise(crop_streams(seeds), (4, 8, 8))


@both
@holds("seed")
def test_the_same_seed_gives_the_same_bytes_and_another_one_other_noise(kind: JobType, node: NodeAtWork) -> None:
    first, again, other = (node.paint(kind, ONE, seed=seed, denoise=1) for seed in (7, 7, 8))
    assert np.array_equal(first.frame, again.frame)
    assert not np.array_equal(first.frame, other.frame)
    assert [_begins_with(one.calls[0], _crop_noise(7)) for one in (first, other)] == [True, False]


@holds("seed", of=[MASK])
def test_in_a_mask_job_each_next_segment_of_a_frame_has_the_next_seed(node: NodeAtWork) -> None:
    painted = node.paint(MASK, TWO, seed=7, denoise=1)
    assert [crop.seed for crop in painted.crops] == [7, 8]
    for call, seed in zip(_first_calls(painted), (7, 8), strict=True):
        assert _begins_with(call, _crop_noise(seed))


@pytest.mark.usefixtures("whole_batches")
@holds("seed", of=[CLIP])
def test_in_a_clip_all_segments_have_the_same_seed_and_each_frame_its_part_of_one_noise(node: NodeAtWork) -> None:
    painted = node.paint(CLIP, TWO, frames=2, seed=7, denoise=1)
    assert {crop.seed for crop in painted.crops} == {7}
    noise = initial_noise(clip_streams(7, range(2), 2), (4, 8, 8))
    assert [_begins_with(call, noise) for call in _first_calls(painted)] == [True, True]


@pytest.mark.usefixtures("whole_batches")
@holds("seed_mode", of=[MASK])
def test_seed_mode_per_frame_adds_the_frames_number_in_mask_jobs(node: NodeAtWork) -> None:
    for mode, seeds in (("fixed", [7, 7]), ("per_frame", [7, 8])):
        painted = node.paint(MASK, ONE, frames=2, seed=7, seed_mode=mode, denoise=1)
        assert [crop.seed for crop in painted.crops] == seeds
        assert _begins_with(painted.calls[0], _crop_noise(*seeds))


@holds("seed_mode", of=[CLIP])
def test_seed_mode_is_without_effect_in_a_clip_whose_noise_is_one(node: NodeAtWork) -> None:
    ways = [node.paint(CLIP, ONE, frames=2, seed=7, seed_mode=mode) for mode in ("fixed", "per_frame")]
    assert np.array_equal(ways[0].frames, ways[1].frames)


@both
@holds("steps")
def test_steps_is_the_number_of_steps_that_run_whatever_denoise_is(kind: JobType, node: NodeAtWork) -> None:
    for steps in (1, 3):
        for denoise in (0.3, 1):
            assert len(node.paint(kind, ONE, steps=steps, denoise=denoise).calls) == steps


@both
@holds("denoise")
def test_denoise_is_the_share_of_the_schedule_that_runs_and_all_steps_run(kind: JobType, node: NodeAtWork) -> None:
    assert node.paint(kind, ONE, steps=3, denoise=1).timesteps == _timesteps("normal", 3, 3)
    assert node.paint(kind, ONE, steps=3, denoise=0.5).timesteps == _timesteps("normal", 6, 3)
    assert node.paint(kind, ONE, steps=3, denoise=0.21).timesteps == _timesteps("normal", 14, 3)


@both
@holds("scheduler")
def test_scheduler_spaces_the_noise_levels(kind: JobType, node: NodeAtWork) -> None:
    for name in ("karras", "beta", "AYS SD1", "GITS[coeff=1.20]"):
        assert node.paint(kind, ONE, steps=3, denoise=0.5, scheduler=name).timesteps == _timesteps(name, 6, 3)


@both
@holds("sampler_name")
def test_sampler_name_decides_how_often_the_model_is_asked_between_two_levels(kind: JobType, node: NodeAtWork) -> None:
    for name, calls in (("euler", 3), ("heun", 5), ("dpmpp_2m", 3), ("dpmpp_sde", 5), ("seeds_3", 7)):
        assert len(node.paint(kind, ONE, steps=3, sampler_name=name).calls) == calls, name


@both
@holds("sampling_route")
def test_sampling_route_counts_a_schedule_that_is_too_long_from_its_end_or_from_its_start(
    kind: JobType, node: NodeAtWork
) -> None:
    ways = {
        route: node.paint(kind, ONE, steps=6, denoise=1, scheduler="ddim_uniform", sampling_route=route).timesteps
        for route in ("ksampler", "impact")
    }
    whole = _timesteps("ddim_uniform", 6, 7)
    assert len(whole) == 7
    assert ways == {"ksampler": whole[1:], "impact": whole[:6]}


@both
@holds("cfg")
def test_cfg_leads_from_the_negative_prompt_at_0_to_the_positive_at_1_and_beyond(
    kind: JobType, node: NodeAtWork
) -> None:
    def latents(cfg: float, prompt: str = "a fox", negative: str = "a bear") -> Tensor:
        (decoded,) = node.paint(kind, ONE, steps=1, cfg=cfg, prompt=prompt, negative=negative).decoded
        return decoded

    negative, positive = latents(0), latents(1)
    assert torch.allclose(negative, latents(1, prompt="a bear"), atol=1e-4)
    assert torch.allclose(latents(3), negative + 3 * (positive - negative), atol=1e-3)
    assert not torch.allclose(positive, negative, atol=1e-3)


@both
@holds("cfg", "negative")
def test_at_cfg_1_the_negative_prompt_is_not_looked_at_and_half_the_work_is_done(
    kind: JobType, node: NodeAtWork
) -> None:
    ways = [node.paint(kind, ONE, cfg=1, negative=text) for text in ("", "a bear")]
    assert np.array_equal(ways[0].frame, ways[1].frame)
    rows = [len(node.paint(kind, ONE, cfg=cfg).calls[0].x) for cfg in (1, 2)]
    assert rows == [1, 2]


@both
@holds("negative")
def test_the_negative_prompt_is_the_first_text_of_a_call_with_both(kind: JobType, node: NodeAtWork) -> None:
    plain, other = (node.paint(kind, ONE, cfg=2, negative=text).calls[0].text for text in ("", "a bear"))
    assert not torch.equal(plain[0], other[0])
    assert torch.equal(plain[1], other[1])


@both
@holds("prompt")
def test_the_prompt_is_the_text_that_the_model_is_shown(kind: JobType, node: NodeAtWork) -> None:
    fox, bear = (node.paint(kind, ONE, prompt=text) for text in ("a fox", "a bear"))
    assert not torch.equal(fox.calls[0].text, bear.calls[0].text)
    assert not np.array_equal(fox.frame, bear.frame)


@both
@holds("wildcard")
def test_a_wildcard_gives_each_segment_its_text_in_place_of_the_prompt(kind: JobType, node: NodeAtWork) -> None:
    both_texts = node.paint(kind, TWO, crop_factor=1.5, wildcard="[ASC] a fox [SEP] a bear").frame
    for text, part in (("a fox", LEFT), ("a bear", RIGHT)):
        alone = node.paint(kind, TWO, crop_factor=1.5, prompt=text).frame
        assert _levels_apart(both_texts[part], alone[part]) <= 1
    skipped = node.paint(kind, TWO, crop_factor=1.5, wildcard="[ASC] a fox [SEP] [SKIP]").frame
    assert np.array_equal(skipped[RIGHT], picture()[RIGHT])
    assert _levels_apart(skipped[LEFT], both_texts[LEFT]) <= 1
    assert _levels_apart(alone[LEFT], both_texts[LEFT]) > 1


@both
@holds("cycle")
def test_each_cycle_samples_the_result_of_the_one_before_with_noise_of_the_next_seed(
    kind: JobType, node: NodeAtWork
) -> None:
    once, twice = (node.paint(kind, ONE, cycle=cycle, seed=7, denoise=0.5) for cycle in (1, 2))
    assert [len(one.calls) for one in (once, twice)] == [2, 4]
    assert torch.equal(once.calls[0].x, twice.calls[0].x)
    sigma = TABLE.sigmas[twice.calls[2].timestep]
    first, second = (
        twice.calls[number].x * torch.sqrt(1 + sigma**2) - _crop_noise(seed) * sigma
        for number, seed in ((0, 7), (2, 8))
    )
    # Without its noise it is the picture outside of the mask, and something else inside.
    assert torch.allclose(first[..., 0, :], second[..., 0, :], atol=1e-4)
    assert not torch.allclose(first[..., 3:5, 3:5], second[..., 3:5, 3:5], atol=1e-2)


@both
@holds("hooks")
def test_hooks_change_what_they_say_in_the_cycle_that_they_say(kind: JobType, node: NodeAtWork) -> None:
    hooks = [{"kind": "denoise_schedule", "target_denoise": 0.25}, {"kind": "steps_schedule", "target_steps": 4}]
    painted = node.paint(kind, ONE, cycle=2, steps=2, denoise=0.5, hooks=hooks)
    assert painted.timesteps == _timesteps("normal", 4, 2) + _timesteps("normal", 16, 4)


def _free(node: NodeAtWork, kind: JobType, mask: Mask, **parameters: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - fields of Detailer
    """Which latent pixels depend on the seed, `[8, 8]`: those that are not kept."""
    one, other = (node.paint(kind, mask, seed=seed, denoise=1, **parameters).decoded[0][0] for seed in (1, 2))
    return np.asarray(((one - other).abs() > 1e-3).any(dim=0))


@holds("mask_mode", of=[MASK])
def test_mask_mode_off_repaints_the_whole_crop_and_pastes_only_the_mask(node: NodeAtWork) -> None:
    inside = _free(node, MASK, ONE, mask_mode=True)
    assert inside[2:6, 2:6].all()
    assert not inside[[0, -1]].any()
    assert not inside[:, [0, -1]].any()
    assert _free(node, MASK, ONE, mask_mode=False).all()
    pasted = node.paint(MASK, ONE, mask_mode=False, feather=0, denoise=1).frame
    assert np.array_equal(pasted[ONE == 0], picture()[ONE == 0])


@holds("mask_mode", of=[CLIP])
def test_a_clip_is_repainted_inside_its_masks_always(node: NodeAtWork) -> None:
    ways = [node.paint(CLIP, ONE, mask_mode=mode).frame for mode in (True, False)]
    assert np.array_equal(ways[0], ways[1])


@both
@holds("feather")
def test_feather_softens_the_pastes_edge_and_leaves_what_is_beyond_it_untouched(
    kind: JobType, node: NodeAtWork
) -> None:
    for feather in (0, 4):
        painted = node.paint(kind, ONE, feather=feather, denoise=1)
        changed = (painted.frame != picture()).any(axis=2)
        x1, y1, x2, y2 = MIDDLE
        beyond = marked((x1 - feather, y1 - feather, x2 + feather, y2 + feather)) == 0
        assert not changed[beyond].any()
        assert changed[~beyond & (ONE == 0)].any() == (feather > 0)
    hard, soft = (node.paint(kind, ONE, feather=feather, denoise=1).frame.astype(int) for feather in (0, 4))
    # At the edge the soft one lies between the patch and the picture.
    row = (x1, slice(y1 + 4, y2 - 4))
    assert np.abs(soft[row] - picture()[row]).mean() < np.abs(hard[row] - picture()[row]).mean()
    assert np.array_equal(soft[24, 24], hard[24, 24])


@both
@holds("noise_mask_feather")
def test_noise_mask_feather_frees_pixels_around_the_mask_and_those_farther_out_later(
    kind: JobType, node: NodeAtWork
) -> None:
    hard, soft = (_free(node, kind, ONE, noise_mask_feather=feather, steps=4) for feather in (0, 6))
    assert soft.sum() > hard.sum()
    assert soft[3:5, 3:5].all()
    early = _free(node, kind, ONE, noise_mask_feather=6, steps=1)
    assert early.sum() < soft.sum()


@pytest.mark.usefixtures("whole_batches")
@holds("noise", of=[CLIP])
def test_shared_noise_gives_every_frame_that_of_the_first(node: NodeAtWork) -> None:
    own, shared = (
        node.paint(CLIP, ONE, frames=2, still=True, denoise=1, noise=kind).calls[0].x
        for kind in ("independent", "shared")
    )
    assert not torch.allclose(own[0], own[1], atol=0.1)
    assert torch.allclose(shared[0], shared[1], atol=1e-5)
    assert torch.allclose(shared[0], own[0], atol=1e-5)


@holds("noise", of=[MASK])
def test_noise_of_a_mask_job_is_by_seed_alone(node: NodeAtWork) -> None:
    ways = [node.paint(MASK, ONE, frames=2, noise=kind).frames for kind in ("independent", "shared")]
    assert np.array_equal(ways[0], ways[1])
