"""Pixels to latents and back (PARITY 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.gpu.faults import NotNumbers, memory_errors

Pixels = NDArray[np.float32]
log = structlog.get_logger()

PIXELS_AT_ONCE = 2**18
"""Pixels that go through the VAE together: bounds its memory, far above the UNet's. One picture goes always."""


class Codec:
    """A diffusers AutoencoderKL for numpy pictures of one size."""

    def __init__(self, vae: Any, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ANN401  diffusers is untyped
        self.factor: int = 2 ** (len(vae.config.block_out_channels) - 1)
        """Pixels per latent pixel and side."""
        self.channels = int(vae.config.latent_channels)
        self.scaling = float(vae.config.scaling_factor)
        self.shift = float(vae.config.shift_factor or 0.0)
        self._device = device
        self._dtype = torch.float32 if vae.config.force_upcast or dtype == torch.float16 else dtype
        vae = vae if vae.dtype == self._dtype else vae.to(self._dtype)
        # Not channels last: it would save a quarter of the time on a CPU, but is off by twice as much.
        self._vae = vae.to(device).eval().requires_grad_(False)

    def encode(self, pictures: Sequence[Pixels]) -> Tensor:
        """Latents `[n, channels, h, w]` float32 of pictures `[H, W, 3]` in [0, 1]: the posterior's mode.

        What exceeds a multiple of `factor` is cut, equally on both sides.
        """
        return self._sound(lambda: self._encoded(pictures), "encoding")

    def decode(self, latents: Tensor) -> list[Pixels]:
        """Pictures `[H, W, 3]` float32 in [0, 1]."""
        height, width = (side * self.factor for side in latents.shape[-2:])
        found: list[Pixels] = []
        for part in torch.split(latents, max(1, PIXELS_AT_ONCE // (height * width))):
            pixels = self._sound(lambda part=part: self._decoded(part), "decoding") / 2 + 0.5  # type: ignore[misc]  # a default is the loop's own value
            found += list(pixels.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy())
        return found

    def _encoded(self, pictures: Sequence[Pixels]) -> Tensor:
        found = []
        for part in self._slices(pictures):
            pixels = torch.from_numpy(np.stack([_cut(picture, self.factor) for picture in part])).permute(0, 3, 1, 2)
            with memory_errors("encode a crop"):
                posterior = self._vae.encode((pixels * 2 - 1).to(self._device, self._dtype)).latent_dist
            found.append(posterior.mode().float())
        return torch.cat(found)

    def _decoded(self, latents: Tensor) -> Tensor:
        with memory_errors("decode a crop"):
            decoded: Tensor = self._vae.decode(latents.to(self._device, self._dtype)).sample
        return decoded.float()

    def _slices(self, pictures: Sequence[Pixels]) -> list[Sequence[Pixels]]:
        size = max(1, PIXELS_AT_ONCE // (pictures[0].shape[0] * pictures[0].shape[1]))
        return [pictures[i : i + size] for i in range(0, len(pictures), size)]

    def _sound(self, run: Callable[[], Tensor], stage: str) -> Tensor:
        """What `run` gives; where half precision ran over, once more in float32. Raises NotNumbers."""
        values = run()
        if not _finite(values) and self._dtype != torch.float32:
            log.warning("vae_ran_over", stage=stage, dtype=_name(self._dtype), again_in="float32")
            values = self._in_float32(run)
            if not _finite(values):
                raise NotNumbers(stage, f"{_name(self._dtype)} and again in float32")
        if not _finite(values):
            raise NotNumbers(stage, _name(self._dtype))
        return values

    def _in_float32(self, run: Callable[[], Tensor]) -> Tensor:
        """For this call only: the next one is computed as everywhere else, so that it has the same bits."""
        half, self._dtype = self._dtype, torch.float32
        self._vae.to(torch.float32)
        try:
            return run()
        finally:
            self._dtype = half
            self._vae.to(half)


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cut(picture: Pixels, factor: int) -> Pixels:
    height, width = picture.shape[:2]
    top, left = height % factor // 2, width % factor // 2
    return picture[top : top + height // factor * factor, left : left + width // factor * factor]
