"""Which part of a noise schedule is run, by which model: indices only, the sigmas belong to the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Route = Literal["ksampler", "impact"]
"""Whose arithmetic: ComfyUI's KSampler, as the seeds' nodes call it, or the later Impact Pack's."""

FULL_DENOISE = 0.9999
"""Above this share KSampler runs the whole schedule of `steps` steps."""


@dataclass(frozen=True)
class Stage:
    """One run of a sampler over a part of a schedule. With fewer than two sigmas it hands its latent on untouched."""

    model: Literal["base", "refiner"]
    schedule_steps: int
    """Steps that the scheduler is asked for."""
    start: int
    """Index of the first sigma."""
    end: int
    """Index of the last sigma; beyond the schedule's end: up to its end."""
    from_back: bool
    """Count from the schedule's end: schedulers may give more or fewer steps than they were asked for."""
    add_noise: bool
    leftover_noise: bool
    """False: if the schedule is cut short, the last sigma becomes 0, so that all noise is removed."""
    result: Literal["latent", "x0"]
    """What is handed on: the sampler's final latent or its last estimate of the clean one (unlike for few samplers)."""
    restore_outside: bool = False
    """With a noise mask: outside of it the latent from before the stage is handed on, although it is clean."""

    def sigmas(self, schedule: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmas to run, out of the full schedule for `schedule_steps`. `schedule` is left alone."""
        if self.from_back:
            return schedule[-(self.end - self.start + 1) :].copy()
        part = schedule.copy()
        if self.end < len(part) - 1:
            part = part[: self.end + 1]
            if not self.leftover_noise:
                part[-1] = 0
        return part[self.start :] if self.start < len(part) - 1 else part[:0]


def step_plan(
    steps: int, denoise: float, refiner_ratio: float | None = None, route: Route = "ksampler"
) -> tuple[Stage, ...]:
    """The stages of one sampling.

    Args:
        steps: 1 or more; all of them run, whatever `denoise` is.
        denoise: share of the schedule that is run, from its quiet end, above 0, at most 1.
        refiner_ratio: share of the steps that the refiner runs, 0 to 1; None: there is no refiner.
    Returns:
        One stage, or two if there is a refiner. If the share leaves the base model no step, the refiner's stage adds
        the noise (the node then forgets it).
    Source:
        SPEC 8, PARITY 3.3.
    """
    total = math.floor(steps / denoise)
    start = total - steps
    final: Literal["latent", "x0"] = "x0" if route == "impact" else "latent"
    if refiner_ratio is None:
        if route == "ksampler":
            if denoise > FULL_DENOISE:
                total, start = steps, 0
            return (Stage("base", total, start, total, True, True, False, final),)
        return (Stage("base", total, start, total, False, True, False, final),)
    change = start + math.floor(steps * (1 - refiner_ratio))
    return (
        Stage("base", total, start, change, False, True, True, "latent", restore_outside=True),
        Stage("refiner", total, change, total + 1, False, change == start, False, final),
    )
