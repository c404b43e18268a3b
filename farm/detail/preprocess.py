"""Control pictures out of crops."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from farm.detail.blend import Pixels, to_bytes
from farm.detail.resample import Mask

Preprocess = Callable[[Pixels, Mask | None], Pixels]
"""Crop `[h, w, 3]` in 0..1 and its noise mask `[h, w]`, if it has one -> control picture `[h, w, 3]` in 0..1."""


def unchanged(crop: Pixels, mask: Mask | None) -> Pixels:  # noqa: ARG001 - others look at the mask
    """The crop itself."""
    return crop


def canny(low_threshold: float, high_threshold: float) -> Preprocess:
    """White edges on black.

    Args:
        low_threshold, high_threshold: shares of the strongest gradient that counts, 0 to 1.
    Source:
        J. Canny, A Computational Approach to Edge Detection, 1986.
    """

    def edges(crop: Pixels, mask: Mask | None) -> Pixels:  # noqa: ARG001 - as above
        gray = cv2.cvtColor(to_bytes(crop), cv2.COLOR_RGB2GRAY)
        found = cv2.Canny(gray, low_threshold * 255, high_threshold * 255)
        return np.repeat((found > 0).astype(np.float32)[..., None], 3, axis=2)

    return edges
