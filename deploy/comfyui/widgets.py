"""Inputs of the nodes: names, ranges and defaults are Impact Pack's, as the farm has them."""

from __future__ import annotations

import time
from typing import Any

from .api import Api, FarmError, default_address

MAX_RESOLUTION = 16384
MAX_SEED = 2**64 - 1
OWN = "(the model's own)"
NONE = "(none)"
LOOK_S = 1.5
"""Seconds that a look for the farm's models may take: the page waits for it."""
FRESH_S = 10.0
"""Seconds for which what was found is taken to be true."""

SAMPLERS = [
    *("euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2"),
    *("dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp"),
    *("dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu"),
    *("dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm"),
    *("ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral"),
    *("res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2"),
    *("seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2"),
]
SCHEDULERS = [
    *("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic"),
    *("kl_optimal", "AYS SD1", "AYS SDXL", "AYS SVD", *(f"GITS[coeff={n / 100:.2f}]" for n in range(80, 155, 5))),
]

Widget = tuple[Any, dict[str, Any]]
_seen: dict[str, tuple[float, list[str]]] = {}


def integer(default: int, low: int, high: int, tooltip: str = "") -> Widget:
    """A whole number."""
    return "INT", {"default": default, "min": low, "max": high, **({"tooltip": tooltip} if tooltip else {})}


def number(default: float, low: float, high: float, step: float) -> Widget:
    """A number."""
    return "FLOAT", {"default": default, "min": low, "max": high, "step": step}


def flag(default: bool, on: str, off: str) -> Widget:
    """A switch."""
    return "BOOLEAN", {"default": default, "label_on": on, "label_off": off}


def text(tooltip: str) -> Widget:
    """A prompt."""
    return "STRING", {"default": "", "multiline": True, "tooltip": tooltip}


def models(kind: str, first: str = "") -> Widget:
    """A choice of the farm's models of a kind, as far as it answers; `first` stands for leaving it out."""
    known = known_models(kind)
    return [*([first] if first else []), *known] or ["demo"], {"tooltip": "Of the farm: farm model list"}


def known_models(kind: str) -> list[str]:
    """Names of the farm's models of a kind; none where it does not answer."""
    at, found = _seen.get(kind, (0.0, []))
    if at and time.monotonic() - at < FRESH_S:
        return found
    try:
        api = Api(default_address(), patience_s=0.0, timeout_s=LOOK_S)
        found = sorted(api.models(kind))
    except (FarmError, ValueError, KeyError, TypeError):
        found = []
    _seen[kind] = time.monotonic(), found
    return found


def farm() -> Widget:
    """Where the farm is."""
    return "STRING", {"default": default_address(), "tooltip": "The key is taken from FARM_API_KEY, never from here."}


def drawing() -> dict[str, Widget]:
    """What is drawn with, in place of the live objects of a pipe."""
    return {
        "farm": farm(),
        "model": models("model"),
        "positive": text("What to draw."),
        "negative": text("What to keep away from."),
    }


def more_drawing() -> dict[str, Widget]:
    """What may be left as it is."""
    return {
        "vae": models("vae", OWN),
        "loras": ("STRING", {"default": "", "tooltip": "name:weight:clip_weight, several with commas between them"}),
        "refiner": models("model", NONE),
        "clip_skip": integer(0, -24, 0, "Layer of the text encoder, from the end; 0: the model's usual one."),
        "priority": integer(50, 0, 100, "Larger runs first."),
    }


def sampling() -> dict[str, Widget]:
    """What both nodes have in common."""
    return {
        "guide_size": number(384, 64, MAX_RESOLUTION, 8),
        "guide_size_for": flag(True, "bbox", "crop_region"),
        "max_size": number(1024, 64, MAX_RESOLUTION, 8),
        "seed": integer(0, 0, MAX_SEED),
        "steps": integer(20, 1, 10000),
        "cfg": number(8.0, 0.0, 100.0, 0.1),
        "sampler_name": (SAMPLERS, {}),
        "scheduler": (SCHEDULERS, {}),
        "denoise": number(0.5, 0.0001, 1.0, 0.01),
        "feather": integer(5, 0, 100),
        "refiner_ratio": number(0.2, 0.0, 1.0, 0.01),
    }
