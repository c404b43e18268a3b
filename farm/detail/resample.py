"""Bilinear scaling of masks, equal to PyTorch's to the last bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.float32]
"""`[h, w]`, or `[F, h, w]` with a mask per frame; 0 keeps the frame's pixel, 1 repaints it."""

_FOUR_WEIGHTS_LIMIT = 128
"""Pixels; up to this sum of output sides PyTorch's CPU kernel adds four weighted corners, above it row by row."""


def resize_mask(mask: Mask, width: int, height: int) -> Mask:
    """Scale a mask bilinearly, pixel centers at half integers, without antialiasing.

    Args:
        mask: float32 `[h, w]` or `[F, h, w]`.   width, height: wanted, pixels, 1 or more.
    Returns:
        float32 `[height, width]` or `[F, height, width]`; the same values if the size is already that.
    Raises:
        ValueError: if the mask or the wanted size has an empty side.
    Source:
        `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` on one channel; SPEC 2.3, 3.2.
    """
    mask = np.asarray(mask, dtype=np.float32)
    rows, columns = mask.shape[-2:]
    if min(rows, columns, width, height) < 1:
        raise ValueError(
            f"a mask of {columns}x{rows} px cannot be scaled to {width}x{height} px; no side may be empty: "
            f"the segment's region is too small at this picture size."
        )
    if (rows, columns) == (height, width):
        return mask.copy()
    if mask.ndim == 3:
        return np.stack([resize_mask(one, width, height) for one in mask])
    top, bottom, weight_top, weight_bottom = _neighbors(rows, height)
    left, right, weight_left, weight_right = _neighbors(columns, width)
    weight_top, weight_bottom = weight_top[:, None], weight_bottom[:, None]
    above, below = mask[top], mask[bottom]
    corners = above[:, left], above[:, right], below[:, left], below[:, right]
    if width + height <= _FOUR_WEIGHTS_LIMIT:
        total = (weight_top * weight_right) * corners[1]
        total = _fused(weight_top * weight_left, corners[0], total)
        total = _fused(weight_bottom * weight_left, corners[2], total)
        return _fused(weight_bottom * weight_right, corners[3], total)
    upper = _fused(weight_left, corners[0], weight_right * corners[1])
    lower = _fused(weight_left, corners[2], weight_right * corners[3])
    return _fused(weight_top, upper, weight_bottom * lower)


def _neighbors(
    size: int, wanted: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """For each output pixel: the input pixels before and after it, and their weights."""
    scale = np.float64(np.float32(size) / np.float32(wanted))
    # One rounding from float64, as the fused multiply-add of PyTorch's kernel has it.
    position = np.maximum((scale * (np.arange(wanted) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    before = np.minimum(position.astype(np.int64), size - 1)
    after = np.minimum(before + 1, size - 1)
    share = np.clip(position - before.astype(np.float32), np.float32(0), np.float32(1))
    return before, after, np.float32(1) - share, share


def _fused(factor: NDArray[np.float32], value: NDArray[np.float32], summand: NDArray[np.float32]) -> Mask:
    """`factor * value + summand`, rounded to float32 once."""
    return (factor.astype(np.float64) * value + summand).astype(np.float32)
