"""SEGS between ComfyUI and the farm: `((height, width), [SEG, ...])` on one side, a JSON document on the other."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from .api import FarmError
from .pixels import F32, pixels_of, png

NAMED = re.compile(r"^(\d{6})_\d+_segs_(\d+)\.png$")
"""Pictures of single segments: frame and number of the segment."""


class SEG(NamedTuple):
    """A segment, with the fields by which other nodes know it."""

    cropped_image: Any
    """None, or `[F, h, w, 3]`."""
    cropped_mask: Any
    """`[h, w]` or `[F, h, w]`."""
    confidence: float
    crop_region: Any
    """x1, y1, x2, y2 in pixels, half-open."""
    bbox: Any
    label: str
    control_net_wrapper: Any = None


Segs = tuple[tuple[int, int], list[Any]]


def document(segs: Segs, frames: int) -> dict[str, Any]:
    """The farm's document of SEGS, for a clip of `frames` pictures.

    Raises:
        FarmError: a SEG carries a ControlNet.
    """
    height, width = segs[0]
    return {"header": [int(height), int(width)], "segs": [_entry(seg, frames) for seg in segs[1]]}


def _entry(seg: Any, frames: int) -> dict[str, Any]:  # noqa: ANN401 - any node's SEG
    if getattr(seg, "control_net_wrapper", None) is not None:
        raise FarmError(
            "A SEG carries a ControlNet, which lives in this ComfyUI. Take ControlNetApply (SEGS) out, or submit the "
            "workflow itself: farm comfy submit."
        )
    masks = _masks(seg.cropped_mask, frames)
    pictures = [base64.b64encode(png(mask)).decode() for mask in masks]
    return {
        "bbox": [float(value) for value in seg.bbox],
        "crop_region": [int(value) for value in seg.crop_region],
        "mask": pictures[0] if len(pictures) == 1 else pictures,
        "label": str(seg.label),
        "confidence": min(1.0, max(0.0, float(np.asarray(seg.confidence).reshape(-1)[0]))),
    }


def _masks(mask: Any, frames: int) -> F32:  # noqa: ANN401 - array or tensor
    """`[1, h, w]`, or `[frames, h, w]`; of any other number of masks all together count for every frame."""
    values = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask, dtype=np.float32)
    values = values.reshape(-1, *values.shape[-2:])
    if len(values) in (1, frames):
        return values
    together: F32 = (values.max(axis=0, keepdims=True) > 0.1).astype(np.float32)
    return together


def refined(segs: Segs, files: Iterable[tuple[str, bytes]], frames: F32) -> Segs:
    """The SEGS with what was made of each crop in every frame.

    Args:
        files: name and PNG of the pictures of single segments.
        frames: `[F, H, W, 3]`, the final frames: what shows where a segment was not painted.
    """
    made: dict[tuple[int, int], F32] = {}
    for name, data in files:
        found = NAMED.match(name)
        if found:
            made[int(found[2]), int(found[1]) - 1] = pixels_of(data)[..., :3]
    return segs[0], [_with_image(seg, number, made, frames) for number, seg in enumerate(segs[1])]


def _with_image(seg: Any, number: int, made: dict[tuple[int, int], F32], frames: F32) -> SEG:  # noqa: ANN401 - any node's SEG
    x1, y1, x2, y2 = (int(value) for value in seg.crop_region)
    cut = [made.get((number, frame), frames[frame, y1:y2, x1:x2]) for frame in range(len(frames))]
    return SEG(np.stack(cut), seg.cropped_mask, seg.confidence, seg.crop_region, seg.bbox, seg.label)
