"""The motion adapter: trained on clips of tiles under a moving camera with animated sprites before them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from demo.training.denoiser import Prompts, draw_moment, noised, step_weights
from demo.training.latents import FACTOR, to_tensor
from demo.training.networks import Networks, encoded, motion_unet, noise_shares
from demo.training.presets import Preset, StageName
from demo.training.softening import soften
from demo.training.tiles import STRIP_SIDE, Tiles, lay
from demo.training.vocabulary import SHARP
from farm.adapters.pictures import U8

CHANGE = 0.4
"""Weight of the error's change from frame to frame: that is what flickers."""
STILL_SHARE = 0.2
"""Share of clips in which the camera stands still."""
SPRITE_SHARE = 0.6
"""Share of clips with an animated sprite."""
PAN, TURN, ZOOM = 3.0, 1.2, 0.01
"""Largest movement of the camera from frame to frame: pixels, degrees, and part of the size."""


def draw_clip(tiles: Tiles, rng: np.random.Generator, frames: int, side: int) -> tuple[U8, U8, int]:
    """A sharp clip and its soft version, `[frames, side, side, 3]`, and which tile it shows."""
    tile = int(rng.integers(len(tiles.pixels)))
    picture = np.ascontiguousarray(tiles.pixels[tile])
    pan, turn, zoom = rng.uniform(-PAN, PAN, 2), rng.uniform(-TURN, TURN), rng.uniform(-ZOOM, ZOOM)
    if rng.random() < STILL_SHARE:
        pan, turn, zoom = np.zeros(2), 0.0, 0.0
    center = rng.uniform(0.3, 0.7, 2) * picture.shape[0]
    strip = _strip(tiles, rng) if rng.random() < SPRITE_SHARE else None
    place, speed = rng.uniform(0, max(1, side - STRIP_SIDE / 2), 2), rng.uniform(-PAN, PAN, 2)
    sharp = []
    for number in range(frames):
        at = center + pan * number
        view = cv2.getRotationMatrix2D((float(at[0]), float(at[1])), turn * number, 1.05 + zoom * number)
        view[:, 2] += side / 2 - at
        frame = cv2.warpAffine(picture, view, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        if strip is not None:
            canvas = frame.astype(np.float32)
            top, left = (round(float(each)) for each in place + speed * number)
            lay(canvas, strip[number % len(strip)], top, left)
            frame = np.clip(np.round(canvas), 0, 255).astype(np.uint8)
        sharp.append(np.asarray(frame, np.uint8))
    # The same softness in all frames: that of one clip.
    seed = int(rng.integers(1 << 31))
    soft = [soften(frame, np.random.default_rng(seed)) for frame in sharp]
    return np.stack(sharp), np.stack(soft), tile


def _strip(tiles: Tiles, rng: np.random.Generator) -> U8 | None:
    return np.asarray(tiles.strips[int(rng.integers(len(tiles.strips)))]) if len(tiles.strips) else None


class MotionStage:
    """Trains the motion modules; the UNet under them is held still."""

    name: str = StageName.MOTION

    def __init__(self, networks: Networks, tiles: Tiles, preset: Preset, device: torch.device, spread: float) -> None:
        """
        Args:
            spread: deviation of the latents, not scaled.
        """
        self._networks, self._tiles, self._device = networks, tiles, device
        self._batch, self._frames = preset.paces[StageName.MOTION].batch, preset.frames
        self._side = min(preset.crop, 128)
        self._rng = np.random.default_rng(5)
        self._unet = motion_unet(networks).to(device)
        self._shares = noise_shares(device)
        self._factor = float(networks.vae.config.scaling_factor)
        self._power = (spread * self._factor) ** 2
        self._prompts = Prompts(networks, device)
        self.weights: Mapping[str, nn.Parameter] = {
            f"motion_adapter/{name}": weight
            for name, weight in self._unet.named_parameters()
            if "motion_modules" in name
        }

    @torch.no_grad()
    def _latents(self, clip: U8) -> Tensor:
        mean, _ = encoded(self._networks.vae, to_tensor(clip).to(self._device))
        # Not channels last: there torch's backward of a group norm whose weights are held still crashes on a CPU.
        return (mean * self._factor).contiguous()

    def losses(self, progress: float) -> Mapping[str, Tensor]:  # noqa: ARG002 - part of what a stage is
        """Weighted squared error of the noise, and of its change from frame to frame."""
        clips = [draw_clip(self._tiles, self._rng, self._frames, self._side) for _ in range(self._batch)]
        sharp = torch.cat([self._latents(clip) for clip, _, _ in clips])
        soft = torch.cat([self._latents(clip) for _, clip, _ in clips])
        moment = draw_moment(self._rng, self._batch, self._device)
        each = type(moment)(
            *(of.repeat_interleave(self._frames) for of in (moment.steps, moment.starts, moment.from_soft))
        )
        shown, answer = noised(self._shares, sharp, soft, each, torch.randn_like(sharp))
        prompts = [SHARP[0] + self._tiles.words[tile] for _, _, tile in clips]
        embedding = self._prompts.embed(prompts).repeat_interleave(self._frames, 0)
        said = self._unet(self._in_clips(shown), moment.steps, embedding).sample
        error = self._in_clips(answer) - said
        weight = step_weights(self._shares, moment.steps, self._power).sqrt().view(-1, 1, 1, 1, 1)
        error = weight * error
        change = torch.diff(error, dim=2)
        still = (error**2).mean()
        flicker = (change**2).mean()
        return {"loss": still + CHANGE * flicker, "error": still, "flicker": flicker}

    def _in_clips(self, latents: Tensor) -> Tensor:
        """`[B * F, C, H, W]` as the motion UNet takes it, `[B, C, F, H, W]`."""
        side = self._side // FACTOR
        return latents.view(self._batch, self._frames, -1, side, side).transpose(1, 2)

    def stepped(self) -> None:
        """Nothing to do."""

    def outcome(self) -> Mapping[str, Tensor]:
        """Nothing else."""
        return {}
