"""The masks of a chunk's segments, each kept once."""

from __future__ import annotations

import hashlib

import numpy as np

from farm.detail.resample import Mask


class MaskTable:
    """Masks by content, each kept once."""

    def __init__(self) -> None:
        self.kept: list[Mask] = []
        self.digests: list[str] = []
        self._index: dict[str, int] = {}

    @property
    def digest(self) -> str:
        """sha256 (hex) over all that is kept, in its order."""
        return hashlib.sha256("\n".join(self.digests).encode()).hexdigest()

    def add(self, mask: Mask) -> int:
        """Keep a mask; its index."""
        values = np.ascontiguousarray(mask, dtype=np.float32)
        digest = mask_digest(values)
        if digest not in self._index:
            self._index[digest] = len(self.kept)
            self.kept.append(values)
            self.digests.append(digest)
        return self._index[digest]


def mask_digest(mask: Mask) -> str:
    """sha256 (hex) over a mask's shape and values."""
    values = np.ascontiguousarray(mask, dtype=np.float32)
    return hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest()
