"""The two stages that train a decoder: with its encoder from nothing, and alone on what the denoiser makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from demo.training.denoiser import STARTS, Prompts, restore
from demo.training.latents import FACTOR, Latents, to_tensor
from demo.training.losses import Adversary, divergence, likeness
from demo.training.networks import Networks, decoded, encoded, learnt
from demo.training.presets import Preset, StageName
from demo.training.softening import soften
from demo.training.tiles import Tiles
from demo.training.vocabulary import SHARP

DIVERGENCE = 2e-4
"""Weight of the latents' divergence from the unit Gaussian."""
SOFT_SHARE = 0.3
"""Share of the autoencoder's pictures that are soft ones: img2img starts from these."""
ADVERSARY_FROM = 0.5
"""Part of the run after which the adversary joins in, if there is one."""
RESTORED = 1536
"""Crops that the denoiser restores for the decoder to learn from, at the most."""
RESTORE_STEPS = 8
"""Steps of img2img with which they are restored: at these strengths more change little."""
RESTORED_SHARE = 0.6
"""Share of restored latents in the decoder's batches; the others are sharp ones with a little noise."""
NOISE = 0.01
"""Deviation of that noise, as a part of the latents'."""
DECODER_CROP = 80
"""Pixels of width and height of the decoder's crops, at the most."""


class _Opponent:
    """The adversary's part in a stage that decodes."""

    def __init__(self, preset: Preset, name: StageName, device: torch.device) -> None:
        rate = preset.paces[name].rate / 2
        self._adversary = Adversary(preset.adversary, rate, device) if preset.adversary else None
        self._seen: tuple[Tensor, Tensor] | None = None

    def add(self, losses: dict[str, Tensor], made: Tensor, wanted: Tensor, joins: bool) -> dict[str, Tensor]:
        """The losses, with what the adversary objects."""
        if self._adversary is None or not joins:
            return losses
        self._seen = made.detach(), wanted
        objection = self._adversary.objection(losses["loss"], made)
        return {**losses, "loss": losses["loss"] + objection, "adversary": objection}

    def stepped(self) -> None:
        """Let the adversary learn from the same pictures."""
        if self._adversary is not None and self._seen is not None:
            self._adversary.learn(*self._seen)


def _named(networks: Networks, preset: Preset, stage: StageName) -> dict[str, nn.Parameter]:
    return {
        f"{part}/{name}": weight
        for part in learnt(preset, stage)
        for name, weight in networks.part(part).named_parameters()
    }


class AutoencoderStage:
    """Trains encoder and decoder together; sharp and soft pictures come back as they were."""

    name: str = StageName.AUTOENCODER

    def __init__(self, networks: Networks, tiles: Tiles, preset: Preset, device: torch.device) -> None:
        self._networks, self._tiles, self._device = networks, tiles, device
        self._batch, self._crop = preset.paces[StageName.AUTOENCODER].batch, preset.crop
        self._rng = np.random.default_rng(2)
        self._opponent = _Opponent(preset, StageName.AUTOENCODER, device)
        self.weights: Mapping[str, nn.Parameter] = _named(networks, preset, StageName.AUTOENCODER)

    def _pictures(self) -> Tensor:
        cuts = []
        for _ in range(self._batch):
            tile = self._tiles.pixels[int(self._rng.integers(len(self._tiles.pixels)))]
            top, left = self._rng.integers(0, tile.shape[0] - self._crop + 1, 2)
            cut = np.ascontiguousarray(tile[top : top + self._crop, left : left + self._crop])
            cuts.append(soften(cut, self._rng) if self._rng.random() < SOFT_SHARE else cut)
        return to_tensor(np.stack(cuts)).to(self._device)

    def losses(self, progress: float) -> Mapping[str, Tensor]:
        """Likeness of what comes back, and the divergence of the latents."""
        wanted = self._pictures()
        mean, log_variance = encoded(self._networks.vae, wanted)
        made = decoded(self._networks.vae, mean + torch.randn_like(mean) * (log_variance / 2).exp())
        losses = likeness(made, wanted)
        apart = divergence(mean, log_variance)
        losses = {**losses, "loss": losses["loss"] + DIVERGENCE * apart, "divergence": apart}
        return self._opponent.add(losses, made, wanted, progress > ADVERSARY_FROM)

    def stepped(self) -> None:
        """The adversary's turn."""
        self._opponent.stepped()

    def outcome(self) -> Mapping[str, Tensor]:
        """Nothing else."""
        return {}


class DecoderStage:
    """Trains the decoder alone: from the denoiser's latents it should paint the sharp picture, texture and all."""

    name: str = StageName.DECODER

    def __init__(
        self,
        networks: Networks,
        tiles: Tiles,
        latents: Latents,
        preset: Preset,
        device: torch.device,
        told: Callable[[float], None],
    ) -> None:
        """
        Args:
            told: called with the part of the crops that is restored.
        """
        self._networks, self._tiles, self._latents, self._device = networks, tiles, latents, device
        self._batch = preset.paces[StageName.DECODER].batch
        self._rng = np.random.default_rng(3)
        self._opponent = _Opponent(preset, StageName.DECODER, device)
        self._side = min(preset.crop, DECODER_CROP) // FACTOR
        self._restored, self._sharp = self._restore(preset, told)
        self.weights: Mapping[str, nn.Parameter] = _named(networks, preset, StageName.DECODER)

    def _restore(self, preset: Preset, told: Callable[[float], None]) -> tuple[Tensor, Tensor]:
        """Restored latents `[N, C, s, s]`, not scaled, and the pixels they should become, `[N, H, W, 3]`."""
        rng = np.random.default_rng(4)
        factor = float(self._networks.vae.config.scaling_factor)
        batch = preset.paces[StageName.DENOISER].batch
        count = min(RESTORED, 4 * len(self._tiles.pixels))
        prompts = Prompts(self._networks, self._device)
        made, true = [], []
        for first in range(0, count, batch):
            soft, pixels = self._pairs(rng, batch, preset.crop // FACTOR)
            words = [SHARP[int(rng.integers(len(SHARP)))]] * batch
            start = int(rng.integers(*STARTS))
            scaled = soft.to(self._device) * factor
            restored = restore(
                self._networks, scaled, prompts.embed(words), start, RESTORE_STEPS, torch.randn_like(scaled)
            )
            made.append((restored / factor).cpu())
            true.append(pixels)
            told(first / count)
        return torch.cat(made), torch.cat(true)

    def _pairs(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Soft latents, and the pixels of the sharp tiles at the same places."""
        tiles = rng.integers(0, len(self._latents.values), count)
        places = rng.integers(0, self._latents.values.shape[-1] - side + 1, (count, 2))
        soft, pixels = [], []
        for tile, (top, left) in zip(tiles, places, strict=True):
            version = int(rng.integers(1, self._latents.values.shape[1]))
            soft.append(self._latents.values[tile, version, :, top : top + side, left : left + side])
            pixels.append(_pixels(self._tiles, int(tile), top, left, side))
        return torch.from_numpy(np.stack(soft)).float(), torch.from_numpy(np.stack(pixels))

    def losses(self, progress: float) -> Mapping[str, Tensor]:
        """Likeness of decoded crops of restored latents, and of sharp ones with a little noise."""
        z, pixels = [], []
        for _ in range(self._batch):
            latent, pixel = self._one_restored() if self._rng.random() < RESTORED_SHARE else self._one_sharp()
            z.append(latent)
            pixels.append(pixel)
        wanted = to_tensor(np.stack(pixels)).to(self._device)
        made = decoded(
            self._networks.vae, torch.stack(z).to(self._device).contiguous(memory_format=torch.channels_last)
        )
        return self._opponent.add(likeness(made, wanted), made, wanted, joins=progress > WARM_UP)

    def _one_restored(self) -> tuple[Tensor, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        index = int(self._rng.integers(len(self._restored)))
        top, left = (int(at) for at in self._rng.integers(0, self._restored.shape[-1] - self._side + 1, 2))
        latent = self._restored[index, :, top : top + self._side, left : left + self._side]
        rows, columns = (slice(at * FACTOR, (at + self._side) * FACTOR) for at in (top, left))
        return latent, self._sharp[index, rows, columns].numpy()

    def _one_sharp(self) -> tuple[Tensor, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        tile = int(self._rng.integers(len(self._latents.values)))
        top, left = (int(at) for at in self._rng.integers(0, self._latents.values.shape[-1] - self._side + 1, 2))
        kept = self._latents.values[tile, 0, :, top : top + self._side, left : left + self._side]
        latent = torch.from_numpy(np.ascontiguousarray(kept)).float()
        noisy = latent + NOISE * self._latents.spread * torch.randn_like(latent)
        return noisy, _pixels(self._tiles, tile, top, left, self._side)

    def stepped(self) -> None:
        """The adversary's turn."""
        self._opponent.stepped()

    def outcome(self) -> Mapping[str, Tensor]:
        """Nothing else."""
        return {}


WARM_UP = 0.1
"""Part of the decoder's run after which the adversary joins in: it must have seen something first."""


def _pixels(tiles: Tiles, tile: int, top: int, left: int, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The pixels under a square of latents."""
    rows, columns = (slice(at * FACTOR, (at + side) * FACTOR) for at in (top, left))
    return np.ascontiguousarray(tiles.pixels[tile, rows, columns])
