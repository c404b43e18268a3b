"""A small clip with masks that move, and the jobs that detail it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import encode_png
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest

WIDTH, HEIGHT = 128, 96
"""Pixels."""
MODEL = "tiny"

U8 = NDArray[np.uint8]

DISKS = {"left": (30.0, 40.0, 16.0), "over": (50.0, 46.0, 14.0), "right": (104.0, 58.0, 13.0)}
"""Segment -> x, y, radius in pixels at the first frame. `over` lies partly on `left`, `right` on neither."""

DETAILER: dict[str, object] = {
    "steps": 4,
    "denoise": 0.5,
    "crop_factor": 1.4,
    "guide_size": 64,
    "max_size": 128,
    "size_multiple": 8,
}
MOVING: dict[str, object] = {"context_length": 4, "context_overlap": 1}
"""Windows so short that a short clip has several chunks with fades between them."""


class Admits(Protocol):
    """A farm that takes in files."""

    def admit(self, path: Path) -> str:
        """Take in a file or folder; its URI."""

    def add_model(self, name: str, folder: Path) -> None:
        """Take in a model's folder under a name."""


@dataclass(frozen=True)
class Shot:
    """A clip and its masks, as folders of numbered pictures."""

    clip: Path
    masks: Mapping[str, Path]
    model: Path
    frames: int
    others: Mapping[str, Path] = field(default_factory=dict)
    """Folders of what else jobs may name."""


@dataclass(frozen=True)
class Handed:
    """A shot that a farm has taken in. URIs are made of the content, so they are the same on every farm."""

    clip: str
    masks: Mapping[str, str]


def picture(frame: int) -> U8:
    """`[HEIGHT, WIDTH, 3]`: a gradient, something that moves, and grain that no frame shares with another."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grain = np.random.default_rng(frame).integers(0, 40, (HEIGHT, WIDTH, 3))
    base = np.stack([columns * 1.5, rows * 2.0, 96 + 60 * np.sin((columns + 2 * frame) / 9)], axis=2)
    pixels: U8 = np.clip(base + grain, 0, 255).astype(np.uint8)
    return pixels


def mask(name: str, frame: int) -> U8:
    """`[HEIGHT, WIDTH]`: a disk that wanders slowly."""
    x, y, radius = DISKS[name]
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = np.hypot(columns - x - 3 * np.sin(frame / 7), rows - y - 0.1 * frame) < radius
    levels: U8 = (inside * 255).astype(np.uint8)
    return levels


def make_shot(
    folder: Path, frames: int, *, first: int = 1, names: str = "{:04d}.png", model: Path | None = None
) -> Shot:
    """Write a clip of `frames` pictures and a mask per frame for each disk.

    Args:
        first: number of the first picture.   names: of the clip's pictures, given their number.
        model: a model's folder; one that only the fake engine takes, if left out.
    """
    clip = folder / "clip"
    clip.mkdir(parents=True)
    for frame in range(frames):
        (clip / names.format(first + frame)).write_bytes(encode_png(picture(frame)))
    masks = {}
    for name in DISKS:
        masks[name] = folder / name
        masks[name].mkdir()
        for frame in range(frames):
            (masks[name] / f"{first + frame:04d}.png").write_bytes(encode_png(mask(name, frame)))
    return Shot(clip, masks, model or make_model(folder / "model"), frames)


def make_model(folder: Path) -> Path:
    """A folder that can be stored and fetched as a model; the fake engine never looks into it."""
    (folder / "motion_adapter").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "Nothing"}')
    (folder / "motion_adapter" / "config.json").write_text("{}")
    return folder


def make_net(folder: Path) -> Path:
    """The same for a ControlNet."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    return folder


def hand_in(shot: Shot, farm: Admits) -> Handed:
    """Give a shot to a farm, with its model."""
    for name, folder in {MODEL: shot.model, **shot.others}.items():
        farm.add_model(name, folder)
    return Handed(farm.admit(shot.clip), {name: farm.admit(path) for name, path in shot.masks.items()})


def request(
    handed: Handed,
    job_type: JobType,
    *,
    prompts: Mapping[str, str] | None = None,
    **changes: Any,  # noqa: ANN401 - values of any field, checked by the model itself
) -> JobRequest:
    """A job over all segments; `changes` replaces top-level fields, except `detailer`, which is added to."""
    moving = job_type is JobType.ANIMATEDIFF
    detailer = {**DETAILER, **(MOVING if moving else {}), **changes.pop("detailer", {})}
    values: dict[str, object] = {
        "type": job_type,
        "input": {"uri": handed.clip},
        "segments": [
            {"name": name, "mask": handed.masks[name], "prompt": (prompts or {}).get(name, f"a {name} disk")}
            for name in DISKS
        ],
        "detailer": detailer,
        "model": MODEL,
        "chunk": 6 if moving else 8,
        "outputs": (),
    }
    return JobRequest.model_validate(values | changes)
