"""Several small files as one object: an uncompressed zip, so that people can look into a bucket with common tools."""

import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.adapters.blob_names import BadName, check_name
from farm.errors import Rejected, TooLarge

MAX_PACK_BYTES = 4 << 30
"""Bytes of all members of one pack. A chunk of 48 frames of 4K patches stays below 1.5 GB."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member, the earliest that zip knows: the same members must make the same bytes."""


class BadPack(Rejected):
    """Bytes that are no pack, or one that nobody should open."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"The pack cannot be opened: {fault}. It must be an uncompressed zip as the farm writes it.")


class PackTooLarge(TooLarge):
    """A pack whose members are larger than the farm reads into memory."""

    def __init__(self, seen: int, allowed: int) -> None:
        super().__init__(f"The pack's members have {seen:,} bytes; at most {allowed:,} are read. Use shorter chunks.")


def pack(members: Mapping[str, bytes]) -> bytes:
    """One zip of `members`, in their order, uncompressed: the same members in the same order make the same bytes.

    Raises:
        BadName: a name could leave the folder that the zip is unpacked in.
    """
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(check_name(name), date_time=EPOCH)
            entry.create_system = 3  # Unix, whatever the machine
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def unpack(data: bytes, max_bytes: int = MAX_PACK_BYTES) -> dict[str, bytes]:
    """The members of a pack, in their order.

    Raises:
        PackTooLarge: the members have more than `max_bytes` together; nothing was read then.
        BadPack: not a zip, damaged, compressed, encrypted, a name twice, or a name that points outside.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
            _check(entries, max_bytes)
            _check_length(entries, len(data))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadPack(str(error)) from error


def encode_npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of an `.npy` file."""
    out = BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def decode_npy(data: bytes) -> NDArray[Any]:
    """The array in the bytes of an `.npy` file. Raises `BadPack`; pickled objects are never read."""
    try:
        array: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        raise BadPack(f"an array in it is damaged ({error})") from error
    return array


def _check_length(entries: list[zipfile.ZipInfo], length: int) -> None:
    """A damaged directory can leave members out and still be a directory: the bytes of all must be accounted for."""
    wanted = zipfile.sizeEndCentDir + sum(  # type: ignore[attr-defined]  # the stubs leave the sizes out
        zipfile.sizeFileHeader + zipfile.sizeCentralDir + 2 * len(entry.filename.encode()) + entry.file_size  # type: ignore[attr-defined]  # as above
        for entry in entries
    )
    if length != wanted:
        raise BadPack(f"it has {length:,} bytes, its {len(entries)} members account for {wanted:,}")


def _check(entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise PackTooLarge(total, max_bytes)
    seen: set[str] = set()
    for entry in entries:
        try:
            check_name(entry.filename)
        except BadName as error:
            raise BadPack(str(error)) from error
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise BadPack(f"member {entry.filename!r} is compressed")
        if entry.flag_bits & 1:
            raise BadPack(f"member {entry.filename!r} is encrypted")
        if entry.filename in seen:
            raise BadPack(f"member {entry.filename!r} is there twice")
        seen.add(entry.filename)
