"""Steps that cannot give a picture are refused at submit, with what to change."""

from __future__ import annotations

import pytest

from farm.domain.detailer import Detailer
from farm.domain.hooks import DenoiseSchedule, StepsSchedule
from farm.domain.sampling_names import SAMPLERS
from farm.domain.step_rules import (
    DIVIDES_BY_STEPS,
    LEAVES_THE_LAST_STEP,
    LevelsRepeat,
    TooFewSteps,
    TooManySteps,
    check_steps,
)


def _check(refined: bool = False, **parameters: object) -> None:
    check_steps(Detailer.model_validate(parameters), refined)


@pytest.mark.parametrize("name", sorted(LEAVES_THE_LAST_STEP))
def test_a_sampler_that_leaves_its_last_step_needs_two(name: str) -> None:
    for denoise in (0.5, 1):
        with pytest.raises(TooFewSteps, match=r"needs 2 steps or more, and the run has 1.*Raise `steps`"):
            _check(sampler_name=name, steps=1, denoise=denoise)
    _check(sampler_name=name, steps=2)
    _check(sampler_name="euler", steps=1)


def test_each_model_of_a_job_with_a_refiner_needs_two() -> None:
    with pytest.raises(TooFewSteps, match="the refiner model's run has 1"):
        _check(refined=True, sampler_name="uni_pc", steps=5, refiner_ratio=0.2)
    with pytest.raises(TooFewSteps, match="the base model's run has 1"):
        _check(refined=True, sampler_name="uni_pc", steps=5, refiner_ratio=0.75)
    _check(refined=True, sampler_name="uni_pc", steps=5, refiner_ratio=0.4)
    _check(refined=True, sampler_name="uni_pc", steps=5, refiner_ratio=0)
    _check(refined=False, sampler_name="uni_pc", steps=5, refiner_ratio=0.2)


def test_hooks_that_change_steps_are_reckoned_with_where_there_is_a_last_cycle() -> None:
    hooks = (StepsSchedule(target_steps=1),)
    with pytest.raises(TooFewSteps):
        _check(sampler_name="uni_pc", steps=4, cycle=2, hooks=hooks)
    _check(sampler_name="uni_pc", steps=4, cycle=1, hooks=hooks)
    with pytest.raises(TooManySteps):
        _check(steps=4, cycle=2, hooks=(StepsSchedule(target_steps=200), DenoiseSchedule(target_denoise=0.0001)))


def test_the_least_denoise_of_all_key_frames_is_reckoned_with() -> None:
    keyframes = {"denoise": [[1, 0.5], [9, 0.001], [20, 1]]}
    with pytest.raises(TooManySteps, match=r"at `denoise` 0\.001"):
        _check(steps=2000, keyframes=keyframes)
    _check(steps=2000, keyframes={"denoise": [[1, 0.5]]}, denoise=0.0001)


@pytest.mark.parametrize("name", sorted(DIVIDES_BY_STEPS))
def test_the_simple_schedule_has_as_many_levels_as_a_model(name: str) -> None:
    _check(sampler_name=name, scheduler="simple", steps=20, denoise=0.02)
    with pytest.raises(LevelsRepeat, match=r"2000 steps .* raise `denoise`, or take the sampler 'euler'"):
        _check(sampler_name=name, scheduler="simple", steps=20, denoise=0.01)
    _check(sampler_name=name, scheduler="normal", steps=20, denoise=0.01)
    _check(sampler_name="euler", scheduler="simple", steps=20, denoise=0.01)


def test_a_schedule_without_end_is_refused() -> None:
    with pytest.raises(TooManySteps, match=r"schedule of 100000000 steps; at most 1000000 .* raise `denoise`"):
        _check(steps=10_000, denoise=0.0001)


def test_key_frames_are_reckoned_with() -> None:
    frames = {"denoise": [[1, 0.5], [100, 0.0001]]}
    with pytest.raises(TooManySteps):
        _check(steps=200, keyframes=frames)
    _check(steps=20, keyframes=frames)
    with pytest.raises(LevelsRepeat):
        _check(sampler_name="dpmpp_2m", scheduler="simple", steps=20, keyframes=frames)


def test_the_names_are_those_of_samplers() -> None:
    assert set(SAMPLERS) >= DIVIDES_BY_STEPS | LEAVES_THE_LAST_STEP
