"""The detailer hooks that the farm has itself, on a batch's latents (SPEC 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from farm.detail.hooks import Chain, CycleRamp, DetailerHook, Draw, KSample
from farm.domain import hooks as specs
from farm.domain.hooks import Hook, PluginHook

Unsample = Callable[[Tensor, specs.Unsampler, int], Tensor]
"""Latents, before scaling -> the noise that they would come from, up to a step of the hook's schedule."""
SCHEDULES = (specs.DenoiseSchedule, specs.CfgSchedule, specs.StepsSchedule)


class _Hook(DetailerHook[Tensor]):
    """Remembers the cycle."""

    def __init__(self) -> None:
        self.ramp = CycleRamp()

    def set_steps(self, current: int, total: int) -> None:
        self.ramp = CycleRamp(current, total)


class NoiseInjection(_Hook):
    """Adds noise to the latents before a cycle."""

    def __init__(self, spec: specs.NoiseInjection) -> None:
        super().__init__()
        self._spec = spec

    def cycle_latent(self, latents: Tensor, draw: Draw[Tensor]) -> Tensor:
        """Cycle c has the noise of `seed` + 2 c."""
        spec, cycle = self._spec, self.ramp.current
        if cycle == 0 and spec.schedule_for_cycle == "skip_start":
            return latents
        return latents + self.ramp(spec.start_strength, spec.end_strength) * draw(latents, spec.seed + 2 * cycle)


class VariationNoise(_Hook):
    """Mixes in the noise of another seed; the variance stays."""

    def __init__(self, spec: specs.VariationNoise) -> None:
        super().__init__()
        self._spec = spec

    def get_custom_noise(
        self, sampling: KSample, noise: Tensor | None, latents: Tensor, draw: Draw[Tensor]
    ) -> Tensor | None:
        share = self._spec.variation_strength
        if share == 0:
            return noise
        own = _of_seeds(sampling.seeds, latents, draw) if noise is None else noise
        mixed = (1 - share) * own + share * draw(latents, self._spec.variation_seed)
        return mixed / math.sqrt((1 - share) ** 2 + share**2)


class Unsampler(_Hook):
    """Runs the sampler backwards before a cycle."""

    def __init__(self, spec: specs.Unsampler, unsample: Unsample) -> None:
        super().__init__()
        self._spec = spec
        self._unsample = unsample

    def cycle_latent(self, latents: Tensor, draw: Draw[Tensor]) -> Tensor:  # noqa: ARG002 - other hooks draw
        spec = self._spec
        if self.ramp.current == 0 and spec.schedule_for_cycle == "skip_start":
            return latents
        noisy = self._unsample(latents, spec, int(self.ramp(spec.start_end_at_step, spec.end_end_at_step)))
        if not spec.normalize:
            return noisy
        deviation, mean = torch.std_mean(noisy, dim=(1, 2, 3), keepdim=True)
        return (noisy - mean) / deviation


class Schedule(_Hook):
    """Moves one parameter of the sampling from cycle to cycle."""

    def __init__(self, spec: specs.DenoiseSchedule | specs.CfgSchedule | specs.StepsSchedule) -> None:
        super().__init__()
        self._spec = spec

    def pre_ksample(self, sampling: KSample) -> KSample:
        if isinstance(self._spec, specs.DenoiseSchedule):
            return replace(sampling, denoise=self.ramp(sampling.denoise, self._spec.target_denoise))
        if isinstance(self._spec, specs.CfgSchedule):
            return replace(sampling, cfg=self.ramp(sampling.cfg, self._spec.target_cfg))
        return replace(sampling, steps=int(self.ramp(sampling.steps, self._spec.target_steps)))


def open_hooks(
    hooks: Sequence[Hook], plugins: Sequence[DetailerHook[Tensor]], unsample: Unsample, draw: Draw[Tensor]
) -> Chain[Tensor]:
    """The hooks of a job's document as objects for one batch, in order.

    Args:
        plugins: objects of the hooks of installed packages, in order.
        draw: noise for hooks.
    """
    opened = iter(plugins)

    def objects() -> Iterator[DetailerHook[Tensor]]:
        for hook in hooks:
            if isinstance(hook, PluginHook):
                yield next(opened)
            elif isinstance(hook, specs.NoiseInjection):
                yield NoiseInjection(hook)
            elif isinstance(hook, specs.VariationNoise):
                yield VariationNoise(hook)
            elif isinstance(hook, specs.Unsampler):
                yield Unsampler(hook, unsample)
            elif isinstance(hook, SCHEDULES):
                yield Schedule(hook)

    return Chain(list(objects()), draw)


def foretold(hooks: Sequence[Hook], sampling: KSample, cycles: int) -> list[KSample]:
    """The parameters of each cycle, as far as the farm's own hooks decide them."""
    ramps = [
        Schedule(h) for h in hooks if isinstance(h, specs.DenoiseSchedule | specs.CfgSchedule | specs.StepsSchedule)
    ]
    chain = Chain[Tensor](ramps)
    found = []
    for number in range(cycles):
        chain.begin_cycle(number, cycles, torch.empty(0))
        found.append(chain.pre_ksample(sampling))
    return found


def _of_seeds(seeds: Sequence[int], latents: Tensor, draw: Draw[Tensor]) -> Tensor:
    """The rows' own noise, each of its seed."""
    if len(set(seeds)) == 1:
        return draw(latents, seeds[0])
    rows = [draw(latents, seed)[row : row + 1] for row, seed in enumerate(seeds)]
    return torch.cat(rows)
