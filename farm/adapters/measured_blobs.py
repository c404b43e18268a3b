"""A store that tells how long it takes and how much goes through it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePath
from typing import TypeVar

from farm.domain.metrics import STORE_BYTES, STORE_ERRORS, STORE_SECONDS
from farm.errors import Unavailable
from farm.ports import Blobs, Entry
from farm.service.tally import Tally

T = TypeVar("T")


class MeasuredBlobs:
    """`Blobs`, each call measured; answers and errors are those of the store behind it."""

    def __init__(self, blobs: Blobs, tally: Tally) -> None:
        self._blobs = blobs
        self._tally = tally

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store `data` under `name`."""
        with self._measured("put"):
            self._blobs.put(name, data, content_type)
        self._bytes("up", len(data))

    def put_file(self, name: str, path: PurePath, content_type: str = "application/octet-stream") -> None:
        """Store a file, streaming."""
        with self._measured("put_file"):
            self._blobs.put_file(name, path, content_type)
        self._bytes("up", Path(path).stat().st_size)

    def get(self, name: str) -> bytes:
        """The object's bytes. Raises NotFound."""
        with self._measured("get"):
            data = self._blobs.get(name)
        self._bytes("down", len(data))
        return data

    def get_to_file(self, name: str, path: PurePath) -> None:
        """Write the object to a file, streaming. Raises NotFound."""
        with self._measured("get_to_file"):
            self._blobs.get_to_file(name, path)
        self._bytes("down", Path(path).stat().st_size)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`. Raises NotFound."""
        with self._measured("get_range"):
            data = self._blobs.get_range(name, start, length)
        self._bytes("down", len(data))
        return data

    def exists(self, name: str) -> bool:
        """Whether an object of this name is there."""
        with self._measured("head"):
            return self._blobs.exists(name)

    def size(self, name: str) -> int | None:
        """Bytes, or None if it is not there."""
        with self._measured("head"):
            return self._blobs.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that start with `prefix`; measured until the first is there."""
        return self._listed(self._blobs.list(prefix, after))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, with size and age."""
        return self._listed(self._blobs.entries(prefix))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects."""
        with self._measured("delete"):
            self._blobs.delete(names)

    def url(self, name: str, expires_s: int) -> str | None:
        """A link that anybody may read; made here, so not measured."""
        return self._blobs.url(name, expires_s)

    def _listed(self, found: Iterator[T]) -> Iterator[T]:
        with self._measured("list"):
            first = tuple(islice(found, 1))
        yield from first
        yield from found

    @contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Unavailable:
            self._tally.add(STORE_ERRORS, self._tally.process, operation)
            raise
        finally:
            took = time.monotonic() - began
            self._tally.observe(STORE_SECONDS, self._tally.process, operation, value=took)

    def _bytes(self, direction: str, count: int) -> None:
        self._tally.add(STORE_BYTES, self._tally.process, direction, by=count)
