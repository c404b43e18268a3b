"""What can be counted: pixels that must not change, and how much sharper a segment became."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.pictures import finals
from demo.scene import PARAMETERS
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


class Tally:
    """Adds up the figures of one job, frame by frame."""

    def __init__(self, folder: Path, segs: Path) -> None:
        """
        Args:
            folder: the final frames.   segs: the job's SEGS document.
        """
        self.frames = finals(folder)
        self._segs = SegsDocument.model_validate_json(segs.read_bytes())
        self._pixels = np.zeros(4, np.int64)
        self._energy = np.zeros(3)
        self._area = 0

    def add(self, number: int, soft: U8, sharp: U8) -> U8:
        """Compare a frame with its input and with the sharp clip; the frame as it was detailed."""
        detailed = decode_rgb(self.frames[number].read_bytes())
        painted, core = areas(self._segs.frames.get(number, ()), soft.shape[:2])
        changed = (soft != detailed).any(axis=2)
        self._pixels += [(~painted).sum(), (changed & ~painted).sum(), painted.sum(), (changed & painted).sum()]
        self._energy += [gradient_energy(picture, core) for picture in (soft, detailed, sharp)]
        self._area += int(core.sum())
        return detailed

    def figures(self) -> Figures:
        """The figures of all frames so far."""
        outside, outside_changed, inside, inside_changed = (int(count) for count in self._pixels)
        soft, detailed, sharp = (float(energy) for energy in self._energy / max(self._area, 1))
        return Figures(
            frames=len(self.frames),
            outside=outside,
            outside_changed=outside_changed,
            inside=inside,
            inside_changed=inside_changed,
            soft=soft,
            detailed=detailed,
            sharp=sharp,
        )


def areas(entries: tuple[SegEntry, ...], shape: tuple[int, ...]) -> tuple[Where, Where]:
    """Where the paste masks of a frame's segments are above 0, and where the segments themselves are."""
    painted, core = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for entry in entries:
        mask = decode_mask(base64.b64decode(entry.mask if isinstance(entry.mask, str) else entry.mask[0]))
        assert entry.crop_region is not None  # a job's own document has all of them
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
            assert entry.crop_region is not None  # as above
            box = Box(*entry.crop_region)
            found[number] = found[number].union(box) if number in found else box
    return found


def gradient_energy(picture: U8, where: Where) -> float:
    """Sum of squared slopes of brightness over the pixels of `where`."""
    rows, columns = np.nonzero(where.any(axis=1))[0], np.nonzero(where.any(axis=0))[0]
    if not len(rows):
        return 0.0
    # One pixel more on each side, for slopes at the edge.
    around = np.s_[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2]
    brightness: F32 = picture[around].astype(np.float32) @ LUMA
    down, right = np.gradient(brightness)
    energy: F32 = np.square(down) + np.square(right)
    return float(energy[where[around]].sum(dtype=np.float64))
