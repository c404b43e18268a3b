"""Steps that cannot give a picture: known from a job's numbers alone, before any worker begins."""

from __future__ import annotations

from collections.abc import Iterator

from farm.detail.step_plan import step_plan
from farm.domain.detailer import Detailer
from farm.domain.hooks import DenoiseSchedule, StepsSchedule
from farm.errors import Rejected

LONGEST_SCHEDULE = 1_000_000
"""Steps of a full schedule, of which a run takes its part; a guard against a tiny `denoise`."""
TABLE_LEVELS = 1000
"""Noise levels that models are trained with: `simple` picks its levels from them, and repeats some beyond as many."""
LEAVES_THE_LAST_STEP = frozenset({"uni_pc", "uni_pc_bh2", "dpm_fast", "dpm_adaptive"})
"""Samplers that stop above noise 0 or step over the last level: in a run of one step they never ask the model."""
DIVIDES_BY_STEPS = frozenset(
    {"lms", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu"}
    | {"dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ipndm_v", "deis"}
    | {"res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp"}
    | {"er_sde", "seeds_3", "sa_solver", "sa_solver_pece", "uni_pc", "uni_pc_bh2"}
)
"""Samplers that divide by the distance of two levels: none may come twice."""


class TooManySteps(Rejected):
    """The schedule would be too long."""

    def __init__(self, steps: int, denoise: float) -> None:
        super().__init__(
            f"`steps` {steps} at `denoise` {denoise:g} is the end of a schedule of {int(steps / denoise)} steps; at "
            f"most {LONGEST_SCHEDULE} are possible. Lower `steps` or raise `denoise`."
        )


class TooFewSteps(Rejected):
    """The sampler would not ask the model even once."""

    def __init__(self, sampler_name: str, who: str) -> None:
        super().__init__(
            f"The sampler {sampler_name!r} needs 2 steps or more, and {who} has 1: it would hand back noise. Raise "
            f"`steps`, or set another `sampler_name`."
        )


class LevelsRepeat(Rejected):
    """A schedule gives a noise level twice, by whose distance the sampler divides."""

    def __init__(self, sampler_name: str, scheduler: str, schedule_steps: int) -> None:
        super().__init__(
            f"The scheduler {scheduler!r} gives noise levels that the sampler {sampler_name!r} cannot tell apart: the "
            f"run is the end of a schedule of {schedule_steps} steps (`steps` over `denoise`), and a model has "
            f"{TABLE_LEVELS} levels. Lower `steps`, raise `denoise`, or take the sampler 'euler'."
        )


def check_length(steps: int, denoise: float) -> None:
    """Raises TooManySteps."""
    if steps / denoise > LONGEST_SCHEDULE:
        raise TooManySteps(steps, denoise)


def check_steps(detailer: Detailer, refined: bool) -> None:
    """Every cycle of a detailer, with a refiner or without. Raises TooManySteps, TooFewSteps, LevelsRepeat."""
    for steps, denoise in _cycles(detailer):
        check_length(steps, denoise)
        ratio = detailer.refiner_ratio if refined else None
        for stage in step_plan(steps, denoise, ratio, detailer.sampling_route):
            end = min(stage.end, stage.schedule_steps)
            if end - stage.start == 1 and detailer.sampler_name in LEAVES_THE_LAST_STEP:
                raise TooFewSteps(detailer.sampler_name, f"the {stage.model} model's run" if refined else "the run")
            if stage.schedule_steps > TABLE_LEVELS and detailer.scheduler == "simple" and end > stage.start:
                _check_repeats(detailer, stage.schedule_steps)


def _check_repeats(detailer: Detailer, schedule_steps: int) -> None:
    if detailer.sampler_name in DIVIDES_BY_STEPS:
        raise LevelsRepeat(detailer.sampler_name, detailer.scheduler, schedule_steps)


def _cycles(detailer: Detailer) -> Iterator[tuple[int, float]]:
    """Steps and denoise of the first cycle and of the last, at each key frame; what lies between, in the clip or among
    the cycles, lies between theirs."""
    keys = detailer.keyframes.denoise if detailer.keyframes else ()
    for denoise in [value for _, value in keys] or [detailer.denoise]:
        yield from _cycles_from(detailer, denoise)


def _cycles_from(detailer: Detailer, denoise: float) -> Iterator[tuple[int, float]]:
    steps = detailer.steps
    yield steps, denoise
    if detailer.cycle == 1:
        return
    for hook in detailer.hooks:
        if isinstance(hook, StepsSchedule):
            steps = hook.target_steps
        elif isinstance(hook, DenoiseSchedule):
            denoise = hook.target_denoise
    yield steps, denoise
