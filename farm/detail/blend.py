"""Blending: 8-bit steps, feathered masks, patches laid over frames, patches faded into each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from farm.detail.box import Box
from farm.detail.resample import Mask

Pixels = NDArray[np.float32]
"""`[h, w, 3]` (or 4 with alpha) in 0..1."""

FEATHER_SIGMA = 10.0
"""Pixels; the node never changes it, whatever `feather` is, so a small feather is nearly a box blur."""

EXACT_WORK = 500_000_000
"""Products of weight and pixel per mask, up to which a blur adds up in the node's own order; 0.1 s to 1 s. It is
reached with a radius of 20 by a mask of 545 x 545 px, with a radius of 5 by one of 2030 x 2030 px."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels to lay over a frame: `pixels` float32 `[h, w, 3]`, feathered `mask` float32 `[h, w]`, where in `box`."""

    pixels: Pixels
    mask: Mask
    box: Box


def to_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """0..1 to 0..255 by cutting off, not by rounding; what is outside is clipped. Source: SPEC 3.1."""
    levels: NDArray[np.uint8] = np.clip(np.float32(255) * pixels, 0, 255).astype(np.uint8)
    return levels


def from_bytes(levels: NDArray[np.uint8]) -> Pixels:
    """0..255 to 0..1; every level survives `to_bytes(from_bytes(level))`. Source: SPEC 3.1."""
    pixels: Pixels = levels.astype(np.float32) / np.float32(255)
    return pixels


def feather(mask: Mask, radius: int) -> Mask:
    """Blur a mask with a Gaussian of sigma 10 px, cut off after `radius` pixels, mirrored at the border.

    Near a mask that is small against the radius the kernel shrinks to the mask's shorter side. The result is at
    least 0, never spreads by more than the radius, and where all that the kernel sees is 1 it is `full_weight`.

    Args:
        mask: `[h, w]` or `[F, h, w]`.   radius: pixels, 0 or more; 0 leaves the mask as it is.
    Returns:
        float32 of the same shape.
    Source:
        SPEC 3.3 (`feather` and `noise_mask_feather`). Up to EXACT_WORK the weights are added one by one in float32 as
        the node does it, and masks of 0 and 1 come out equal to the last bit.
    """
    mask = np.asarray(mask, dtype=np.float32)
    taps = feather_taps(radius, min(mask.shape[-2:]))
    if taps < 3:
        return mask.copy()
    if taps**2 * mask.shape[-2] * mask.shape[-1] <= EXACT_WORK:
        return _blur_in_order(mask, _kernel(taps))
    weights = _gaussian(taps).astype(np.float64)
    weights /= weights.sum()
    rows = correlate1d(mask, weights, axis=-2, output=np.float64, mode="mirror")
    blurred = correlate1d(rows, weights, axis=-1, output=np.float64, mode="mirror")
    # Rounded once before it is weighted, or a sum a hair below 1 would not give `full_weight` itself.
    return np.float32(full_weight(taps)) * blurred.astype(np.float32)


@cache
def full_weight(taps: int) -> float:
    """What the node's blur of `taps` x `taps` pixels makes of a mask that is 1 everywhere: 1, but for some 1e-7.

    The node adds its weights one by one in float32. What is missing to 1 decides a level of 255 wherever a pasted
    pixel is cut off to 8 bits again, so it is kept.
    """
    return float(np.cumsum(_kernel(taps), dtype=np.float32)[-1])


def feather_taps(radius: int, shorter_side: int) -> int:
    """Length of the blur's kernel in pixels, odd; below 3 nothing is blurred. Source: SPEC 3.3."""
    if radius <= 0:
        return 0
    taps = 2 * radius + 1
    if shorter_side <= taps:
        taps = shorter_side // 2
        taps += 1 - taps % 2
    return taps


def _blur_in_order(mask: Mask, kernel: NDArray[np.float32]) -> Mask:
    reach = len(kernel) // 2
    height, width = mask.shape[-2:]
    padded = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(reach, reach)] * 2, mode="reflect")
    total = np.zeros_like(mask)
    term = np.empty_like(mask)
    for (row, column), weight in np.ndenumerate(kernel):
        np.multiply(padded[..., row : row + height, column : column + width], weight, out=term)
        total += term
    return total


@cache
def _kernel(taps: int) -> NDArray[np.float32]:
    weights = _gaussian(taps)
    weights = weights / _sum_of_eights(weights)
    return np.outer(weights, weights)


def _gaussian(taps: int) -> NDArray[np.float32]:
    offsets = (np.arange(taps) - (taps - 1) / 2).astype(np.float32) / np.float32(FEATHER_SIGMA)
    return np.exp(np.float64(-0.5) * (offsets * offsets)).astype(np.float32)


def _sum_of_eights(values: NDArray[np.float32]) -> np.float32:
    """The float32 sum in PyTorch's order: four running rows of eight, then the rows, then rest and columns."""
    whole = len(values) // 8
    rows = values[: whole * 8].reshape(whole, 8)
    running = np.zeros((4, 8), dtype=np.float32)
    for number, row in enumerate(rows):
        running[number % 4 if number < whole // 4 * 4 else 0] += row
    columns = running[0] + running[1] + running[2] + running[3]
    return np.float32(np.cumsum([*values[whole * 8 :], *columns], dtype=np.float32)[-1])


def cut(frame: Pixels, box: Box) -> Pixels:
    """The pixels of `frame` (`[H, W, 3]` or RGBA) inside `box`, as float32 `[h, w, 3]`; alpha is left behind."""
    return np.array(frame[box.slices][..., :3], dtype=np.float32)


def paste(frame: Pixels, patch: Patch) -> Pixels:
    """Lay `patch` over `frame`; where its mask is 0 the frame's bits are untouched.

    Args:
        frame: float32 `[H, W, 3]` or `[H, W, 4]`; alpha is carried through.
        patch: its box may hang over the right and bottom edge, which is cut.
    Returns:
        A new frame; `frame` is left alone.
    Raises:
        ValueError: if pixels and mask do not have the size of the box, or the box starts outside the frame.
    Source:
        SPEC 3.4.
    """
    return compose(frame, (patch,))


def compose(frame: Pixels, patches: Iterable[Patch]) -> Pixels:
    """Lay `patches` over `frame` one after the other, in the order given: the order is part of the result.

    The same function makes the picture from which a dependent crop is cut and the final frame. See `paste`.
    """
    canvas = np.array(frame, dtype=np.float32)
    for patch in patches:
        _lay(canvas, patch)
    return canvas


def cut_composed(frame: Pixels, patches: Iterable[Patch], box: Box) -> Pixels:
    """`cut(compose(frame, patches), box)`, the same bits, without touching the rest of the frame."""
    canvas = cut(frame, box)
    for patch in patches:
        _lay(canvas, patch, box.x1, box.y1)
    return canvas


def fade(patches: Sequence[Patch], weights: Sequence[float]) -> Patch:
    """One patch out of several takes of the same segment in the same frame, mixed by `weights` (sum 1).

    Takes at one place with one mask are mixed pixel by pixel. Takes at different places (a crop that follows its
    mask) become one patch over all of their boxes, such that laying it over a frame gives the weighted mean of the
    frames that each take alone would give.

    Raises:
        ValueError: if there is no patch, or not one weight of 0 or more for each, or their sum is not 1.
    """
    if not patches or len(patches) != len(weights) or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"{len(patches)} patches and weights {list(weights)}: one weight each, 0 or more, sum 1.")
    # In float64: takes that agree must give just their pixels, or cutting off to 8 bits would lose a level.
    used = [(patch, np.float64(weight)) for patch, weight in zip(patches, weights, strict=True) if weight > 0]
    first = used[0][0]
    if len(used) == 1:
        return first
    if all(patch.box == first.box and np.array_equal(patch.mask, first.mask) for patch, _ in used):
        pixels = np.zeros(first.pixels.shape, dtype=np.float64)
        for patch, weight in used:
            pixels += weight * patch.pixels
        return Patch(pixels.astype(np.float32), first.mask, first.box)
    return _fade_apart(used)


def _fade_apart(used: Sequence[tuple[Patch, np.float64]]) -> Patch:
    box = used[0][0].box
    for patch, _ in used:
        box = box.union(patch.box)
    covered = np.zeros((box.height, box.width, 1), dtype=np.float64)
    colored = np.zeros((box.height, box.width, 3), dtype=np.float64)
    for patch, weight in used:
        place = patch.box.shifted(-box.x1, -box.y1).slices
        share = weight * patch.mask[..., None]
        covered[place] += share
        colored[place] += share * patch.pixels
    pixels = np.divide(colored, covered, out=np.zeros_like(colored), where=covered > 0)
    return Patch(np.clip(pixels, 0, 1).astype(np.float32), np.minimum(covered[..., 0], 1).astype(np.float32), box)


def _lay(canvas: Pixels, patch: Patch, left: int = 0, top: int = 0) -> None:
    """Lay `patch` over `canvas`, which shows the frame from column `left` and row `top` on."""
    box = patch.box
    size = (box.height, box.width)
    if patch.pixels.shape != (*size, 3) or patch.mask.shape != size or min(box.x1, box.y1) < 0:
        raise ValueError(
            f"patch of {patch.pixels.shape} with a mask of {patch.mask.shape} at {tuple(box)}; pixels must be "
            f"{(*size, 3)} and the mask {size}, with a corner that is not negative."
        )
    seen = box.intersection(Box(left, top, left + canvas.shape[1], top + canvas.shape[0]))
    if not seen.area:
        return
    under = canvas[seen.shifted(-left, -top).slices][..., :3]
    part = seen.shifted(-box.x1, -box.y1).slices
    mask, over = patch.mask[part][..., None], patch.pixels[part]
    # (1 - m) * under + m * over, never under + m * (over - under): the latter is off by a rounding where m is 1,
    # for 23 % of all 8-bit pairs, and leaves other last bits than the node does elsewhere.
    under[...] = (np.float32(1) - mask) * under + mask * over
