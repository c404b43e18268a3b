"""Detailer hooks: where they are called on a crop's way through a model, and how several act as one.

Source: SPEC 10. The order for a batch of crops: touch_scaled_size, post_encode, {set_steps, cycle_latent, pre_ksample,
get_custom_noise} for each cycle, pre_decode, post_decode, post_paste.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from farm.detail.blend import Pixels

L = TypeVar("L")

Draw = Callable[[L, int], L]
"""`draw(latents, seed)`: unit noise of the latents' shape. In `mask` jobs each row has the noise of a run of its own
with that seed; in `animatediff` jobs each frame has its part of the clip's."""


@dataclass(frozen=True)
class KSample:
    """Parameters of one sampling that a hook may change, by the nodes' names."""

    seeds: tuple[int, ...]
    """One per crop."""
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float


class DetailerHook(Generic[L]):
    """Does nothing at any point; a hook overrides what it needs.

    `L` is a model's batch of latents, one row per crop: a tensor `[rows, channels, h, w]`, before scaling. One object
    serves one batch. A pure hook keeps nothing beyond it and treats every row by itself. One that is not pure is asked
    for its `state` after each batch, and another object is given it before the next.
    """

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """The size, in pixels, at which the crops are sampled."""
        return width, height

    def post_encode(self, latents: L) -> L:
        """After the crops were encoded. Comes before the first `set_steps`."""
        return latents

    def set_steps(self, current: int, total: int) -> None:
        """Cycle `current`, from 0, of `total` begins."""

    def cycle_latent(self, latents: L, draw: Draw[L]) -> L:  # noqa: ARG002 - for those that override it
        """The latents that the cycle begins with."""
        return latents

    def pre_ksample(self, sampling: KSample) -> KSample:
        """The parameters of the cycle's sampling."""
        return sampling

    def get_custom_noise(
        self,
        sampling: KSample,  # noqa: ARG002 - as above
        noise: L | None,
        latents: L,  # noqa: ARG002 - as above
        draw: Draw[L],  # noqa: ARG002 - as above
    ) -> L | None:
        """Noise in place of the sampling's first one. `noise`: what the hook before gives; None: the seeds' own."""
        return noise

    def pre_decode(self, latents: L) -> L:
        """Before the latents are decoded."""
        return latents

    def post_decode(self, pictures: Sequence[Pixels]) -> Sequence[Pixels]:
        """The decoded pictures `[H, W, 3]` in 0..1, at sampling size."""
        return pictures

    def post_paste(self, picture: Pixels) -> Pixels:
        """The frame, `[H, W, 3]` in 0..1, after a crop's patch was pasted. What a pure hook returns is not used."""
        return picture

    def state(self) -> bytes:
        """What the next object of this hook must be given. Not asked of pure hooks."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take up what another object has left. Not called before a job's first batch."""


class Chain(Generic[L]):
    """Hooks one after the other, each given what the one before it has made.

    (The node's own combination hands on noise of zeros where a hook makes noise; here hooks build on each other.)
    """

    def __init__(self, hooks: Sequence[DetailerHook[L]] = (), draw: Draw[L] | None = None) -> None:
        self._hooks = tuple(hooks)
        self._draw = draw
        self.cycle = 0
        """Number of the cycle under way."""

    def touch_scaled_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width, height in pixels."""
        for hook in self._hooks:
            size = hook.touch_scaled_size(*size)
        return size

    def post_encode(self, latents: L) -> L:
        """Of all hooks."""
        for hook in self._hooks:
            latents = hook.post_encode(latents)
        return latents

    def begin_cycle(self, number: int, total: int, latents: L) -> L:
        """All hooks' `set_steps`, then their `cycle_latent`."""
        self.cycle = number
        for hook in self._hooks:
            hook.set_steps(number, total)
        for hook in self._hooks:
            latents = hook.cycle_latent(latents, self._noise)
        return latents

    def pre_ksample(self, sampling: KSample) -> KSample:
        """Of all hooks."""
        for hook in self._hooks:
            sampling = hook.pre_ksample(sampling)
        return sampling

    def get_custom_noise(self, sampling: KSample, latents: L) -> L | None:
        """Of all hooks; None if none makes noise."""
        noise: L | None = None
        for hook in self._hooks:
            noise = hook.get_custom_noise(sampling, noise, latents, self._noise)
        return noise

    def pre_decode(self, latents: L) -> L:
        """Of all hooks."""
        for hook in self._hooks:
            latents = hook.pre_decode(latents)
        return latents

    def post_decode(self, pictures: Sequence[Pixels]) -> Sequence[Pixels]:
        """Of all hooks."""
        for hook in self._hooks:
            pictures = hook.post_decode(pictures)
        return pictures

    def _noise(self, latents: L, seed: int) -> L:
        if self._draw is None:
            raise ValueError("this engine draws no noise for hooks")
        return self._draw(latents, seed)


@dataclass(frozen=True)
class CycleRamp:
    """A value that goes linearly from the first cycle to the last."""

    current: int = 0
    total: int = 1

    def __call__(self, start: float, end: float) -> float:
        """The value in the cycle; `start` if there is only one."""
        return start + (end - start) * self.current / (self.total - 1) if self.total > 1 else start
