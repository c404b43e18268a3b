"""A store in a folder: for one machine, or for studios whose machines share a file system."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import BinaryIO
from uuid import uuid4

from farm.adapters.blob_names import RESERVED, BadName, check_name, check_prefix
from farm.errors import FarmError, NotFound, Rejected, Unavailable, disk_full
from farm.ports import Entry

COPY_BYTES = 1 << 20
"""Bytes read at once when a file is copied: large enough that the calls do not count."""


class FolderNotWritable(Rejected):
    """The store's folder cannot be used by this user."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"The store cannot use {path}: {error.strerror}. Make the folder readable and writable for the user that "
            f"runs the farm, or name another one with FARM_STORE=file:///folder."
        )


class FolderBusy(Unavailable):
    """The file system did not do what it was asked: full, gone or broken."""

    def __init__(self, path: Path, error: OSError) -> None:
        full = " Free space there: old jobs lie in `jobs/`." if disk_full(error) else ""
        super().__init__(f"The file system of the store failed at {path}: {error.strerror or error}.{full}")


class FileBlobs:
    """Blobs as plain files below `root`, each under its own name.

    A blob appears whole or not at all, also for readers on other machines: it is written beside its place, flushed to
    disk and renamed. A name cannot be both a blob and the folder of another one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._parts = self.root / RESERVED
        with self._system(self.root):
            self._parts.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002 - the port's signature; files have no type
        """Keep `data` under `name`, in place of what was there."""
        with self._writing(name) as part:
            part.write(data)

    def put_file(self, name: str, path: PurePath, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002 - the port's signature; files have no type
        """Keep a copy of a local file under `name`."""
        with Path(path).open("rb") as source, self._writing(name) as part:
            shutil.copyfileobj(source, part, COPY_BYTES)

    def get(self, name: str) -> bytes:
        """The bytes under `name`. Raises `NotFound`."""
        with self._reading(name) as blob:
            return blob.read()

    def get_to_file(self, name: str, path: PurePath) -> None:
        """Write the bytes under `name` to a local file. Raises `NotFound`."""
        with self._reading(name) as blob, Path(path).open("wb") as target:
            shutil.copyfileobj(blob, target, COPY_BYTES)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from byte `start`; fewer, or none, at the end. Raises `NotFound`."""
        with self._reading(name) as blob:
            blob.seek(start)
            return blob.read(length)

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such blob."""
        path = self._path(name)
        with self._system(path):
            try:
                return path.stat().st_size if path.is_file() else None
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that begin with `prefix` and come after `after`, sorted; a folder is read when its turn comes."""
        folder = check_prefix(prefix).rpartition("/")[0]
        return self._walk(f"{folder}/" if folder else "", prefix, after)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, with size and age."""
        for name in self.list(prefix):
            with suppress(FileNotFoundError):
                found = self._path(name).stat()
                yield Entry(name, found.st_size, found.st_mtime)

    def delete(self, names: Iterable[str]) -> None:
        """Remove these blobs and the folders that they leave empty; names that are not there are no error."""
        for name in names:
            path = self._path(name)
            with self._system(path):
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    path.unlink()
                self._prune(path.parent)

    def url(self, name: str, expires_s: int) -> str | None:  # noqa: ARG002 - the port's signature; files have no address
        """None: files have no web address."""
        check_name(name)
        return None

    def upload_url(self, name: str, expires_s: int) -> str | None:  # noqa: ARG002 - the port's signature; files have no address
        """None: files have no web address."""
        check_name(name)
        return None

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[str]:
        # Sorted by name with the slash of a folder counted in, which is the order of the whole names: S3's order.
        for entry in sorted(self._entries(folder)):
            name = folder + entry
            if not entry.endswith("/"):
                if name.startswith(prefix) and name > after:
                    yield name
            elif _may_hold(name, prefix, after):
                yield from self._walk(name, prefix, after)

    def _entries(self, folder: str) -> Iterable[str]:
        path = self.root / folder
        with self._system(path):
            try:
                with os.scandir(path) as found:
                    entries = [entry.name + "/" * entry.is_dir() for entry in found]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return entries if folder else [entry for entry in entries if entry != f"{RESERVED}/"]

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        path, part = self._path(name), self._parts / uuid4().hex
        with self._system(path):
            try:
                with part.open("xb") as blob:
                    yield blob
                    blob.flush()
                    # Without it, a power cut soon after could leave an empty file under a name that counts as done.
                    os.fsync(blob.fileno())
                self._move(part, path)
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
                raise BadName(name, "is a folder of other blobs, or would lie below another blob") from error
            finally:
                part.unlink(missing_ok=True)

    def _move(self, part: Path, path: Path) -> None:
        # Twice, because a delete elsewhere may remove the folder as empty between the two steps.
        for _ in range(2):
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                part.replace(path)
                return
        raise FolderBusy(path, OSError("the folder vanished while writing"))

    @contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        path = self._path(name)
        with self._system(path):
            try:
                blob = path.open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotFound(f"No blob {name!r} in {self.root}.") from None
            with blob:
                yield blob

    def _prune(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already: either way there is nothing to prune
                return
            folder = folder.parent

    @contextmanager
    def _system(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FarmError:
            raise
        except PermissionError as error:
            raise FolderNotWritable(path, error) from error
        except OSError as error:
            raise FolderBusy(path, error) from error


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """Whether names below `folder` (ends with a slash) can begin with `prefix` and come after `after`."""
    begins = folder.startswith(prefix) or prefix.startswith(folder)
    return begins and (folder > after or after.startswith(folder))
