"""A zip of numbered pictures, opened as what it is: a stranger's file."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from farm.adapters.media_sequence import MAX_PICTURES, Entry, Limits, TooManyPictures, is_picture
from farm.adapters.pictures import has_picture_head
from farm.errors import Rejected, TooLarge

MAX_MEMBERS = 2 * MAX_PICTURES
"""Entries of a zip: macOS adds one to each picture."""
TABLE_BYTES = 128 << 20
"""Bytes of a zip's table of contents: some 300 for each entry."""
HEAD_BYTES = 1 << 20
"""Bytes of a member that are unpacked before it is known to be a picture."""
ENTRY_MARK = b"PK\x01\x02"
"""What every entry of the table begins with."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""What reading a damaged, encrypted or exotic archive raises."""


class BadZip(Rejected):
    """A zip that is damaged, or that holds what a clip does not need."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"The zip {name!r} cannot be used: {fault}. Give a plain zip of numbered pictures, such as one made by "
            f"`zip clip.zip *.png` inside their folder."
        )


class _Guarded(io.FileIO):
    """A zip on disk whose table of contents is only read if it is not out of all proportion: as objects it takes more
    than ten times its bytes, and how many entries it says it has need not be true."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        self._name = name
        self.opened = False

    def read(self, size: int | None = -1, /) -> bytes:
        """The bytes. Raises TooManyPictures while the zip is being opened."""
        left = self._bytes_left() if size is None or size < 0 else size
        if not self.opened and left > TABLE_BYTES:
            raise TooManyPictures(self._name)
        data = super().read(size if size is not None else -1)
        if not self.opened and data.count(ENTRY_MARK) > MAX_MEMBERS:
            raise TooManyPictures(self._name)
        return data

    def _bytes_left(self) -> int:
        return max(0, os.fstat(self.fileno()).st_size - self.tell())


@contextmanager
def zip_entries(path: Path, name: str, limits: Limits) -> Iterator[list[Entry]]:
    """The pictures of a zip, readable while the context is open. Nothing is unpacked to disk.

    Raises:
        BadZip: damaged, encrypted, or with a member that is absolute, climbs out by `..`, or is a link.
        TooLarge: the unpacked bytes, or the number of members, are over the limits; known before anything is unpacked.
    """
    file = _Guarded(path, name)
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        file.close()
        raise BadZip(name, f"it is damaged or cut short ({error})") from error
    except TooLarge:
        file.close()
        raise
    file.opened = True
    with file, archive:
        yield [
            Entry(PurePosixPath(info.filename).name, info.file_size, _loader(archive, info, name))
            for info in _checked(archive.infolist(), name, limits)
        ]


def _checked(members: list[zipfile.ZipInfo], name: str, limits: Limits) -> list[zipfile.ZipInfo]:
    for info in members:
        _check_place(info, name)
    if len(members) > MAX_MEMBERS:
        raise TooManyPictures(name)
    total = sum(info.file_size for info in members)
    if total > limits.max_bytes:
        raise TooLarge(
            f"The zip {name!r} unpacks to {total:,} bytes; at most {limits.max_bytes:,} are taken. "
            f"Split the clip, or raise FARM_MAX_UPLOAD_BYTES."
        )
    return [info for info in members if not info.is_dir() and _is_ours(info.filename)]


def _check_place(info: zipfile.ZipInfo, name: str) -> None:
    member = info.orig_filename
    parts = member.replace("\\", "/").split("/")
    if member.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in member:
        raise BadZip(name, f"its member {member[:120]!r} points outside of it")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadZip(name, f"its member {member[:120]!r} is a link, not a picture")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadZip(name, f"its member {member[:120]!r} is packed by method {info.compress_type}; 0 and 8 are read")
    if info.flag_bits & 0x1:
        raise BadZip(name, f"its member {member[:120]!r} is encrypted")


def _is_ours(member: str) -> bool:
    # __MACOSX: what macOS adds beside every picture.
    return is_picture(member) and "__MACOSX" not in PurePosixPath(member).parts


def _loader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Callable[[], bytes]:
    def load() -> bytes:
        try:
            # At most the size that the directory states is ever unpacked, whatever the data would unpack to.
            with archive.open(info) as member:
                head = member.read(min(info.file_size, HEAD_BYTES))
                # What is no picture stays none, however long it is.
                return head + member.read(info.file_size - len(head)) if has_picture_head(head) else head
        except _BROKEN as error:
            raise BadZip(name, f"its member {info.filename[:120]!r} is damaged ({error})") from error

    return load
