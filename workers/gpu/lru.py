"""A cache that is bounded by bytes: what was not used for longest leaves. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLru(Generic[K, V]):
    """Values with their sizes. What came last always stays, however large it is."""

    def __init__(self, room: int) -> None:
        """
        Args:
            room: bytes that all values may have together.
        """
        self._room = room
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(size for _, size in self._kept.values())

    def get(self, key: K) -> V | None:
        """The value of a key, which from now on was used last; None if it is not there."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value; others leave until all fit."""
        self._kept[key] = value, size
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and self.bytes > self._room:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
