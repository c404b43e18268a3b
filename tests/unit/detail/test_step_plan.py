from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.detail.step_plan import Route, step_plan

counts = st.integers(1, 60)
denoises = st.floats(0.05, 1)


def _schedule(steps: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.linspace(10, 0, steps + 1, dtype=np.float32)


@given(counts, denoises, st.sampled_from(["ksampler", "impact"]))
def test_all_steps_run_from_the_quiet_end_whatever_denoise_is(steps: int, denoise: float, route: Route) -> None:
    (stage,) = step_plan(steps, denoise, route=route)
    full = _schedule(stage.schedule_steps)
    sigmas = stage.sigmas(full)
    assert np.array_equal(sigmas, full[-(steps + 1) :])
    assert stage.add_noise


def test_full_denoise_runs_the_whole_schedule() -> None:
    (stage,) = step_plan(20, 1.0)
    assert np.array_equal(stage.sigmas(_schedule(20)), _schedule(20))


@given(counts, denoises, st.floats(0, 1))
def test_base_and_refiner_share_the_steps_without_gap(steps: int, denoise: float, ratio: float) -> None:
    base, refiner = step_plan(steps, denoise, ratio)
    full = _schedule(base.schedule_steps)
    first, second = base.sigmas(full), refiner.sigmas(full)
    assert max(0, len(first) - 1) + max(0, len(second) - 1) == steps
    if len(first) and len(second):
        assert first[-1] == second[0]
    assert [stage.add_noise for stage in (base, refiner)].count(True) == (1 if len(first) else 2)


def test_the_refiner_adds_the_noise_if_no_step_is_left_to_the_base_model() -> None:
    base, refiner = step_plan(1, 0.5, 0.2)
    assert len(base.sigmas(_schedule(2))) == 0
    assert refiner.add_noise
    assert math.isclose(refiner.sigmas(_schedule(2))[0], 5)


def test_with_a_ratio_of_zero_the_refiner_runs_no_step() -> None:
    base, refiner = step_plan(10, 0.5, 0.0)
    assert len(base.sigmas(_schedule(20))) == 11
    assert len(refiner.sigmas(_schedule(20))) == 0


def test_a_schedule_longer_than_asked_for_is_counted_from_its_end_by_ksampler_and_from_its_start_by_impact() -> None:
    longer = _schedule(11)
    (ksampler,), (impact,) = step_plan(5, 0.5), step_plan(5, 0.5, route="impact")
    assert np.array_equal(ksampler.sigmas(longer), longer[-6:])
    assert np.array_equal(impact.sigmas(longer)[:-1], longer[5:10])
    assert impact.sigmas(longer)[-1] == 0


def test_cutting_a_schedule_leaves_it_alone() -> None:
    longer = _schedule(11)
    step_plan(5, 0.5, route="impact")[0].sigmas(longer)
    assert np.array_equal(longer, _schedule(11))


@pytest.mark.parametrize(("route", "result"), [("ksampler", "latent"), ("impact", "x0")])
def test_ksampler_hands_on_the_final_latent_and_impact_the_last_x0(route: Route, result: str) -> None:
    assert step_plan(10, 0.5, route=route)[-1].result == result
    assert step_plan(10, 0.5, 0.3, route)[0].result == "latent"
    assert step_plan(10, 0.5, 0.3, route)[1].result == result
