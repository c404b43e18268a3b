"""Latents of all tiles, sharp and soft, computed once and kept on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from demo.training.networks import Networks, encoded
from demo.training.softening import soften
from demo.training.tiles import Tiles
from farm.adapters.pictures import U8

VERSIONS = 3
"""Latents that are kept of a tile: the sharp one, and two soft ones."""
FACTOR = 8
"""Pixels of a latent's width and height."""
BATCH = 8
LARGEST_MISFIT = 1e-3
"""Part of the latents' deviation by which a block encoder may be off, at the most."""

Encoder = Callable[[Tensor], Tensor]
"""Pictures `[B, 3, H, W]` to the mean of their latents."""


@dataclass(frozen=True)
class Latents:
    """Of all tiles, not scaled."""

    values: NDArray[np.float16]
    """`[N, 3, C, 32, 32]`: sharp, soft, soft."""
    spread: float
    """Their deviation over everything."""

    def crops(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """Random crops: sharp, soft at the same places (both `[count, C, side, side]`), and which tiles they are of.

        Args:
            side: in latents, at most 32.
        """
        tiles = rng.integers(0, len(self.values), count)
        versions = rng.integers(1, VERSIONS, count)
        whole = self.values.shape[-1]
        tops, lefts = rng.integers(0, whole - side + 1, (2, count))
        places = [(slice(top, top + side), slice(left, left + side)) for top, left in zip(tops, lefts, strict=True)]
        sharp, soft = (
            np.stack(
                [
                    self.values[tile, version, :, *place]
                    for tile, version, place in zip(tiles, each, places, strict=True)
                ]
            )
            for each in (np.zeros(count, np.int64), versions)
        )
        return torch.from_numpy(sharp).float(), torch.from_numpy(soft).float(), tiles


def to_tensor(pictures: U8) -> Tensor:
    """`[B, H, W, 3]` of [0, 255] as `[B, 3, H, W]` of [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def keep_latents(
    networks: Networks, tiles: Tiles, work: Path, device: torch.device, told: Callable[[float], None]
) -> Latents:
    """The latents of all tiles; computed unless `work` holds them for this very encoder.

    Args:
        told: called with the part that is done.
    """
    path = work / f"latents-{_fingerprint(networks, tiles)}.npy"
    if not path.is_file():
        making = path.with_suffix(".part")
        _compute(networks, tiles, making, device, told)
        making.replace(path)
    values = np.load(path, mmap_mode="r")
    some = values[:: max(1, len(values) // 500), 0].astype(np.float32)
    return Latents(values, float(some.std()))


def _fingerprint(networks: Networks, tiles: Tiles) -> str:
    """Of the encoder and of the tiles."""
    state = hashlib.sha256()
    for part in ("vae.encoder", "vae.quant_conv"):
        for weight in networks.part(part).state_dict().values():
            state.update(weight.detach().cpu().numpy().tobytes())
    state.update(np.ascontiguousarray(tiles.pixels[:: max(1, len(tiles.pixels) // 16)]).tobytes())
    return state.hexdigest()[:16]


@torch.no_grad()
def block_encoder(networks: Networks, device: torch.device) -> Encoder | None:
    """The encoder with all that comes before its closing norm as one convolution, where it is one; else None.

    The embedded model's encoder is a linear map of blocks of 8x8 pixels that was written into the layers of an
    AutoencoderKL; only its closing norm looks at the whole picture. As the convolution that it is, it takes a
    hundredth of the time. Whether it is one is tried out.
    """
    vae = networks.vae
    draw = torch.Generator().manual_seed(0)
    probe, trial = (torch.rand((1, 3, 256, 256), generator=draw).to(device) * 2 - 1 for _ in range(2))
    seen: list[Tensor] = []
    watch = vae.encoder.conv_norm_out.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoded(vae, probe)
    watch.remove()
    blocks = functional.unfold(probe, FACTOR, stride=FACTOR)[0].T
    blocks = torch.cat([blocks, torch.ones_like(blocks[:, :1])], 1).double()
    found = torch.linalg.lstsq(blocks, seen[0][0].flatten(1).T.double()).solution.float()
    weights, bias = found[:-1].T.reshape(-1, 3, FACTOR, FACTOR).contiguous(), found[-1]

    def encode(pictures: Tensor) -> Tensor:
        blocked = functional.conv2d(pictures, weights, bias, stride=FACTOR)
        tail: Tensor = vae.encoder.conv_out(vae.encoder.conv_act(vae.encoder.conv_norm_out(blocked)))
        mean: Tensor = vae.quant_conv(tail).chunk(2, 1)[0]
        return mean

    true, _ = encoded(vae, trial)
    return encode if (encode(trial) - true).abs().max() < LARGEST_MISFIT * true.std() else None


@torch.no_grad()
def _compute(networks: Networks, tiles: Tiles, path: Path, device: torch.device, told: Callable[[float], None]) -> None:
    count = len(tiles.pixels)
    channels, side = networks.vae.config.latent_channels, tiles.pixels.shape[1] // FACTOR
    encode = block_encoder(networks, device) or (lambda pictures: encoded(networks.vae, pictures)[0])
    values = open_memmap(path, mode="w+", dtype=np.float16, shape=(count, VERSIONS, channels, side, side))
    for first in range(0, count, BATCH):
        pictures = tiles.pixels[first : first + BATCH]
        for version in range(VERSIONS):
            rngs = (np.random.default_rng((first + index, version)) for index in range(len(pictures)))
            seen = np.stack([soften(each, rng) if version else each for each, rng in zip(pictures, rngs, strict=True)])
            values[first : first + len(pictures), version] = encode(to_tensor(seen).to(device)).cpu().numpy()
        told(first / count)
    values.flush()
