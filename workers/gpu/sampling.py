"""One sampling of a batch of latents: noise, stages, samplers. Knows no pixels and no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from farm.detail.step_plan import Route, Stage, step_plan
from farm.domain.step_rules import DIVIDES_BY_STEPS, LevelsRepeat, check_length
from workers.gpu.control import Controls
from workers.gpu.denoiser import Area, Beside, Context, Denoiser, Guidance, Network, NoiseMask, Prediction, RunModel
from workers.gpu.noise import SamplerNoise, Streams, initial_noise, reseeded
from workers.gpu.samplers.registry import (
    MASK_NOISE_OF_NEXT_SEED,
    ROW_BY_ROW,
    WHOLE_SCHEDULE_PATH,
    needs_uncond,
    sampler,
)
from workers.gpu.schedules import schedule
from workers.gpu.sigmas import SigmaTable

FULL_NOISE = 1e-5
"""How near, relatively, a run's first level must be to the model's largest to count as a start from pure noise."""
LEAST_LEVEL = 1e-2
"""Where a run that goes backwards begins; nearer to 0, what the model takes for noise drowns in rounding."""

StepCount = Callable[[int], None]
"""Told how many of the sampling's steps are done."""


@dataclass(frozen=True)
class Sampling:
    """Parameters of a sampling, by the nodes' names."""

    sampler_name: str
    scheduler: str
    steps: int
    denoise: float
    route: Route = "ksampler"
    refiner_ratio: float | None = None
    """None: there is no refiner."""
    differential: bool = False

    def stages(self) -> tuple[Stage, ...]:
        """The parts of the schedule, and who runs them. Raises TooManySteps."""
        check_length(self.steps, self.denoise)
        return step_plan(self.steps, self.denoise, self.refiner_ratio, self.route)


@dataclass(frozen=True)
class Painter:
    """A network with all that a run needs to know of it."""

    network: Network
    table: SigmaTable
    scaling: float
    """Latents are multiplied by it on their way into the network."""
    guidance: Guidance
    context: Context
    prediction: Prediction = "epsilon"
    shift: float = 0.0
    """Taken off latents before they are scaled."""
    takes_concat: bool = False
    """An inpaint model: it wants a mask and a masked picture besides."""
    precision: str = "float32"
    """What the network computes in."""
    concat: Tensor | None = None
    """Mask and masked picture, `[rows, 1 + channels, h, w]`, once they are known."""
    controls: Controls | None = None
    """ControlNets, once it is known how large what they are shown must be."""
    areas: tuple[Area, ...] = ()
    """Further prompts, once the latents' size is known."""

    def with_concat(self, mask: Tensor, masked: Tensor) -> Painter:
        """The same for an inpaint model, shown `mask` and the encoder's latents of the masked picture."""
        return replace(self, concat=torch.cat([mask, self.scaled(masked)], dim=1))

    def with_cfg(self, cfg: float) -> Painter:
        """The same, preferring the positive text more or less."""
        return self if cfg == self.guidance.cfg else replace(self, guidance=replace(self.guidance, cfg=cfg))

    def only(self, rows: slice) -> Painter:
        """The same for some of the rows."""
        concat = None if self.concat is None else self.concat[rows]
        areas = tuple(replace(area, weight=area.weight[rows]) for area in self.areas)
        return replace(self, concat=concat, controls=self.controls and self.controls.only(rows), areas=areas)

    def scaled(self, latents: Tensor) -> Tensor:
        """The encoder's latents, as the network sees them."""
        return (latents - self.shift) * self.scaling

    def unscaled(self, latents: Tensor) -> Tensor:
        """The network's latents, as the decoder sees them."""
        return latents / self.scaling + self.shift

    def denoiser(self, sampler_name: str) -> Denoiser:
        """D(x, sigma) for that sampler."""
        guidance = replace(self.guidance, always_both=needs_uncond(sampler_name))
        beside = Beside(self.concat, self.controls, self.areas)
        return Denoiser(self.network, self.table, guidance, self.context, self.prediction, beside)


@dataclass(frozen=True)
class Part:
    """A stage with its noise levels."""

    stage: Stage
    sigmas: Tensor
    whole: Tensor

    @property
    def steps(self) -> int:
        """Steps to run; 0: the latents are handed on as they are."""
        return max(0, len(self.sigmas) - 1)


def parts(sampling: Sampling, tables: Sequence[SigmaTable]) -> tuple[Part, ...]:
    """The stages with their noise levels; `tables` of the base model and, if there is one, of the refiner.

    Raises:
        UnknownScheduler, TooManySteps, LevelsRepeat.
    """
    found = []
    for stage in sampling.stages():
        table = tables[0] if stage.model == "base" else tables[1]
        whole = schedule(sampling.scheduler, table, sampling.sampler_name, stage.schedule_steps)
        sigmas = torch.from_numpy(stage.sigmas(whole.numpy()))
        if sampling.sampler_name in DIVIDES_BY_STEPS and bool((sigmas[:-1] == sigmas[1:]).any()):
            raise LevelsRepeat(sampling.sampler_name, sampling.scheduler, stage.schedule_steps)
        found.append(Part(stage, sigmas, whole))
    return tuple(found)


def sample(
    latents: Tensor,
    painters: Sequence[Painter],
    sampling: Sampling,
    streams: Streams,
    mask: Tensor | None = None,
    on_step: StepCount = lambda _: None,
    noise: Tensor | None = None,
) -> Tensor:
    """Noise latents and clean them again.

    Args:
        latents: `[rows, channels, h, w]` float32, as the encoder gives them, before scaling; on the device.
        painters: the base model and, if there is one, the refiner.
        streams: of the rows' noise.
        mask: `[rows, 1, h, w]` in [0, 1]; 0 keeps the latent.
        on_step: told after each step; what it raises passes through.
        noise: unit noise to begin with, of the latents' shape, in place of the streams' first.
    Returns:
        Latents of the same shape, before scaling.
    Raises:
        UnknownSampler, UnknownScheduler, TooManySteps, LevelsRepeat.
    """
    run = sampler(sampling.sampler_name)
    planned = parts(sampling, [painter.table for painter in painters])
    separate = sampling.sampler_name in ROW_BY_ROW and all(stream.count == 1 for stream in streams)
    groups = [slice(i, i + 1) for i in range(len(latents))] if separate and len(streams) > 1 else [slice(None)]
    done, results = 0, []
    for group in groups:
        rows, mask_rows = latents[group], None if mask is None else mask[group]
        first = None if noise is None else noise[group]
        for part in planned:
            if not part.steps:
                continue
            painter = painters[0 if part.stage.model == "base" else 1].only(group)
            stage_run = _StageRun(painter, sampling, part, streams[group], mask_rows, _counted(on_step, done, part))
            rows = stage_run.run(run, rows, first)
            done += part.steps
            on_step(done)
        results.append(rows)
    return torch.cat(results)


def step_count(sampling: Sampling, tables: Sequence[SigmaTable], rows: int, one_stream: bool) -> int:
    """How many steps `sample` will report for so many rows."""
    groups = rows if sampling.sampler_name in ROW_BY_ROW and not one_stream else 1
    return groups * sum(part.steps for part in parts(sampling, tables))


def _counted(on_step: StepCount, done: int, part: Part) -> StepCount:
    """Steps inside a stage, below its last one; an adaptive sampler may take more than it was asked for."""
    return lambda step: on_step(done + min(step, part.steps - 1)) if part.steps > 1 else None


def unsample(
    latents: Tensor, painter: Painter, sampling: Sampling, end_at_step: int, mask: Tensor | None = None
) -> Tensor:
    """Run a sampler backwards: from latents to the noise that would become them, up to a step of the schedule.

    Args:
        latents: `[rows, channels, h, w]` float32, before scaling.
        sampling: `steps` of the whole schedule; a sampler without noise of its own.
        end_at_step: counted from the schedule's noisy end; the last one or beyond leaves the latents as they are.
        mask: as for `sample`.
    """
    levels = schedule(sampling.scheduler, painter.table, sampling.sampler_name, sampling.steps)
    rising = levels[end_at_step:].flip(0).clamp(min=LEAST_LEVEL)
    if len(rising) < 2:
        return latents
    clean = painter.scaled(latents)
    kept = None if mask is None else NoiseMask(mask, clean, torch.zeros_like(clean))
    model = RunModel(painter.denoiser(sampling.sampler_name), rising, kept, lambda _: None)
    noise = SamplerNoise((), latents.shape[1:], latents.device, lambda: (rising[0], rising[-1]))
    return painter.unscaled(sampler(sampling.sampler_name)(model, clean, rising, noise))


@dataclass(frozen=True)
class _StageRun:
    painter: Painter
    sampling: Sampling
    part: Part
    streams: Streams
    mask: Tensor | None
    on_step: StepCount

    def run(self, run: Callable[..., Tensor], latents: Tensor, noise: Tensor | None) -> Tensor:
        name, sigmas, device = self.sampling.sampler_name, self.part.sigmas, latents.device
        shape = latents.shape[1:]
        clean = self.painter.scaled(latents)
        first = (initial_noise(self.streams, shape) if noise is None else noise).to(device)
        if not self.part.stage.add_noise:
            first = torch.zeros_like(first)
        x = clean + first * self._first_level()
        mask = None
        if self.mask is not None:
            kept = initial_noise(reseeded(self.streams, 1), shape) if name in MASK_NOISE_OF_NEXT_SEED else first
            mask = NoiseMask(self.mask, clean, kept.to(device), self.sampling.differential)
        model = RunModel(self.painter.denoiser(name), sigmas, mask, self.on_step)
        try:
            x = run(model, x, sigmas, SamplerNoise(self.streams, shape, device, self._path_span))
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # torch does not list it
            # Levels near 0 are told apart in float32, but not what a multistep method makes of them.
            steps = self.part.stage.schedule_steps
            raise LevelsRepeat(name, self.sampling.scheduler, steps) from error
        if self.part.stage.result == "x0" and model.reported is not None:
            x = model.reported
        if self.part.stage.restore_outside and self.mask is not None:
            x = self.mask * x + (1 - self.mask) * clean
        return self.painter.unscaled(x)

    def _first_level(self) -> Tensor:
        """What the first noise is multiplied by: a run from the largest level starts as the model was trained."""
        first, largest = self.part.sigmas[0], self.painter.table.largest
        if float(first) > largest or abs(float(first) - largest) <= FULL_NOISE * largest:
            return torch.sqrt(1 + first**2)
        return first

    def _path_span(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest level of the Brownian path."""
        levels = self.part.sigmas
        if self.sampling.route == "impact" and self.sampling.sampler_name in WHOLE_SCHEDULE_PATH:
            levels = self.part.whole.clone()
            stage = self.part.stage
            if stage.end < len(levels) - 1 and not stage.leftover_noise:
                levels[stage.end] = 0
        return levels[levels > 0].min(), levels.max()
