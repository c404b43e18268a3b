"""Samplers and schedulers by ComfyUI's names, readable without torch: the API checks a job against them."""

from __future__ import annotations

from farm.errors import Rejected

SAMPLERS: tuple[str, ...] = (
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
)
"""Those that the engine has."""

MISSING_SAMPLERS: tuple[str, ...] = ()
"""Those that ComfyUI has (0.3.64) and the engine does not: none."""

SCHEDULERS: tuple[str, ...] = (
    "normal",
    "karras",
    "exponential",
    "sgm_uniform",
    "simple",
    "ddim_uniform",
    "beta",
    "linear_quadratic",
    "kl_optimal",
    "AYS SD1",
    "AYS SDXL",
    "AYS SVD",
    *(f"GITS[coeff={coefficient / 100:.2f}]" for coefficient in range(80, 155, 5)),
)
"""Those that the engine has; `GITS` also takes its coefficient with fewer digits, such as `GITS[coeff=1.2]`."""

MISSING_SCHEDULERS: tuple[str, ...] = ("LTXV[default]", "OSS FLUX", "OSS Wan", "OSS Chroma")
"""Those that later versions of Impact Pack have; they are for models that the engine does not run."""


class UnknownSampler(Rejected):
    """No sampler has this name."""

    def __init__(self, name: str) -> None:
        known = f"The farm has: {', '.join(SAMPLERS)}."
        if name in MISSING_SAMPLERS:
            super().__init__(f"The sampler {name!r} is one of ComfyUI's that this farm does not have yet. {known}")
        else:
            super().__init__(f"There is no sampler {name!r}; set `sampler_name` to another. {known}")


class UnknownScheduler(Rejected):
    """No scheduler has this name."""

    def __init__(self, name: str) -> None:
        known = f"The farm has: {', '.join(SCHEDULERS)}."
        if name in MISSING_SCHEDULERS:
            super().__init__(f"The scheduler {name!r} is for models that this farm does not run. {known}")
        else:
            super().__init__(f"There is no scheduler {name!r}; set `scheduler` to another. {known}")


def gits_coefficient(scheduler: str) -> str | None:
    """The coefficient with two digits, `1.20` for `GITS[coeff=1.2]`; None if it is not a name of that family."""
    if not (scheduler.startswith("GITS[coeff=") and scheduler.endswith("]")):
        return None
    number = scheduler.removeprefix("GITS[coeff=").removesuffix("]")
    try:
        coefficient = f"{float(number):.2f}"
    except ValueError:
        return None
    return coefficient if f"GITS[coeff={coefficient}]" in SCHEDULERS else None


def check_names(sampler_name: str, scheduler: str) -> None:
    """Raises UnknownSampler or UnknownScheduler if the engine does not have them."""
    if sampler_name not in SAMPLERS:
        raise UnknownSampler(sampler_name)
    if scheduler not in SCHEDULERS and gits_coefficient(scheduler) is None:
        raise UnknownScheduler(scheduler)
