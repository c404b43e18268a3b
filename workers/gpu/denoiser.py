"""From a network to a denoiser: x0 after guidance and noise mask, as samplers want it (PARITY 3.1, 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from workers.gpu.fitting import Fitting
from workers.gpu.sigmas import SigmaTable
from workers.gpu.windows import Layout, Window, fused, picked

Prediction = Literal["epsilon", "v_prediction"]
Network = Callable[..., Tensor]
"""Noisy latents `[groups, rows, channels, h, w]` of unit variance, timestep, text `[groups, tokens, width]` and, where
the guidance has one, a Vector of the groups -> what the network predicts, of the latents' shape. The rows of a group
may see each other."""
LONGEST_REPEAT = 4
"""Times that a shorter text is repeated to the length of the other at the most; beyond that each has its own call."""


@dataclass(frozen=True)
class Vector:
    """What a UNet is told besides the text's tokens (SDXL)."""

    pooled: Tensor
    """The text as a whole, `[groups, width]`."""
    score: Tensor
    """How pleasing the picture is to be, `[groups]`: the refiner is told."""

    def only(self, groups: slice) -> Vector:
        """The same for some of the groups."""
        return Vector(self.pooled[groups], self.score[groups])


@dataclass(frozen=True)
class Guidance:
    """Text conditioning, `[1, tokens, width]` each, and the strength with which the first is preferred."""

    positive: Tensor
    negative: Tensor
    cfg: float
    always_both: bool = False
    """The sampler needs the unconditional x0 even where `cfg` is 1."""
    positive_vector: Vector | None = None
    negative_vector: Vector | None = None

    @property
    def both(self) -> bool:
        """Whether the network is asked for the unconditional prediction."""
        return self.always_both or not math.isclose(self.cfg, 1.0)


class Controlled(Protocol):
    """ControlNets and IP-Adapters, which have a part in calls of the network."""

    def network(self, rows: Sequence[int], sigma: Tensor, negative: Sequence[bool]) -> Network | None:
        """The network for these rows of the batch at this noise level, called with so many texts, of which some are
        negative prompts; None: the plain one."""


@dataclass(frozen=True)
class Area:
    """A further prompt that counts in a part of the picture only."""

    text: Tensor
    """`[1, tokens, width]`."""
    weight: Tensor
    """`[rows, 1, h, w]`; the prompt itself has the weight 1 everywhere."""
    negative: bool = False
    """It stands beside the negative prompt."""
    vector: Vector | None = None


@dataclass(frozen=True)
class _Call:
    """One call of the network: texts `[groups, tokens, width]`, which of them are negative, what it is told besides."""

    text: Tensor
    negative: tuple[bool, ...]
    vector: Vector | None


@dataclass(frozen=True)
class Beside:
    """What a denoiser heeds besides latents and prompts; of each row of the batch."""

    concat: Tensor | None = None
    """For an inpaint model: mask and masked picture, `[rows, 1 + channels, h, w]`."""
    controls: Controlled | None = None
    areas: tuple[Area, ...] = ()


@dataclass(frozen=True)
class NoiseMask:
    """Where latents may change: outside, the run keeps the noised original."""

    mask: Tensor
    """`[rows, 1, h, w]`, 0 keeps, 1 is free; values between mix."""
    latent: Tensor
    noise: Tensor
    """The run's first noise, `[rows, channels, h, w]`."""
    differential: bool = False
    """The mask says how early in the run a pixel becomes free, instead of how much of it."""


@dataclass(frozen=True)
class Context:
    """How many rows the network is given at once."""

    length: int
    """Rows that do not see each other are only counted off, so many at a time."""
    motion: Layout | None = None
    """The rows of a call see each other: windows, which may overlap."""
    fitting: Fitting | None = None
    """What is known of the memory that calls take; None: nothing yet."""

    def runs(self, rows: int, step: int = 0) -> tuple[Window, ...]:
        """The windows over so many rows at a sampler step, counted from 0."""
        if self.motion is not None:
            return self.motion.over(rows, step)
        return tuple(range(i, min(i + self.length, rows)) for i in range(0, rows, self.length))


class Denoiser:
    """D(x, sigma): the clean latents that the model sees in noisy ones."""

    def __init__(
        self,
        network: Network,
        table: SigmaTable,
        guidance: Guidance,
        context: Context,
        prediction: Prediction = "epsilon",
        beside: Beside | None = None,
    ) -> None:
        self.table = table
        self.uncond = torch.empty(0)
        """The unconditional clean latents of the last call, without mask; empty if they were not asked for."""
        self.step = 0
        """The sampler step under way, counted from 0: where windows lie may depend on it."""
        self._network = network
        self._guidance = guidance
        self._context = context
        self._prediction = prediction
        self._beside = beside or Beside()
        self._areas = [area for area in self._beside.areas if guidance.both or not area.negative]
        self._calls = _calls(guidance, self._areas)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """`x`: `[rows, channels, h, w]` float32 with noise of level `sigma`, a number above 0. Returns the like."""
        runs = self._context.runs(len(x), self.step)
        layout = self._context.motion
        if layout is None:
            parts = [self._clean(x, run, sigma) for run in runs]
            results = _joined(parts)
        else:
            results = fused(lambda run: self._clean(x, run, sigma), runs, len(x), layout)
        count = len(results) - len(self._areas)
        prompts, areas = results[:count], results[count:]
        conditional = self._mixed(prompts[-1], areas, negative=False)
        if not self._guidance.both:
            return conditional
        self.uncond = self._mixed(prompts[0], areas, negative=True)
        return self.uncond + self._guidance.cfg * (conditional - self.uncond)

    def _mixed(self, clean: Tensor, areas: Sequence[Tensor], negative: bool) -> Tensor:
        """The mean of a prompt's clean latents and those of its further prompts, by weight, before guidance."""
        found = [(area, one) for area, one in zip(self._areas, areas, strict=True) if area.negative == negative]
        if not found:
            return clean
        total = torch.ones_like(clean[:, :1])
        for area, one in found:
            clean = clean + one * area.weight
            total = total + area.weight
        return clean / total

    def _clean(self, x: Tensor, run: Window, sigma: Tensor) -> tuple[Tensor, ...]:
        """The clean latents of a window's rows by each text: negative and positive, or the positive alone; then by
        each further prompt."""
        x = picked(x, run)
        x_in = x / torch.sqrt(sigma**2 + 1)
        if self._beside.concat is not None:
            x_in = torch.cat([x_in, picked(self._beside.concat, run)], dim=1)
        called = [self._predictions(x_in, run, sigma, call) for call in self._calls]
        predictions = called[0] if len(called) == 1 else torch.cat(called)
        if self._prediction == "v_prediction":
            share = 1 / (sigma**2 + 1)
            return tuple(x * share - v * sigma * torch.sqrt(share) for v in predictions)
        return tuple(x - noise * sigma for noise in predictions)

    def _predictions(self, x_in: Tensor, run: Window, sigma: Tensor, call: _Call) -> Tensor:
        """What the network predicts by each text of a call, `[texts, rows, ...]`: at once, if the memory holds it."""
        timestep, controls = self.table.timestep(sigma), self._beside.controls

        def part(rows: slice, texts: slice) -> Tensor:
            latents, text = x_in[rows], call.text[texts]
            network = (controls.network(run[rows], sigma, call.negative[texts]) if controls else None) or self._network
            told = () if call.vector is None else (call.vector.only(texts),)
            return network(latents.expand(len(text), *latents.shape), timestep, text, *told)

        context = self._context
        shape = len(x_in), len(call.text), x_in.shape[-2] * x_in.shape[-1]
        return (context.fitting or Fitting()).unet(part, shape, together=context.motion is not None)


def _joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    # In one layout, whatever the network's is: the last bit of what comes after depends on it.
    return tuple(torch.cat(found).contiguous() for found in zip(*parts, strict=True))


def _calls(guidance: Guidance, areas: Sequence[Area]) -> tuple[_Call, ...]:
    """What the network is called with: the prompts, negative before positive, in one call if they go together; then
    each further prompt.

    Texts of unlike length are repeated to a common multiple, unless that is far longer than they are: attention sees
    the same either way.
    """
    further = [_Call(area.text, (area.negative,), area.vector) for area in areas]
    positive = _Call(guidance.positive, (False,), guidance.positive_vector)
    if not guidance.both:
        return positive, *further
    negative = _Call(guidance.negative, (True,), guidance.negative_vector)
    lengths = [call.text.shape[1] for call in (negative, positive)]
    tokens = math.lcm(*lengths)
    if tokens // min(lengths) > LONGEST_REPEAT:
        return negative, positive, *further
    text = torch.cat([call.text.repeat(1, tokens // call.text.shape[1], 1) for call in (negative, positive)])
    vector = None
    if negative.vector is not None and positive.vector is not None:
        both = (negative.vector, positive.vector)
        vector = Vector(torch.cat([one.pooled for one in both]), torch.cat([one.score for one in both]))
    return _Call(text, (True, False), vector), *further


class RunModel:
    """What a sampler is given: the denoiser, with the noise mask of the run around it, and a count of its steps."""

    def __init__(
        self, denoiser: Denoiser, sigmas: Tensor, mask: NoiseMask | None, on_step: Callable[[int], None]
    ) -> None:
        self.reported: Tensor | None = None
        """D at the beginning of the last step: what Impact Pack's route gives as result."""
        self._denoiser = denoiser
        self._mask = mask
        self._on_step = on_step
        self._steps_begun = 0
        self._free_from = _times_of_freedom(denoiser.table, sigmas) if mask and mask.differential else None

    @property
    def table(self) -> SigmaTable:
        """The model's own noise levels."""
        return self._denoiser.table

    @property
    def uncond(self) -> Tensor:
        """The unconditional clean latents of the last call, without mask."""
        return self._denoiser.uncond

    def step(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D at the beginning of a step; tells that the one before it is done."""
        if self._steps_begun:
            self._on_step(self._steps_begun)
        self._denoiser.step = self._steps_begun
        self._steps_begun += 1
        self.reported = self(x, sigma)
        return self.reported

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D, after guidance and mask."""
        if self._mask is None:
            return self._denoiser(x, sigma)
        mask = self._mask.mask if self._free_from is None else self._freed(self._mask.mask, sigma)
        kept = 1 - mask
        x = x * mask + (self._mask.latent + self._mask.noise * sigma) * kept
        return self._denoiser(x, sigma) * mask + self._mask.latent * kept

    def _freed(self, mask: Tensor, sigma: Tensor) -> Tensor:
        """Differential diffusion (arXiv:2306.00950): a pixel is free once the run has come down to its value."""
        first, last = self._free_from or (1, 0)
        threshold = (self.table.timestep(sigma) - last) / (first - last) if first != last else 1.0
        return (mask >= threshold).to(mask.dtype)


def _times_of_freedom(table: SigmaTable, sigmas: Tensor) -> tuple[int, int]:
    """Timesteps of the run's beginning and of its end."""
    return table.timestep(sigmas[0]), table.timestep(torch.clamp(sigmas[-1], min=table.smallest))
