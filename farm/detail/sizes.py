"""The size at which a crop is sampled."""

from __future__ import annotations

from dataclasses import dataclass

from farm.errors import CropTooSmall


@dataclass(frozen=True)
class SizeRule:
    """What decides a crop's sampling size; Impact Pack's parameter names where it has them."""

    guide_size: float
    """Pixels that the shorter side is brought to."""
    max_size: float
    """Pixels; the longer side of an enlarged crop."""
    guide_size_for: bool = True
    """True: the shorter side of the bbox; False: of the crop region."""
    force_inpaint: bool = True
    """Sample a crop even if it would not be enlarged. Both nodes always do."""
    max_size_hard: bool = False
    """Scale down what exceeds `max_size`; the node samples it at its own size."""
    size_multiple: int = 1
    """Pixels, 1 or more; width and height become multiples of it. Crop and mask are stretched alike."""


@dataclass(frozen=True)
class SamplingSize:
    """Width and height in pixels, the enlargement that led to them, and what the job should be warned of."""

    width: int
    height: int
    upscale: float
    warnings: tuple[str, ...] = ()


def sampling_size(crop: tuple[int, int], bbox: tuple[float, float], rule: SizeRule) -> SamplingSize | None:
    """The size to which a crop is scaled before it is sampled.

    Args:
        crop: width, height of the crop region, pixels.
        bbox: width, height of the bbox, pixels, fractions allowed.
    Returns:
        None if the crop is left alone, which happens only without `force_inpaint`.
    Raises:
        CropTooSmall: if the side that `guide_size` is measured on is 0.
    Source:
        SPEC 6 (steps 3 to 7) and 7.3; `size_multiple` and `max_size_hard` are this farm's own.
    """
    if not rule.force_inpaint and min(bbox) >= rule.guide_size:
        return None
    guided = min(bbox) if rule.guide_size_for else min(crop)
    if guided <= 0:
        raise CropTooSmall("bbox" if rule.guide_size_for else "crop region", bbox if rule.guide_size_for else crop, 1)
    upscale = rule.guide_size / guided
    width, height = _scaled(crop, upscale)
    if max(width, height) > rule.max_size:
        upscale *= rule.max_size / max(width, height)
        width, height = _scaled(crop, upscale)
    if upscale <= 1 or min(width, height) == 0:
        if not rule.force_inpaint:
            return None
        upscale, (width, height) = 1.0, crop
    warnings: tuple[str, ...] = ()
    if max(width, height) > rule.max_size:
        if rule.max_size_hard:
            upscale *= rule.max_size / max(width, height)
            width, height = (max(1, side) for side in _scaled(crop, upscale))
        else:
            warnings = (
                f"a crop of {crop[0]}x{crop[1]} px is sampled at its own size, above max_size {rule.max_size:g}: "
                f"max_size limits enlarged crops only. Set max_size_hard to scale it down.",
            )
    return SamplingSize(_rounded(width, rule), _rounded(height, rule), upscale, warnings)


def _scaled(crop: tuple[int, int], upscale: float) -> tuple[int, int]:
    return int(crop[0] * upscale), int(crop[1] * upscale)


def _rounded(side: int, rule: SizeRule) -> int:
    """The nearest multiple, halves up; never 0, and not above a `max_size` that `side` itself keeps."""
    multiple = rule.size_multiple
    if multiple <= 1:
        return side
    nearest = max(1, (side + multiple // 2) // multiple) * multiple
    if side <= rule.max_size < nearest and nearest > multiple:
        nearest -= multiple
    return nearest
