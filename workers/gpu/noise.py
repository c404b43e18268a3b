"""Noise of a batch: every row's noise is its own, whatever else is in the batch.

In `mask` jobs a row is a crop with its own seed, and has the noise of a run of its own. In `animatediff` jobs a row is
a frame of a clip: the clip's noise is drawn in blocks of frames, counted from the clip's start, as one tensor per
block, and the batch takes its rows. So a clip of one block has the noise of the original, which draws one tensor for
all of its frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torchsde
from torch import Tensor

BLOCK_FRAMES = 128
"""Frames whose noise is drawn as one tensor."""
SEEDS = 2**64
"""Seeds are whole numbers below this; what goes beyond starts again at 0."""


@dataclass(frozen=True)
class Stream:
    """One seeded source of noise: a tensor of `count` rows per draw, of which the batch takes `rows`."""

    seed: int
    count: int
    rows: tuple[int, ...]


Streams = tuple[Stream, ...]
"""In the order of the batch's rows."""


def crop_streams(seeds: Sequence[int]) -> Streams:
    """A stream of its own for each crop."""
    return tuple(Stream(seed % SEEDS, 1, (0,)) for seed in seeds)


def clip_streams(seed: int, frames: Sequence[int], clip_frames: int, shared: bool = False) -> Streams:
    """The rows of a clip's noise that belong to `frames`.

    Args:
        seed: of the clip.
        frames: positions in the clip, from 0, rising.
        clip_frames: frames of the whole clip; decides how many rows its last block has.
        shared: every frame has the noise of frame 0.
    Raises:
        ValueError: if a frame lies outside the clip, or frames do not rise.
    """
    if not all(0 <= frame < clip_frames for frame in frames) or list(frames) != sorted(frames):
        raise ValueError(f"frames {list(frames)} must rise and lie in a clip of {clip_frames} frames")
    places = [0] * len(frames) if shared else list(frames)
    blocks = sorted({place // BLOCK_FRAMES for place in places})
    return tuple(
        Stream(
            block_seed(seed, block),
            min(BLOCK_FRAMES, clip_frames - BLOCK_FRAMES * block),
            tuple(place % BLOCK_FRAMES for place in places if place // BLOCK_FRAMES == block),
        )
        for block in blocks
    )


def block_seed(seed: int, block: int) -> int:
    """Seed of a block of frames: the clip's for the first, a hash of clip's seed and block for the others."""
    if block == 0:
        return seed % SEEDS
    return int.from_bytes(hashlib.sha256(f"{seed % SEEDS}/{block}".encode()).digest()[:8], "big")


def reseeded(streams: Streams, summand: int) -> Streams:
    """The streams with `summand` added to each seed."""
    return tuple(Stream((stream.seed + summand) % SEEDS, stream.count, stream.rows) for stream in streams)


def initial_noise(streams: Streams, shape: Sequence[int]) -> Tensor:
    """Noise of a run's start, `[rows, *shape]` float32: always of the CPU's generator, also for a GPU.

    Source:
        PARITY 3.4.
    """
    return Gaussian(streams, shape, torch.device("cpu")).draw()


class Gaussian:
    """Noise that samplers add on their way: generators on the device, seeded anew with the run's seed (PARITY 3.5)."""

    def __init__(self, streams: Streams, shape: Sequence[int], device: torch.device) -> None:
        self._streams = streams
        self._shape = tuple(shape)
        self._device = device
        self._generators = [torch.Generator(device).manual_seed(stream.seed) for stream in streams]

    def draw(self) -> Tensor:
        """The next unit noise, `[rows, *shape]` float32."""
        drawn = [
            torch.randn((stream.count, *self._shape), generator=generator, device=self._device)[list(stream.rows)]
            for stream, generator in zip(self._streams, self._generators, strict=True)
        ]
        return torch.cat(drawn)


class Brownian:
    """Noise of a Brownian path over the noise levels: the parts of a step add up to the whole (PARITY_APPENDIX B).

    Source:
        Li et al. 2020, arXiv:2001.01328; Kidger et al. 2021, arXiv:2105.13493; the package torchsde.
    """

    def __init__(
        self, streams: Streams, shape: Sequence[int], device: torch.device, span: tuple[Tensor, Tensor]
    ) -> None:
        low, high = (bound.to(torch.float32) for bound in span)
        # The package cuts times to six decimals and warns of queries outside; so its range is kept here.
        self._range = round(float(low), 6), round(float(high), 6)
        self._streams = streams
        self._trees = [
            torchsde.BrownianTree(low, torch.zeros((stream.count, *shape), device=device), high, entropy=stream.seed)
            for stream in streams
        ]

    def between(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """Unit noise of the way down from `sigma` to `sigma_next`, `[rows, *shape]` float32."""
        low, high = (min(max(float(bound), self._range[0]), self._range[1]) for bound in (sigma_next, sigma))
        drawn = [tree(low, high)[list(stream.rows)] for stream, tree in zip(self._streams, self._trees, strict=True)]
        # Down the noise levels is against the path's direction, hence the minus.
        return -torch.cat(drawn) / (sigma - sigma_next).abs().sqrt()


class SamplerNoise:
    """What a sampler is given: nothing is drawn before it is asked for."""

    def __init__(
        self, streams: Streams, shape: Sequence[int], device: torch.device, span: Callable[[], tuple[Tensor, Tensor]]
    ) -> None:
        self._streams = streams
        self._shape = tuple(shape)
        self._device = device
        self._span = span
        self._gaussian: Gaussian | None = None
        self._brownian: Brownian | None = None

    def normal(self) -> Tensor:
        """The next unit Gaussian noise, of the batch's shape, on the device."""
        if self._gaussian is None:
            self._gaussian = Gaussian(self._streams, self._shape, self._device)
        return self._gaussian.draw()

    def brownian(self, sigma: Tensor, sigma_next: Tensor, on_device: bool = False) -> Tensor:
        """Unit noise of the path between two noise levels, the first one larger, on the device.

        Args:
            on_device: the path's numbers come from the device's generator, else from the CPU's.
        """
        if self._brownian is None:
            device = self._device if on_device else torch.device("cpu")
            self._brownian = Brownian(self._streams, self._shape, device, self._span())
        return self._brownian.between(sigma, sigma_next).to(self._device)
