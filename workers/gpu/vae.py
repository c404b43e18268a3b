"""Pixels to latents and back (PARITY 3.7), in slices that the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.gpu.faults import NotNumbers, memory_errors
from workers.gpu.fitting import Fitting
from workers.gpu.pictures import Pictures
from workers.gpu.rungs import VaeRung

Pixels = NDArray[np.float32]
log = structlog.get_logger()

PIXELS_AT_ONCE = 1
"""Pixels that go through the VAE together on a CPU: one picture, since one always goes. More are not faster there, and
so a picture has the same bits alone and beside others."""
GPU_PIXELS_AT_ONCE = 2**22
"""The same on a GPU: 16 pictures of 512x512, some 10 GB in float32. Fewer where that does not fit."""


class Codec:
    """A diffusers AutoencoderKL for numpy pictures of one size."""

    def __init__(
        self,
        vae: Any,  # noqa: ANN401  diffusers is untyped
        device: torch.device,
        dtype: torch.dtype,
        fitting: Fitting | None = None,
    ) -> None:
        self.factor: int = 2 ** (len(vae.config.block_out_channels) - 1)
        """Pixels per latent pixel and side."""
        self.channels = int(vae.config.latent_channels)
        self.scaling = float(vae.config.scaling_factor)
        self.shift = float(vae.config.shift_factor or 0.0)
        self._device = device
        self._fitting = fitting or Fitting()
        self._at_once = GPU_PIXELS_AT_ONCE if device.type == "cuda" else PIXELS_AT_ONCE
        self._dtype = torch.float32 if vae.config.force_upcast or dtype == torch.float16 else dtype
        vae = vae if vae.dtype == self._dtype else vae.to(self._dtype)
        vae = vae.to(device).eval().requires_grad_(False)
        # Channels last on a GPU only: it would save a quarter of the time on a CPU, but is off by twice as much.
        self._vae = vae.to(memory_format=torch.channels_last) if device.type == "cuda" else vae

    def encode(self, pictures: Sequence[Pixels]) -> Tensor:
        """Latents `[n, channels, h, w]` float32 of pictures `[H, W, 3]` in [0, 1]: the posterior's mode.

        What exceeds a multiple of `factor` is cut, equally on both sides.

        Raises:
            OutOfMemory, NotNumbers.
        """
        whole = _tensor(pictures)
        pixels = _cut(whole, self.factor).permute(0, 3, 1, 2)

        def on(rung: VaeRung) -> Tensor:
            found = []
            with self._tiled(rung, pixels.shape[-2:]):
                for part in torch.split(pixels, rung.pictures):
                    moved = part.to(self._device, non_blocking=True)
                    with memory_errors("encode a crop"):
                        posterior = self._vae.encode((moved * 2 - 1).to(self._dtype)).latent_dist
                    found.append(posterior.mode().float())
            return torch.cat(found)

        size, at_once = pixels.shape[-2] * pixels.shape[-1], self._pictures(whole[..., 0].shape)
        return self._sound(lambda: self._fitting.vae("encode", size, at_once, on), "encoding")

    def decode(self, latents: Tensor) -> list[Pixels]:
        """Pictures `[H, W, 3]` float32 in [0, 1].

        Raises:
            OutOfMemory, NotNumbers.
        """
        height, width = (side * self.factor for side in latents.shape[-2:])

        def on(rung: VaeRung) -> list[Pixels]:
            found: list[Pixels] = []
            with self._tiled(rung, (height, width)):
                for part in torch.split(latents, rung.pictures):
                    pixels = self._sound(partial(self._decoded, part), "decoding") / 2 + 0.5
                    found += list(pixels.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy())
            return found

        return self._fitting.vae("decode", height * width, self._pictures((len(latents), height, width)), on)

    def _decoded(self, latents: Tensor) -> Tensor:
        with memory_errors("decode a crop"):
            decoded: Tensor = self._vae.decode(latents.to(self._device, self._dtype)).sample
        return decoded.float()

    def rungs(self, width: int, height: int) -> list[str]:
        """What changes pixels of that size for want of memory: `vae_encode_tiles_2` and the like; mostly nothing."""
        size = height // self.factor * self.factor * (width // self.factor * self.factor)
        tiles = {what: self._fitting.tiles(what, size) for what in ("encode", "decode")}
        return [f"vae_{what}_tiles_{count}" for what, count in tiles.items() if count > 1]

    def _pictures(self, shape: Sequence[int]) -> int:
        """How many of `[n, H, W]` to begin with."""
        count, height, width = shape
        return max(1, min(count, self._at_once // (height * width)))

    @contextmanager
    def _tiled(self, rung: VaeRung, size: Sequence[int]) -> Iterator[None]:
        """The VAE works in overlapping tiles meanwhile, if the rung wants it."""
        if rung.tiles == 1:
            yield
            return
        # A quarter of a tile is faded over, so its side in latent pixels must be divisible by 4.
        side = -(-max(size) // (4 * self.factor * rung.tiles)) * 4
        self._vae.tile_latent_min_size, self._vae.tile_sample_min_size = side, side * self.factor
        self._vae.enable_tiling()
        try:
            yield
        finally:
            self._vae.disable_tiling()

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


def _tensor(pictures: Sequence[Pixels]) -> Tensor:
    """`[n, H, W, 3]` on the CPU; pinned, where they were prepared so."""
    if isinstance(pictures, Pictures):
        return pictures.tensor
    return torch.from_numpy(np.stack(pictures))


def _cut(pictures: Tensor, factor: int) -> Tensor:
    height, width = pictures.shape[1:3]
    top, left = height % factor // 2, width % factor // 2
    return pictures[:, top : top + height // factor * factor, left : left + width // factor * factor]
