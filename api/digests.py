"""Digests of a job's files that nothing else tells: computed once, by reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache

from farm.ports import Blobs

BLOCK_BYTES = 4 << 20
"""Bytes read from the store at once: one request each, against memory."""
KEPT = 65_536
"""Digests that this process remembers."""

Digests = Callable[[str, int, int], str]
"""(object, its size, the job's revision) -> sha256 in hex."""


def digests(blobs: Blobs) -> Digests:
    """A reader of digests that remembers them: an object of a job does not change while the job's revision stays."""

    @lru_cache(maxsize=KEPT)
    def sha256(name: str, size: int, revision: int) -> str:  # noqa: ARG001 - `revision` is part of what is remembered
        digest = hashlib.sha256()
        for block in blocks(blobs, name, 0, size):
            digest.update(block)
        return digest.hexdigest()

    return sha256


def blocks(blobs: Blobs, name: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes of an object from `start` to `end`, some at a time."""
    while start < end:
        block = blobs.get_range(name, start, min(BLOCK_BYTES, end - start))
        if not block:
            return
        yield block
        start += len(block)
