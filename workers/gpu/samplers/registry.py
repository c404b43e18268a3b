"""All samplers by ComfyUI's names, and what the engine must know of each before it runs."""

from __future__ import annotations

from functools import partial

from farm.domain.sampling_names import UnknownSampler
from workers.gpu.samplers import dpm_solver, dpmpp, euler, multistep, sa_solver, stochastic, uni_pc
from workers.gpu.samplers.parts import Sampler

SAMPLERS: dict[str, Sampler] = {
    "euler": euler.euler,
    "euler_cfg_pp": euler.euler_cfg_pp,
    "euler_ancestral": euler.euler_ancestral,
    "euler_ancestral_cfg_pp": euler.euler_ancestral_cfg_pp,
    "heun": euler.heun,
    "heunpp2": euler.heunpp2,
    "dpm_2": euler.dpm_2,
    "dpm_2_ancestral": euler.dpm_2_ancestral,
    "lms": multistep.lms,
    "dpm_fast": dpm_solver.dpm_fast,
    "dpm_adaptive": dpm_solver.dpm_adaptive,
    "dpmpp_2s_ancestral": dpmpp.dpmpp_2s_ancestral,
    "dpmpp_2s_ancestral_cfg_pp": dpmpp.dpmpp_2s_ancestral_cfg_pp,
    "dpmpp_sde": dpmpp.dpmpp_sde,
    "dpmpp_sde_gpu": partial(dpmpp.dpmpp_sde, on_device=True),
    "dpmpp_2m": dpmpp.dpmpp_2m,
    "dpmpp_2m_cfg_pp": dpmpp.dpmpp_2m_cfg_pp,
    "dpmpp_2m_sde": dpmpp.dpmpp_2m_sde,
    "dpmpp_2m_sde_gpu": partial(dpmpp.dpmpp_2m_sde, on_device=True),
    "dpmpp_2m_sde_heun": partial(dpmpp.dpmpp_2m_sde, solver="heun"),
    "dpmpp_2m_sde_heun_gpu": partial(dpmpp.dpmpp_2m_sde, solver="heun", on_device=True),
    "dpmpp_3m_sde": dpmpp.dpmpp_3m_sde,
    "dpmpp_3m_sde_gpu": partial(dpmpp.dpmpp_3m_sde, on_device=True),
    "ddpm": euler.ddpm,
    "lcm": euler.lcm,
    "ipndm": multistep.ipndm,
    "ipndm_v": multistep.ipndm_v,
    "deis": multistep.deis,
    "res_multistep": multistep.res_multistep,
    "res_multistep_cfg_pp": partial(multistep.res_multistep, cfg_pp=True),
    "res_multistep_ancestral": partial(multistep.res_multistep, eta=1.0),
    "res_multistep_ancestral_cfg_pp": partial(multistep.res_multistep, eta=1.0, cfg_pp=True),
    "gradient_estimation": multistep.gradient_estimation,
    "gradient_estimation_cfg_pp": partial(multistep.gradient_estimation, cfg_pp=True),
    "er_sde": stochastic.er_sde,
    "seeds_2": stochastic.seeds_2,
    "seeds_3": stochastic.seeds_3,
    "sa_solver": sa_solver.sa_solver,
    "sa_solver_pece": partial(sa_solver.sa_solver, evaluate_again=True),
    "ddim": euler.euler,
    "uni_pc": uni_pc.uni_pc,
    "uni_pc_bh2": partial(uni_pc.uni_pc, bh2=True),
}
WHOLE_SCHEDULE_PATH = frozenset(
    {"dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu"}
)
"""Samplers whose Brownian path spans, on the `impact` route, the whole schedule instead of the levels that are run."""
ROW_BY_ROW = frozenset({"dpm_adaptive"})
"""Samplers whose steps depend on the whole batch: crops that do not belong together are run one by one."""
MASK_NOISE_OF_NEXT_SEED = frozenset({"ddim"})
"""Samplers that noise what the mask keeps with `seed` + 1."""


def sampler(name: str) -> Sampler:
    """The sampler of that name. Raises UnknownSampler."""
    try:
        return SAMPLERS[name]
    except KeyError:
        raise UnknownSampler(name) from None


def needs_uncond(name: str) -> bool:
    """Whether the sampler needs the unconditional prediction even where `cfg` is 1."""
    return "_cfg_pp" in name
