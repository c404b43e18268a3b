"""What is measured of a picture against the sharp original; all on 8-bit RGB pictures, brightness as OpenCV's gray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import cv2
import numpy as np

from farm.adapters.pictures import F32, U8

SIGMA = 1.5
"""Pixels: of SSIM's window, and of the blur that parts fine detail from the rest."""
SSIM_CONSTANTS = (6.5, 58.5)
"""(0.01 * 255)^2 and (0.03 * 255)^2."""
GMSD_CONSTANT = 26.0
"""Of the similarity of gradient magnitudes."""


@dataclass(frozen=True)
class Figures:
    """Of one picture, or means of several."""

    psnr: float
    """Peak signal-to-noise ratio, dB; more is nearer."""
    ssim: float
    """Structural similarity (Wang et al. 2004); 1 is the same."""
    gmsd: float
    """Deviation of the similarity of gradient magnitudes (Xue et al. 2014); 0 is the same."""
    grad: float
    """Mean gradient magnitude, as a part of the original's; 1 is as sharp."""
    hf: float
    """Mean of what a blur of 1.5 pixels takes away, as a part of the original's."""
    w1: float
    """Distance (earth mover's) of the distributions of gradient magnitudes, as a part of the original's mean."""


def gray(picture: U8) -> F32:
    """Brightness, `[H, W]` of whole levels."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def gradients(bright: F32) -> F32:
    """Magnitude of the gradient, levels per pixel (Sobel)."""
    across, down = cv2.Sobel(bright, -1, 1, 0), cv2.Sobel(bright, -1, 0, 1)
    return np.asarray(np.hypot(across, down) / 8, np.float32)


def fine(bright: F32) -> float:
    """Mean of what a blur takes away, levels."""
    return float(np.abs(bright - _blurred(bright)).mean())


def compare(made: U8, original: U8) -> Figures:
    """Figures of `made`, `[H, W, 3]`, against the original of the same size."""
    a, b = gray(made), gray(original)
    slope_a, slope_b = gradients(a), gradients(b)
    error = float(np.mean((made.astype(np.float32) - original.astype(np.float32)) ** 2))
    similar = (2 * slope_a * slope_b + GMSD_CONSTANT) / (slope_a**2 + slope_b**2 + GMSD_CONSTANT)
    apart = np.abs(np.sort(slope_a, axis=None) - np.sort(slope_b, axis=None)).mean()
    return Figures(
        psnr=float(10 * np.log10(255**2 / error)) if error else float("inf"),
        ssim=_ssim(a, b),
        gmsd=float(similar.std()),
        grad=float(slope_a.mean() / slope_b.mean()),
        hf=fine(a) / fine(b),
        w1=float(apart / slope_b.mean()),
    )


def mean(figures: Sequence[Figures]) -> Figures:
    """Of several pictures."""
    return Figures(*(float(np.mean([getattr(each, field.name) for each in figures])) for field in fields(Figures)))


def color_moved(made: Sequence[U8], given: Sequence[U8]) -> float:
    """How far mean colors moved from what was given, of 255: the mean over pictures, of the channel that moved most."""
    moves = [np.abs(a.mean((0, 1)) - b.mean((0, 1))) for a, b in zip(made, given, strict=True)]
    return float(np.max(np.mean(moves, axis=0)))


def change(clip: Sequence[U8]) -> float:
    """Mean absolute change from frame to frame, of 255."""
    return float(np.mean([np.abs(step).mean() for step in _steps(clip)]))


def foreign_change(clip: Sequence[U8], original: Sequence[U8]) -> float:
    """Mean absolute change from frame to frame that is not in the original, of 255."""
    pairs = zip(_steps(clip), _steps(original), strict=True)
    return float(np.mean([np.abs(ours - theirs).mean() for ours, theirs in pairs]))


def _steps(clip: Sequence[U8]) -> list[F32]:
    return [after.astype(np.float32) - before for before, after in pairwise(clip)]


def _ssim(a: F32, b: F32) -> float:
    small, large = SSIM_CONSTANTS
    mean_a, mean_b = _blurred(a), _blurred(b)
    covariance = _blurred(a * b) - mean_a * mean_b
    spread = _blurred(a * a) - mean_a**2 + _blurred(b * b) - mean_b**2
    light = (2 * mean_a * mean_b + small) / (mean_a**2 + mean_b**2 + small)
    return float((light * (2 * covariance + large) / (spread + large)).mean())


def _blurred(bright: F32) -> F32:
    return np.asarray(cv2.GaussianBlur(bright, (0, 0), SIGMA), np.float32)
