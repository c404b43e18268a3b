"""How a sharp picture comes to look soft: rendered too small and enlarged, out of focus, or both."""

from __future__ import annotations

import cv2
import numpy as np

from farm.adapters.pictures import U8

SMALLEST, LARGEST = 1.6, 4.5
"""Range of factors by which pictures are made smaller and enlarged again; drawn evenly on a logarithmic scale."""
BLURS = (0.7, 2.2)
"""Range of sigmas of a picture that is out of focus, in pixels."""
ENLARGED_BY = (cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)
"""Kernels with which details are enlarged, by how often they are met."""


def soften(picture: U8, rng: np.random.Generator) -> U8:
    """A soft version of a picture, of the same size.

    Args:
        picture: `[H, W, 3]`.   rng: decides the kind and the strength.
    """
    kind = rng.random()
    if kind < 0.12:
        return _blurred(picture, rng)
    if kind < 0.24:
        return _enlarged(_blurred(picture, rng), rng, LARGEST / 2)
    return _enlarged(picture, rng, LARGEST)


def _blurred(picture: U8, rng: np.random.Generator) -> U8:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(*BLURS))), np.uint8)


def _enlarged(picture: U8, rng: np.random.Generator, largest: float) -> U8:
    factor = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(largest))))
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.15:
        # Compression and film leave noise behind, which is enlarged with the rest.
        noise = rng.normal(0, rng.uniform(0.5, 2.5), small.shape)
        small = np.clip(small + noise, 0, 255).astype(np.uint8)
    kernel = ENLARGED_BY[int(rng.integers(len(ENLARGED_BY)))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=kernel), np.uint8)
