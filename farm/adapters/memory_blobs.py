"""A store in memory: the twin that tests use, held to the real stores by tests/contract/test_blobs.py."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from threading import Lock

from farm.adapters.blob_names import check_name, check_prefix
from farm.errors import NotFound
from farm.ports import Entry


class MemoryBlobs:
    """Blobs of one process; they go when it goes."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._modified: dict[str, float] = {}
        self._lock = Lock()

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002 - the port's signature; memory keeps no type
        """Keep `data` under `name`, in place of what was there."""
        check_name(name)
        with self._lock:
            self._blobs[name] = bytes(data)
            self._modified[name] = time.time()

    def put_file(self, name: str, path: PurePath, content_type: str = "application/octet-stream") -> None:
        """Keep the content of a local file under `name`."""
        self.put(name, Path(path).read_bytes(), content_type)

    def get(self, name: str) -> bytes:
        """The bytes under `name`. Raises `NotFound`."""
        check_name(name)
        try:
            return self._blobs[name]
        except KeyError:
            raise NotFound(f"No blob {name!r} in memory.") from None

    def get_to_file(self, name: str, path: PurePath) -> None:
        """Write the bytes under `name` to a local file. Raises `NotFound`."""
        Path(path).write_bytes(self.get(name))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from byte `start`; fewer, or none, at the end. Raises `NotFound`."""
        return self.get(name)[start : start + length]

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        return check_name(name) in self._blobs

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such blob."""
        data = self._blobs.get(check_name(name))
        return None if data is None else len(data)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that begin with `prefix` and come after `after`, sorted."""
        check_prefix(prefix)
        with self._lock:
            names = sorted(name for name in self._blobs if name.startswith(prefix) and name > after)
        return iter(names)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, with size and age."""
        for name in self.list(prefix):
            data, modified = self._blobs.get(name), self._modified.get(name)
            if data is not None and modified is not None:
                yield Entry(name, len(data), modified)

    def delete(self, names: Iterable[str]) -> None:
        """Forget these blobs; names that are not there are no error."""
        with self._lock:
            for name in names:
                self._blobs.pop(check_name(name), None)

    def url(self, name: str, expires_s: int) -> str | None:  # noqa: ARG002 - the port's signature; memory has no address
        """None: nobody else can reach this memory."""
        check_name(name)
        return None

    def upload_url(self, name: str, expires_s: int) -> str | None:  # noqa: ARG002 - the port's signature; memory has no address
        """None: nobody else can reach this memory."""
        check_name(name)
        return None
