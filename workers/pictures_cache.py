"""Ingested frames, by the digest of their pixels, decoded once while they are in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import decode, digest, encode_png
from farm.domain import keys
from farm.ports import Blobs

CACHE_BYTES = 256 * 1024 * 1024
"""Memory for decoded pictures, per process."""
KEPT_PICTURES = 512
"""Decoded pictures that are kept, however small: a chunk of an `animatediff` job with a mask per frame for each of a
few segments."""
READERS = 4
"""Threads that download and decode ahead."""


class PictureCache:
    """Reads and writes frames in the store. Safe for threads."""

    def __init__(self, blobs: Blobs, max_pixels: int) -> None:
        self._blobs = blobs
        self._max_pixels = max_pixels
        self._kept: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._written: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, name_digest: str) -> NDArray[np.uint8]:
        """The pixels `[H, W, C]` (C 1, 3 or 4) of a frame; not to be written to."""
        with self._lock:
            if name_digest in self._kept:
                self._kept.move_to_end(name_digest)
                return self._kept[name_digest]
        pixels = decode(self._blobs.get(keys.frame(name_digest)), self._max_pixels)
        self._keep(name_digest, pixels)
        return pixels

    def read_all(self, digests: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
        """Several frames, side by side."""
        wanted = list(dict.fromkeys(digests))
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(wanted, pool.map(self.read, wanted), strict=True))

    def write(self, pixels: NDArray[np.uint8]) -> str:
        """Store a frame; its digest. One that this process has just stored, as a mask that stands still, is not stored
        again; to ask for every other one would cost as much as to store it."""
        name = digest(pixels)
        with self._lock:
            known = name in self._written
        if not known:
            self._blobs.put(keys.frame(name), encode_png(pixels), "image/png")
            with self._lock:
                self._written[name] = None
                while len(self._written) > KEPT_PICTURES:
                    self._written.popitem(last=False)
        return name

    def _keep(self, name: str, pixels: NDArray[np.uint8]) -> None:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = pixels
                self._bytes += pixels.nbytes
            while len(self._kept) > (1 if self._bytes > CACHE_BYTES else KEPT_PICTURES):
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.nbytes
