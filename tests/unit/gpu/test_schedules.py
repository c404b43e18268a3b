from __future__ import annotations

import pytest
import torch

from farm.domain import sampling_names
from farm.domain.sampling_names import UnknownSampler, UnknownScheduler, check_names
from workers.gpu.faults import BadModel
from workers.gpu.schedules import SCHEDULERS, schedule
from workers.gpu.sigmas import SigmaTable, betas_of

TABLE = SigmaTable(betas_of({}))


def test_the_table_of_stable_diffusion() -> None:
    assert len(TABLE) == 1000
    assert TABLE.smallest == pytest.approx(0.02916716)
    assert TABLE.largest == pytest.approx(14.6146412)


def test_betas_follow_the_models_own_file() -> None:
    linear = SigmaTable(betas_of({"beta_schedule": "linear"}))
    assert linear.largest == pytest.approx(25.15, abs=0.01)
    assert torch.equal(linear.sigmas, SigmaTable(betas_of({}, linear=True)).sigmas)
    assert len(SigmaTable(betas_of({"trained_betas": [0.1, 0.2, 0.3]}))) == 3
    assert len(SigmaTable(betas_of({"num_train_timesteps": 500}))) == 500


def test_unknown_betas_are_refused() -> None:
    with pytest.raises(BadModel):
        betas_of({"beta_schedule": "squaredcos_cap_v2"})


def test_a_schedule_may_end_in_all_but_pure_noise() -> None:
    stretched, plain = SigmaTable(betas_of({"rescale_betas_zero_snr": True})), SigmaTable(betas_of({}))
    assert stretched.largest == pytest.approx(4518.7, abs=0.1)
    assert stretched.smallest == pytest.approx(plain.smallest, rel=1e-5)
    assert bool((stretched.sigmas.diff() > 0).all())


def test_level_and_timestep_are_inverse_at_the_tables_entries() -> None:
    for timestep in (0, 1, 499, 998, 999):
        assert TABLE.timestep(TABLE.sigma(torch.tensor(timestep))) == timestep


def test_a_level_between_entries_has_the_nearest_timestep_by_logarithm() -> None:
    assert TABLE.timestep(TABLE.sigma(torch.tensor(500.4))) == 500
    assert TABLE.timestep(TABLE.sigma(torch.tensor(500.6))) == 501


@pytest.mark.parametrize("name", sampling_names.SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_levels_fall_to_zero(name: str, steps: int) -> None:
    levels = schedule(name, TABLE, "euler", steps)
    assert levels.dtype == torch.float32
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    assert torch.isfinite(levels).all()


@pytest.mark.parametrize("name", [n for n in sampling_names.SCHEDULERS if n not in ("beta", "ddim_uniform")])
def test_there_are_as_many_steps_as_asked_for(name: str) -> None:
    assert len(schedule(name, TABLE, "euler", 12)) == 13


def test_ddim_uniform_may_give_more_steps() -> None:
    assert len(schedule("ddim_uniform", TABLE, "euler", 6)) == 8


def test_beta_may_give_fewer_steps() -> None:
    assert len(schedule("beta", TABLE, "euler", 600)) < 601


def test_some_samplers_get_one_step_more_without_its_last_but_one_level() -> None:
    longer = schedule("karras", TABLE, "euler", 11)
    assert torch.equal(schedule("karras", TABLE, "dpm_2", 10), torch.cat([longer[:-2], longer[-1:]]))


def test_gits_takes_its_coefficient_with_fewer_digits() -> None:
    assert torch.equal(schedule("GITS[coeff=1.2]", TABLE, "euler", 8), schedule("GITS[coeff=1.20]", TABLE, "euler", 8))


@pytest.mark.parametrize("name", ["karas", "AYS", "AYS SD2", "GITS[coeff=2.0]", "GITS[coeff=x]", "SD1", ""])
def test_an_unknown_scheduler_is_refused(name: str) -> None:
    with pytest.raises(UnknownScheduler, match="karras"):
        schedule(name, TABLE, "euler", 5)
    with pytest.raises(UnknownScheduler):
        check_names("euler", name)


def test_names_are_checked_without_the_engine() -> None:
    check_names("dpmpp_2m_sde_gpu", "GITS[coeff=1.2]")
    with pytest.raises(UnknownSampler):
        check_names("euler_", "normal")
    with pytest.raises(UnknownScheduler, match="does not run"):
        check_names("euler", "OSS FLUX")


def test_the_names_that_the_api_knows_are_the_schedulers_that_there_are() -> None:
    assert set(SCHEDULERS) == {n for n in sampling_names.SCHEDULERS if not n.startswith(("AYS", "GITS"))}
