"""What can be counted: pixels that must not change, and how much sharper a segment became."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.pictures import clip_frames, finals
from demo.scene import PARAMETERS, SHARP, SOFT, Range
from farm.adapters.pictures import F32, U8, decode_mask, decode_rgb
from farm.detail.blend import feather
from farm.detail.box import Box
from farm.domain.segment import SegEntry, SegsDocument

Where = NDArray[np.bool_]
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Shares of red, green and blue in brightness (BT.709)."""


@dataclass(frozen=True)
class Figures:
    """Of one job's frames."""

    frames: int
    outside: int
    """Pixels where no paste mask is above 0, of all frames together."""
    outside_changed: int
    """Those of them that differ from the input. Must be 0."""
    inside: int
    inside_changed: int
    soft: float
    """Gradient energy inside the segments: mean squared slope of brightness, levels per pixel."""
    detailed: float
    sharp: float


def measure(frames: Range, folder: Path, segs: Path) -> Figures:
    """Compare a job's frames with its input and with the sharp clip.

    Args:
        folder: the final frames.   segs: the job's SEGS document.
    """
    document, done = SegsDocument.model_validate_json(segs.read_bytes()), finals(folder)
    outside = outside_changed = inside = inside_changed = 0
    energy, area = np.zeros(3), 0
    for (number, soft), (_, sharp) in zip(clip_frames(SOFT, frames), clip_frames(SHARP, frames), strict=True):
        if number not in done:
            continue
        detailed = decode_rgb(done[number].read_bytes())
        entries = document.frames.get(number, ())
        painted, core = areas(entries, soft.shape[:2])
        changed = (soft != detailed).any(axis=2)
        outside += int((~painted).sum())
        outside_changed += int((changed & ~painted).sum())
        inside += int(painted.sum())
        inside_changed += int((changed & painted).sum())
        energy += [gradient_energy(picture, core) for picture in (soft, detailed, sharp)]
        area += int(core.sum())
    mean = energy / max(area, 1)
    return Figures(
        len(done), outside, outside_changed, inside, inside_changed, float(mean[0]), float(mean[1]), float(mean[2])
    )


def areas(entries: tuple[SegEntry, ...], shape: tuple[int, ...]) -> tuple[Where, Where]:
    """Where the paste masks of a frame's segments are above 0, and where the segments themselves are."""
    painted, core = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for entry in entries:
        mask = decode_mask(base64.b64decode(entry.mask if isinstance(entry.mask, str) else entry.mask[0]))
        box = Box(*entry.crop_region)
        painted[box.slices] |= feather(mask, PARAMETERS.feather) > 0
        core[box.slices] |= mask > 0
    return painted, core


def segment_boxes(segs: Path) -> dict[int, Box]:
    """Around all segments of each frame, by number."""
    document = SegsDocument.model_validate_json(segs.read_bytes())
    found: dict[int, Box] = {}
    for number, entries in document.frames.items():
        for entry in entries:
            box = Box(*entry.crop_region)
            found[number] = found[number].union(box) if number in found else box
    return found


def gradient_energy(picture: U8, where: Where) -> float:
    """Sum of squared slopes of brightness over the pixels of `where`."""
    brightness: F32 = picture.astype(np.float32) @ LUMA
    down, right = np.gradient(brightness)
    energy: F32 = np.square(down) + np.square(right)
    return float(energy[where].sum(dtype=np.float64))
