"""The fake VAE and the fake sampler of the golden vectors, as an engine sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.detail.blend import Pixels
from farm.detail.resample import Mask, resize_mask

Latents = NDArray[np.float32]
"""`[n, 3, h, w]`."""

FACTOR = 8


@dataclass
class FakeTools:
    """Averages of 8 x 8 pixels as latents; sampling pulls them toward their mean and a number made of the seed."""

    denoise: float
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Each sampling: seed, latent_shape, and height and width of the noise mask, in order."""

    @property
    def factor(self) -> int:
        """Pixels per latent pixel and side."""
        return FACTOR

    def encode(self, pixels: Sequence[Pixels]) -> Latents:
        """The centered whole blocks, averaged."""
        batch = np.stack(pixels)
        for axis in (1, 2):
            side = batch.shape[axis]
            batch = np.take(batch, np.arange(side // FACTOR * FACTOR) + side % FACTOR // 2, axis=axis)
        # Added up in float32, pixel by pixel, as pooling does: a last bit decides a level when it is cut off to 8 bits.
        total = np.zeros_like(batch[:, ::FACTOR, ::FACTOR])
        for row in range(FACTOR):
            for column in range(FACTOR):
                total += batch[:, row::FACTOR, column::FACTOR]
        latents: Latents = (total / np.float32(FACTOR * FACTOR)).transpose(0, 3, 1, 2)
        return latents

    def decode(self, latents: Latents) -> list[Pixels]:
        """Each latent pixel as a block, clamped."""
        large = latents.repeat(FACTOR, axis=2).repeat(FACTOR, axis=3)
        return list(np.clip(large, 0, 1).transpose(0, 2, 3, 1))

    def sample(
        self, latents: Latents, masks: Sequence[Mask] | None, seeds: Sequence[int], concat: Latents | None
    ) -> Latents:
        """One call of the sampler; all of its latents have one seed."""
        if len(set(seeds)) != 1:
            raise ValueError(f"one call with the seeds {seeds}")
        mask_size = list(masks[0].shape) if masks else None
        self.calls.append({"seed": seeds[0], "latent_shape": list(latents.shape), "mask_size": mask_size})
        pull = np.float32((seeds[0] % 97) / 96)
        half, quarter = np.float32(0.5), np.float32(0.25)
        target = half * latents + quarter * latents.mean(axis=0, keepdims=True) + quarter * pull
        moved: Latents = np.float32(self.denoise) * target + np.float32(1 - self.denoise) * latents
        if not masks:
            return moved
        height, width = latents.shape[2:]
        scaled = np.stack([resize_mask(mask, width, height) for mask in masks])[:, None]
        inside: Latents = scaled * moved + (1 - scaled) * latents
        return inside
