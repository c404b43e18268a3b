"""The UNet: trained on the way that img2img takes, from soft latents with noise to sharp latents without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from demo.training.latents import FACTOR, Latents
from demo.training.networks import Networks, decoded, learnt, noise_shares
from demo.training.presets import Preset, StageName
from demo.training.vocabulary import BLURRY, SHARP

STEPS = 1000
STARTS = (180, 560)
"""Range of steps at which img2img starts: denoise 0.18 to 0.56."""
LONGEST_PROMPT = 77
LARGEST_RATIO = 5.0
"""Ratio of signal to noise above which a step counts no more than at this (Hang et al. 2023, min-SNR)."""
LEAST_WEIGHT = 0.03
BY_SIGHT = 0.6
"""Part of the loss in which a latent channel counts as much as it shows in the picture; else all count the same."""
BLURRY_SHARE, PLAIN_SHARE = 0.07, 0.1
"""Shares of crops that stay soft, under a blurry prompt, and of those that are only denoised."""


@dataclass(frozen=True)
class Moment:
    """Where on the way crops are."""

    steps: Tensor
    """`[B]`, of 1000."""
    starts: Tensor
    """`[B]`, where each set out from its soft version."""
    from_soft: Tensor
    """`[B]` bool: it did; the others come from pure noise."""


def draw_moment(rng: np.random.Generator, count: int, device: torch.device) -> Moment:
    """Random places on the way: most of them from soft to sharp, in the range that img2img uses."""
    starts = rng.integers(*STARTS, count)
    from_soft = rng.random(count) >= PLAIN_SHARE
    along = (rng.random(count) * starts).astype(np.int64)
    anywhere = (rng.random(count) ** 1.3 * STEPS).astype(np.int64)
    steps = np.where(from_soft, along, anywhere)
    return Moment(*(torch.from_numpy(each).to(device) for each in (steps, starts, from_soft)))


def noised(shares: Tensor, sharp: Tensor, soft: Tensor, moment: Moment, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What the UNet is shown, and what it should answer.

    At the start of the way stands the soft latent with that step's noise. What is soft about it shrinks with the noise,
    so that answering right at every step leads to the sharp latent: the network is taught to take softness for noise.

    Args:
        shares: `[1000]`, alpha bar.   sharp, soft, noise: `[B, C, H, W]`, scaled.
    """
    alpha = _spread(shares[moment.steps], sharp)
    sigmas = ((1 - shares) / shares).sqrt()
    left = torch.where(moment.from_soft, sigmas[moment.steps] / sigmas[moment.starts], 0.0)
    shown = alpha.sqrt() * (sharp + _spread(left, sharp) * (soft - sharp)) + (1 - alpha).sqrt() * noise
    return shown, (shown - alpha.sqrt() * sharp) / (1 - alpha).sqrt()


def step_weights(shares: Tensor, steps: Tensor, power: float) -> Tensor:
    """How much each step counts, `[B]`; `power` is that of the scaled latents."""
    ratio = power * shares[steps] / (1 - shares[steps])
    return (ratio.clamp(max=LARGEST_RATIO) / ratio).clamp(min=LEAST_WEIGHT)


@torch.no_grad()
def visibility(networks: Networks, latents: Tensor, change: float = 0.3) -> Tensor:
    """How much each latent channel shows in the picture, `[C]` of mean 1.

    Args:
        latents: `[B, C, H, W]`, not scaled: some that are typical.   change: by how much of their deviation.
    """
    before = decoded(networks.vae, latents)
    powers = []
    for channel in range(latents.shape[1]):
        changed = latents.clone()
        # A change that alternates from latent to latent: one that is the same everywhere may be normed away.
        pattern = torch.ones_like(changed[:, channel])
        pattern[:, ::2, 1::2] = pattern[:, 1::2, ::2] = -1
        changed[:, channel] += change * pattern
        powers.append(((decoded(networks.vae, changed) - before) ** 2).mean())
    power = torch.stack(powers)
    return power / power.mean()


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))


class Prompts:
    """Embeddings of the prompts that tiles are trained under."""

    def __init__(self, networks: Networks, device: torch.device) -> None:
        self._networks, self._device = networks, device
        self._known: dict[str, Tensor] = {}

    def draw(self, rng: np.random.Generator, words: str, blurry: bool) -> str:
        """A prompt for a picture that shows `words`; now and then an empty one."""
        if rng.random() < 0.15:
            return ""
        starts = BLURRY if blurry else SHARP
        return (starts[int(rng.integers(len(starts)))] if blurry or rng.random() < 0.7 else "") + words

    def embed(self, prompts: list[str]) -> Tensor:
        """`[B, 77, D]`. Kept, where the text encoder is held still."""
        if any(weight.requires_grad for weight in self._networks.text.parameters()):
            return self._encode(prompts)
        for prompt in set(prompts) - self._known.keys():
            with torch.no_grad():
                self._known[prompt] = self._encode([prompt])[0]
        return torch.stack([self._known[prompt] for prompt in prompts])

    def _encode(self, prompts: list[str]) -> Tensor:
        made = self._networks.tokenizer(
            prompts, padding="max_length", max_length=LONGEST_PROMPT, truncation=True, return_tensors="pt"
        )
        states: Tensor = self._networks.text(made.input_ids.to(self._device))[0]
        return states


class DenoiserStage:
    """Trains the UNet, and the text encoder where nothing was there before."""

    name: str = StageName.DENOISER

    def __init__(
        self, networks: Networks, latents: Latents, words: tuple[str, ...], preset: Preset, device: torch.device
    ) -> None:
        """
        Args:
            words: what each tile shows.
        """
        self._networks, self._latents, self._words, self._device = networks, latents, words, device
        self._side = preset.crop // FACTOR
        self._batch = preset.paces[StageName.DENOISER].batch
        self._rng = np.random.default_rng(1)
        self._shares = noise_shares(device)
        # From nothing: latents of deviation 1, as Stable Diffusion's. A model that is gone on from keeps its factor.
        self.scaling = 1 / latents.spread if preset.start is None else float(networks.vae.config.scaling_factor)
        self._prompts = Prompts(networks, device)
        self.weights: Mapping[str, nn.Parameter] = {
            f"{part}/{name}": weight
            for part in learnt(preset, StageName.DENOISER)
            for name, weight in networks.part(part).named_parameters()
        }
        typical, _, _ = latents.crops(np.random.default_rng(0), 4, min(8, self._side))
        seen = visibility(networks, typical.to(device))
        self._channels = (1 - BY_SIGHT) + BY_SIGHT * seen[:, None, None]

    def losses(self, progress: float) -> Mapping[str, Tensor]:  # noqa: ARG002 - part of what a stage is
        """Weighted squared error of the noise; `left` is how much softness remains, `soft` how much there was."""
        sharp, soft, tiles = self._latents.crops(self._rng, self._batch, self._side)
        sharp, soft = ((each * self.scaling).to(self._device) for each in (sharp, soft))
        stays = self._rng.random(len(tiles)) < BLURRY_SHARE
        prompts = [
            self._prompts.draw(self._rng, self._words[tile], bool(blurry))
            for tile, blurry in zip(tiles, stays, strict=True)
        ]
        wanted = torch.where(_spread(torch.from_numpy(stays).to(self._device), sharp), soft, sharp)
        moment = draw_moment(self._rng, len(tiles), self._device)
        shown, answer = noised(self._shares, wanted, soft, moment, torch.randn_like(sharp))
        with torch.autocast(self._device.type, torch.bfloat16):
            said = self._networks.unet(
                shown.contiguous(memory_format=torch.channels_last), moment.steps, self._prompts.embed(prompts)
            ).sample
        error = (self._channels * (said.float() - answer) ** 2).mean((1, 2, 3))
        power = (self._latents.spread * self.scaling) ** 2
        loss = (step_weights(self._shares, moment.steps, power) * error).mean()
        ratio = (1 - self._shares[moment.steps]) / self._shares[moment.steps]
        softness = (self._channels * (soft - wanted) ** 2).mean()
        return {"loss": loss, "left": (ratio * error).mean(), "soft": softness}

    def stepped(self) -> None:
        """Nothing to do."""

    def outcome(self) -> Mapping[str, Tensor]:
        """The factor that latents are scaled by."""
        return {"scaling/factor": torch.tensor(self.scaling)}


@torch.no_grad()
def restore(networks: Networks, soft: Tensor, embedding: Tensor, start: int, count: int, noise: Tensor) -> Tensor:
    """What img2img makes of soft latents: Euler's method from step `start` down to 0 in `count` steps (DDIM).

    Args:
        soft, noise: `[B, C, H, W]`, scaled.   embedding: `[B, 77, D]`.   start: of 1000, at most 999.
    """
    shares = noise_shares(soft.device)
    sigmas = ((1 - shares) / shares).sqrt()
    steps = torch.linspace(start, 0, count, device=soft.device).round().long()
    x = soft + sigmas[steps[0]] * noise
    for index, step in enumerate(steps):
        sigma = sigmas[step]
        following = sigmas[steps[index + 1]] if index + 1 < count else torch.zeros_like(sigma)
        with torch.autocast(soft.device.type, torch.bfloat16):
            said = networks.unet(x * shares[step].sqrt(), step.expand(len(x)), embedding).sample
        x = x + (following - sigma) * said.float()
    return x
