"""A golden case as data, what our code made of it, and how the two are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.detail.box import Box
from farm.detail.segs import Seg

Array = NDArray[Any]
Params = Mapping[str, Any]
"""Parameters of a call of the original, by its names."""

LEVEL = 1 / 255
NODE_LEVELS = 2
"""Levels of 255 by which a value of a node's result may differ ..."""
NODE_SHARE = 0.02
"""... and the share of values that may. A last bit of a blur, cut off to 8 bits in the next crop, flips a level."""
BLUR = 3e-6
"""Largest difference of a blurred mask, and so of what is pasted with one."""
FLOAT = 1e-6
"""Largest difference of other values that are not exact."""


@dataclass(frozen=True)
class Case:
    """One case of a manifest with the arrays of its file."""

    document: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def params(self) -> Params:
        """The parameters of the original's call."""
        params: Params = self.document["params"]
        return params

    def named(self, prefix: str) -> list[Array]:
        """The arrays `prefix00`, `prefix01` ... in order."""
        names = sorted(name for name in self.arrays if name.startswith(prefix) and name[len(prefix) :].isdigit())
        return [self.arrays[name] for name in names]


@dataclass
class Outcome:
    """What our code gave for a case."""

    arrays: dict[str, Array] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Entries of the case's document to compare, such as `result`."""
    ignore: dict[str, Array | None] = field(default_factory=dict)
    """By array name, `[H, W]` of bool where a decision of SPEC.md makes values differ; None: the whole array."""
    faults: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    skipped: bool = False
    tolerance: float | None = None
    """Instead of the function's own, if given."""


def segs_of(case: Case, mask_prefix: str = "in_seg_mask_") -> tuple[list[Seg], tuple[int, int]]:
    """The segments that a case is given, and the height and width that they were made for."""
    given = case.params["segs"]
    segs = []
    for entry, mask in zip(given["segs"], case.named(mask_prefix), strict=True):
        box = Box(*(int(corner) for corner in entry["crop_region"]))
        segs.append(Seg(tuple(entry["bbox"]), box, mask, entry["label"], entry["confidence"]))
    height, width = given["header"]
    return segs, (height, width)


def segs_outcome(segs: list[Seg], header: tuple[int, int]) -> Outcome:
    """Segments in the words of a case's `result`, and their masks."""
    listed = [
        {
            "bbox": [float(corner) for corner in seg.bbox],
            "crop_region": list(seg.crop_region),
            "confidence": seg.confidence,
            "label": seg.label,
        }
        for seg in segs
    ]
    arrays: dict[str, Array] = {f"out_mask_{number:02}": seg.mask for number, seg in enumerate(segs)}
    return Outcome(arrays, {"result": {"header": list(header), "segs": listed}})


def numbered(prefix: str, arrays: list[Array]) -> dict[str, Array]:
    """`prefix00`, `prefix01` ..."""
    return {f"{prefix}{number:02}": array for number, array in enumerate(arrays)}


def differences(case: Case, outcome: Outcome, tolerance: float | None) -> list[str]:
    """What differs between a case and our outcome; nothing if all is within tolerance.

    Args:
        tolerance: largest difference; None: a node's result, see NODE_LEVELS and NODE_SHARE.
    """
    faults = list(outcome.faults)
    tolerance = tolerance if outcome.tolerance is None else outcome.tolerance
    expected = set(case.document["outputs"])
    if expected - set(outcome.arrays) - set(outcome.ignore) or set(outcome.arrays) - expected:
        faults.append(f"outputs {sorted(outcome.arrays)} instead of {sorted(expected)}")
    for name, value in outcome.facts.items():
        if value != case.document[name]:
            faults.append(f"{name} is {value} instead of {case.document[name]}")
    for name in sorted(expected & set(outcome.arrays)):
        if name in outcome.ignore and outcome.ignore[name] is None:
            continue
        fault = _difference(outcome.arrays[name], case.arrays[name], outcome.ignore.get(name), tolerance)
        if fault:
            faults.append(f"{name}: {fault}")
    return faults


def _difference(ours: Array, theirs: Array, ignore: Array | None, tolerance: float | None) -> str:
    if ours.shape != theirs.shape:
        return f"shape {ours.shape} instead of {theirs.shape}"
    apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if not np.isfinite(apart).all():
        return "values that are not numbers"
    if ignore is not None:
        apart = apart[:, ~ignore]
    if not apart.size:
        return ""
    largest = float(apart.max())
    if tolerance is not None:
        return f"differs by {largest:.3g}" if largest > tolerance else ""
    share = float((apart > BLUR).mean())
    if largest > NODE_LEVELS * LEVEL + BLUR or share > NODE_SHARE:
        return f"differs by {largest / LEVEL:.2f} levels, {100 * share:.2f} % of values differ"
    return ""
