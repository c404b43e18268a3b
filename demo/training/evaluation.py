"""The figures of a model's card: soft crops of the held-out clip through img2img, and its flicker over frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import (
    AnimateDiffVideoToVideoPipeline,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
)
from PIL import Image

from demo.pictures import clip_frames
from demo.scene import FRAMES, SHARP, Range
from demo.training.figures import Figures, change, color_moved, compare, foreign_change, mean
from demo.training.networks import SCHEDULE, Networks, created, load
from farm.adapters.pictures import U8
from farm.errors import Rejected

Crops = tuple[tuple[int, int, int], ...]
"""Frame (counted from 0), and left and top of a square of 128 pixels in the clip at 640x360."""
CARD_CROPS: Crops = ((20, 180, 70), (60, 150, 15), (100, 150, 30), (125, 140, 25))
"""Those of the card."""
CHECK_CROPS: Crops = ((5, 60, 40), (40, 320, 120), (85, 240, 60), (115, 300, 150))
"""Others, for a look at whether choices that were made on the card's hold elsewhere."""
FLICKER_CROP = (150, 25)
"""Left and top, likewise, of the crop whose flicker is measured."""
FLICKER_FRAMES = (70, 86)
"""First frame, and the one after the last."""
SIDE = 256
PROMPT = "sharp, detailed, 3d render of a rabbit face, best quality"
NEGATIVE = "blurry, low quality"
STEPS = 20
DENOISE = (0.2, 0.25, 0.3, 0.4, 0.5)
FLICKER_DENOISE = (0.3, 0.4)
"""Strengths that every model is measured at, besides the one that is recommended for it."""
RECOMMENDED = 0.3
"""What counts as recommended for a model that says nothing."""
SEED = 0
DECODED_AT_ONCE = 4


@dataclass(frozen=True)
class Row:
    """A line of the card's table."""

    name: str
    figures: Figures
    color: float | None = None
    """How far the mean color moved, of 255."""

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {"name": self.name, **asdict(self.figures), "color": self.color}


@dataclass(frozen=True)
class FlickerRow:
    """A line of the flicker table."""

    name: str
    change: float
    foreign: float
    """Change that is not in the original."""
    figures: Figures

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {"name": self.name, "change": self.change, "foreign": self.foreign, **asdict(self.figures)}


class ClipTooShort(Rejected):
    """A clip without the frames that the figures are of."""

    def __init__(self, clip: Path, seen: int) -> None:
        super().__init__(
            f"{clip} has {seen} frames; the figures are of frames up to {CARD_CROPS[-1][0]}. Name the demo's sharp "
            f"clip, {SHARP.name}, with --clip."
        )


@dataclass(frozen=True)
class HeldOut:
    """What the figures are taken on."""

    soft: tuple[U8, ...]
    sharp: tuple[U8, ...]
    soft_clip: tuple[U8, ...]
    sharp_clip: tuple[U8, ...]


def held_out(clip: Path, times: int, crops: Crops = CARD_CROPS) -> HeldOut:
    """Crops and a short clip, sharp, and soft as if rendered `times` smaller.

    Raises:
        ClipTooShort: it lacks frames that are wanted.
    """
    frames = [pixels for _, pixels in clip_frames(clip, Range(1, FRAMES))]
    if len(frames) <= CARD_CROPS[-1][0]:
        raise ClipTooShort(clip, len(frames))
    pairs = [crop_pair(frames[frame], left, top, times) for frame, left, top in crops]
    moving = [crop_pair(frames[frame], *FLICKER_CROP, times) for frame in range(*FLICKER_FRAMES)]
    return HeldOut(
        tuple(soft for soft, _ in pairs),
        tuple(sharp for _, sharp in pairs),
        tuple(soft for soft, _ in moving),
        tuple(sharp for _, sharp in moving),
    )


def crop_pair(frame: U8, left: int, top: int, times: int) -> tuple[U8, U8]:
    """A square of 256 pixels of a frame of 1280x720, soft and sharp; places count at 640x360."""
    height, width = frame.shape[:2]
    place = np.s_[2 * top : 2 * top + SIDE, 2 * left : 2 * left + SIDE]
    small = cv2.resize(frame, (width // times, height // times), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(soft[place], np.uint8), np.ascontiguousarray(frame[place])


class Painter:
    """A model with diffusers' own pipelines: figures must not depend on this farm's engine."""

    def __init__(self, networks: Networks) -> None:
        parts: dict[str, Any] = {
            "vae": networks.vae,
            "text_encoder": networks.text,
            "tokenizer": networks.tokenizer,
            "unet": networks.unet,
            "scheduler": created(EulerDiscreteScheduler, **SCHEDULE),
        }
        self._vae = networks.vae
        self._still = created(
            StableDiffusionImg2ImgPipeline,
            **parts,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self._moving = created(AnimateDiffVideoToVideoPipeline, **parts, motion_adapter=networks.motion)
        for pipeline in (self._still, self._moving):
            pipeline.set_progress_bar_config(disable=True)

    def paint(self, picture: U8, denoise: float, cfg: float = 1.0, seed: int = SEED) -> U8:
        """img2img of one picture."""
        made = self._still(
            PROMPT,
            image=Image.fromarray(picture),
            strength=denoise,
            guidance_scale=cfg,
            num_inference_steps=STEPS,
            negative_prompt=NEGATIVE,
            generator=torch.Generator().manual_seed(seed),
        )
        return np.asarray(made.images[0], np.uint8)

    def animate(self, clip: Sequence[U8], denoise: float) -> list[U8]:
        """AnimateDiff over a clip, with noise of its own for each frame, as diffusers draws it."""
        made = self._moving(
            video=[Image.fromarray(frame) for frame in clip],
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            strength=denoise,
            guidance_scale=1.0,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(SEED),
            decode_chunk_size=DECODED_AT_ONCE,
        )
        return [np.asarray(frame, np.uint8) for frame in made.frames[0]]

    @torch.no_grad()
    def round_trip(self, picture: U8) -> U8:
        """Through the autoencoder and nothing else."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        made = self._vae.decode(self._vae.encode(pixels).latent_dist.mode()).sample[0]
        return np.asarray(((made.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), np.uint8)


def recommended_denoise(folder: Path) -> float:
    """What a model folder's `farm.json` recommends."""
    path = folder / "farm.json"
    said = json.loads(path.read_text()) if path.is_file() else {}
    return float(said.get("recommended", {}).get("denoise", RECOMMENDED))


def still_name(denoise: float) -> str:
    """Of a row of the card's table."""
    return f"denoise {denoise} cfg 1"


def same_noise_name(denoise: float) -> str:
    """Of a row of the flicker table."""
    return f"img2img {denoise}, same noise"


def still_table(painter: Painter, held: HeldOut, recommended: float, told: Callable[[], None]) -> list[Row]:
    """The card's table; `told` is called after each row."""

    def row(name: str, made: Sequence[U8], given: Sequence[U8] | None) -> Row:
        told()
        figures = mean([compare(each, sharp) for each, sharp in zip(made, held.sharp, strict=True)])
        return Row(name, figures, color_moved(made, given) if given is not None else None)

    rows = [row("input", held.soft, None)]
    rows.append(row("VAE round trip only", [painter.round_trip(each) for each in held.soft], held.soft))
    for denoise in sorted({*DENOISE, recommended}):
        made = [painter.paint(each, denoise) for each in held.soft]
        rows.append(row(still_name(denoise), made, held.soft))
    made = [painter.paint(each, recommended, 1.5) for each in held.soft]
    rows.append(row(f"denoise {recommended} cfg 1.5", made, held.soft))
    rows.append(row("sharp original through the VAE", [painter.round_trip(each) for each in held.sharp], held.sharp))
    return rows


def rows_of(recommended: float, flicker: bool) -> int:
    """Rows that are measured of a model."""
    still = 4 + len({*DENOISE, recommended})
    return still + (2 + 3 * len({*FLICKER_DENOISE, recommended}) if flicker else 0)


def flicker_table(painter: Painter, held: HeldOut, recommended: float, told: Callable[[], None]) -> list[FlickerRow]:
    """The card's flicker table; `told` is called after each row."""

    def row(name: str, made: Sequence[U8]) -> FlickerRow:
        told()
        figures = mean([compare(each, sharp) for each, sharp in zip(made, held.sharp_clip, strict=True)])
        return FlickerRow(name, change(made), foreign_change(made, held.sharp_clip), figures)

    soft = held.soft_clip
    rows = [row("soft input", soft), row("sharp original", held.sharp_clip)]
    for denoise in sorted({*FLICKER_DENOISE, recommended}):
        own = [painter.paint(frame, denoise, seed=number) for number, frame in enumerate(soft)]
        rows.append(row(f"img2img {denoise}, own noise per frame", own))
        rows.append(row(same_noise_name(denoise), [painter.paint(frame, denoise) for frame in soft]))
        rows.append(row(f"AnimateDiff {denoise}, own noise per frame", painter.animate(soft, denoise)))
    return rows


@dataclass(frozen=True)
class Measured:
    """All figures of a model."""

    recommended: float
    """The denoise that its folder recommends."""
    rows: tuple[Row, ...]
    flicker: tuple[FlickerRow, ...]

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {"still": [row.plain() for row in self.rows], "flicker": [row.plain() for row in self.flicker]}

    def row(self, name: str) -> Row:
        """A line of the first table."""
        return next(row for row in self.rows if row.name == name)

    def flicker_row(self, name: str) -> FlickerRow:
        """A line of the second."""
        return next(row for row in self.flicker if row.name == name)


def measure(folder: Path, held: HeldOut, flicker: bool, told: Callable[[], None]) -> Measured:
    """All figures of the model in `folder`."""
    painter, recommended = Painter(load(folder)), recommended_denoise(folder)
    rows = still_table(painter, held, recommended, told)
    moving = flicker_table(painter, held, recommended, told) if flicker else []
    return Measured(recommended, tuple(rows), tuple(moving))
