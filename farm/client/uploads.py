"""Handing in files: what the farm has by its content is not sent again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from farm.adapters.media_sequence import is_picture
from farm.client.answers import UploadAnswer
from farm.client.bars import OnBytes
from farm.client.http import Http
from farm.errors import NotFound, Rejected

PIECE_BYTES = 1 << 20
"""Bytes that are read and sent at once."""
PART_BYTES = 32 << 20
"""Bytes of the parts in which a large file is sent: what a connection that breaks costs at the most."""
PART_SENDERS = 3
"""Parts sent at once: together they fill the line."""
SENDERS = 8
"""Files sent at once: most of a small file's time is the way."""
CHECK_AT_ONCE = 10_000
"""Digests in one question; the API's limit."""


class MissingPath(NotFound):
    """A path on this machine where nothing is."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"There is no file or folder {str(path)!r}. Check the path; it is looked up from {Path.cwd()}."
        )


class Meter:
    """Adds up what was sent by several threads, and tells of it."""

    def __init__(self, total: int, on_bytes: OnBytes) -> None:
        self.total = total
        self._sent = 0
        self._on_bytes = on_bytes
        self._lock = Lock()

    def expect(self, count: int) -> None:
        """So many more bytes are to come."""
        with self._lock:
            self.total += count

    def add(self, count: int) -> None:
        """Count bytes that the farm has now."""
        with self._lock:
            self._sent += count
            self._on_bytes(self._sent, self.total)


def hand_in(http: Http, path: Path, on_bytes: OnBytes) -> UploadAnswer:
    """Upload a file, or a folder's pictures as one clip.

    Raises:
        MissingPath: nothing is there.   Rejected: it cannot be read, or the farm refuses what it is.
    """
    if not path.exists():
        raise MissingPath(path)
    if not os.access(path, os.R_OK):
        raise Rejected(f"{str(path)!r} cannot be read by this user. Change its permissions, or copy it elsewhere.")
    if path.is_dir():
        pictures = sorted(child for child in path.iterdir() if child.is_file() and is_picture(child.name))
        if not pictures:
            raise Rejected(f"{str(path)!r} holds no pictures. Put numbered pictures there, such as 0001.png, 0002.png.")
        return _collection(http, path.resolve().name, pictures, on_bytes)
    if is_picture(path.name):
        return _collection(http, path.name, [path], on_bytes)
    return _whole(http, path, on_bytes)


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def send_missing(http: Http, where: str, files: Mapping[str, Path], on_bytes: OnBytes, *, again: bool = False) -> int:
    """Have the farm keep files, given by their sha256; the number of those that were sent.

    Args:
        where: `/uploads` for pictures, `/models` for a model's files.
        again: send also those that the farm has.
    """
    digests = list(files)
    missing = digests if again else []
    for start in range(0, 0 if again else len(digests), CHECK_AT_ONCE):
        asked = [{"sha256": digest} for digest in digests[start : start + CHECK_AT_ONCE]]
        missing += http.post(f"{where}/check", asked, repeatable=True)["missing"]
    sizes = {digest: path.stat().st_size for digest, path in files.items()}
    meter = Meter(sum(sizes.values()), on_bytes)
    meter.add(sum(size for digest, size in sizes.items() if digest not in set(missing)))

    def send(digest: str) -> None:
        http.put_file(f"{where}/blobs/{digest}", lambda: pieces(files[digest], meter), sizes[digest])

    pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="upload")
    try:
        list(pool.map(send, missing))
    finally:
        # A refusal half-way must not send the rest.
        pool.shutdown(cancel_futures=True)
    return len(missing)


def pieces(path: Path, meter: Meter, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """A file's bytes, or `size` of them from byte `start` on, counted as they go; taken back if they were not all
    taken."""
    sent = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            while piece := file.read(PIECE_BYTES if size is None else min(PIECE_BYTES, size - sent)):
                yield piece
                sent += len(piece)
                meter.add(len(piece))
    except GeneratorExit:
        meter.add(-sent)
        raise


def _collection(http: Http, name: str, pictures: Sequence[Path], on_bytes: OnBytes) -> UploadAnswer:
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="hash") as pool:
        digests = list(pool.map(sha256_of, pictures))
    send_missing(http, "/uploads", dict(zip(digests, pictures, strict=True)), on_bytes)
    items = [{"name": path.name, "sha256": digest} for path, digest in zip(pictures, digests, strict=True)]
    return UploadAnswer.model_validate(
        http.post("/uploads/collections", {"name": name[:200], "items": items}, repeatable=True)
    )


def _whole(http: Http, path: Path, on_bytes: OnBytes) -> UploadAnswer:
    parts = list(_parts(path))
    digest, meter = sha256_of(path), Meter(path.stat().st_size, on_bytes)
    known = http.post("/uploads/check", [{"sha256": digest}], repeatable=True)["known"]
    if digest in known:
        meter.add(meter.total)
        return UploadAnswer.model_validate(http.get(f"/uploads/{digest}"))
    if len(parts) > 1:
        return _in_parts(http, path, digest, parts, meter)
    params = {"name": path.name, "sha256": digest}
    return UploadAnswer.model_validate(http.upload("/uploads", params, lambda: pieces(path, meter), meter.total))


@dataclass(frozen=True)
class _Part:
    """A run of a file's bytes."""

    start: int
    size: int
    sha256: str


def _parts(path: Path) -> Iterator[_Part]:
    """A file's bytes in runs of `PART_BYTES`; none of an empty one."""
    with path.open("rb") as file:
        start = 0
        while data := file.read(PART_BYTES):
            yield _Part(start, len(data), hashlib.sha256(data).hexdigest())
            start += len(data)


def _in_parts(http: Http, path: Path, digest: str, parts: Sequence[_Part], meter: Meter) -> UploadAnswer:
    """Send the parts that the farm lacks, and have it put the file together: what was sent before a break counts."""
    asked = [{"sha256": part.sha256} for part in parts]
    missing = set(http.post("/uploads/whole/check", asked, repeatable=True)["missing"])
    meter.add(sum(part.size for part in parts if part.sha256 not in missing))
    first: dict[str, _Part] = {}
    for part in parts:
        if part.sha256 in missing:
            first.setdefault(part.sha256, part)
    again = sum(part.size for part in parts if part.sha256 in missing) - sum(part.size for part in first.values())

    def send(part: _Part) -> None:
        where = f"/uploads/parts/{part.sha256}"
        http.put_file(where, lambda: pieces(path, meter, part.start, part.size), part.size)

    pool = ThreadPoolExecutor(PART_SENDERS, thread_name_prefix="upload")
    try:
        list(pool.map(send, first.values()))
    finally:
        pool.shutdown(cancel_futures=True)
    meter.add(again)
    whole = {"name": path.name, "sha256": digest, "parts": [part.sha256 for part in parts]}
    return UploadAnswer.model_validate(http.post("/uploads/whole", whole, repeatable=True))
