"""Which segments are kept, and in which order: by label, by rank, by range (SPEC 14, filters)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farm.detail.segs import Seg

PAIRS = {
    "eyes": ("left_eye", "right_eye"),
    "eyebrows": ("left_eyebrow", "right_eyebrow"),
    "pupils": ("left_pupil", "right_pupil"),
}
"""Labels that stand for two others."""

MEASURES: dict[str, Callable[[Seg], float]] = {
    "area": lambda seg: seg.crop_region.area,
    "width": lambda seg: seg.crop_region.width,
    "height": lambda seg: seg.crop_region.height,
    "x1": lambda seg: seg.crop_region.x1,
    "y1": lambda seg: seg.crop_region.y1,
    "x2": lambda seg: seg.crop_region.x2,
    "y2": lambda seg: seg.crop_region.y2,
    "confidence": lambda seg: seg.confidence,
}
"""Of the crop region, not of the bbox: so do the nodes."""


def with_labels(segs: Sequence[Seg], labels: str) -> list[Seg]:
    """Those with one of the labels, which are separated by commas; `all` keeps everything."""
    wanted = [label.strip() for label in labels.split(",") if label.strip()]
    if "all" in wanted:
        return list(segs)
    known = {*wanted, *(one for label in wanted for one in PAIRS.get(label, ()))}
    return [seg for seg in segs if seg.label in known]


def ranked(segs: Sequence[Seg], target: str, descending: bool, take_start: int, take_count: int) -> list[Seg]:
    """`take_count` segments from place `take_start` on, sorted; equal ones stay in order."""
    ordered = sorted(segs, key=MEASURES[target], reverse=descending)
    return ordered[take_start : take_start + take_count]


def in_range(segs: Sequence[Seg], target: str, inside: bool, min_value: float, max_value: float) -> list[Seg]:
    """Those whose value lies in the range, bounds included, or those whose value does not; in order.

    Args:
        target: one of `MEASURES`, the confidence in percent, or `length_percent`: 100 times the longer side over the
            shorter one.
    """
    return [seg for seg in segs if (min_value <= _value(seg, target) <= max_value) == inside]


def _value(seg: Seg, target: str) -> float:
    if target == "confidence":
        return seg.confidence * 100
    if target != "length_percent":
        return MEASURES[target](seg)
    width, height = seg.crop_region.width, seg.crop_region.height
    return 100 * max(height / width, width / height) if width and height else 0.0
