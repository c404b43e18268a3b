"""Media admission: what a user hands in is looked at once, stored by its content, and described as a `Media`.

Everything that a submission is checked against (kind, size, frames, numbers, whether a mask is empty) is found here, so
that a job with unusable input is refused before it exists.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

from farm.adapters.media_apart import look, look_apart
from farm.adapters.media_sequence import (
    MAX_PICTURES,
    BadSequence,
    Entry,
    Limits,
    NoPictures,
    TooManyPictures,
    admit_sequence,
    is_picture,
)
from farm.adapters.media_zip import zip_entries
from farm.adapters.pictures import has_picture_head
from farm.adapters.stores import open_store
from farm.domain.keys import media_doc
from farm.domain.media import Media
from farm.errors import NotFound, Rejected, TooLarge
from farm.ports import Blobs
from farm.settings import Settings

Source = Path | bytes | str
"""Where a picture's bytes are: a file, memory, or an object of the farm's store by its name."""

HEAD_BYTES = 4096
"""Bytes of a file that are looked at to tell what it is."""

_ZIP_HEADS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class MissingFile(NotFound):
    """A path on this machine where nothing is."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"There is no file or folder {str(path)!r}. Check the path; it is looked up from {Path.cwd()}."
        )


class UnknownContent(Rejected):
    """A file that is no video, no picture, no zip and no SEGS document."""

    def __init__(self, name: str, seen: str) -> None:
        super().__init__(
            f"{name!r} {seen}. Give a video (such as MP4, MOV, MKV, WebM), a picture (PNG, JPEG, WebP, TIFF), a zip or "
            f"folder of numbered pictures, or a SEGS document (JSON)."
        )


def limits_of(settings: Settings) -> Limits:
    """The limits that the farm's operator has set."""
    return Limits(settings.max_upload_bytes, settings.max_pixels, settings.upload_look_s)


def admit_path(path: Path, blobs: Blobs, limits: Limits) -> Media:
    """Admit a file, or a folder of numbered pictures (not those in folders below it).

    Raises:
        MissingFile: nothing is there.
        Rejected: as `admit_file` and `admit_pictures`.
    """
    if not path.exists():
        raise MissingFile(path)
    if not os.access(path, os.R_OK):
        raise Rejected(f"{str(path)!r} cannot be read by this user. Change its permissions, or copy it elsewhere.")
    if path.is_dir():
        return admit_pictures(
            [(child.name, child) for child in path.iterdir() if child.is_file()], path.name, blobs, limits
        )
    return admit_file(path, path.name, blobs, limits)


def admit_file(path: Path, name: str, blobs: Blobs, limits: Limits) -> Media:
    """Admit one file: a video, a picture, a zip of numbered pictures or a SEGS document, told by its content.

    Args:
        path: where its bytes are now.   name: what the user calls it; a picture's number is taken from it.
        blobs: the farm's store; it then holds the bytes and `media/<id>.json`.
    Raises:
        UnknownContent: none of these; text in place of a picture, for one.
        TooLarge: more bytes, pixels or pictures than `limits` allow, seen before anything is decoded.
        Rejected: damaged, or not what its kind needs; the text says which and what to change.
    """
    name = plain_name(name)
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise TooLarge(
            f"{name!r} has {size:,} bytes; at most {limits.max_bytes:,} are taken. "
            f"Split the clip, or raise FARM_MAX_UPLOAD_BYTES."
        )
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = kind_of(head, name)
    if kind == "picture":
        return _save(admit_sequence([Entry(name, size, path.read_bytes)], name, blobs, limits), blobs)
    if kind == "zip":
        with zip_entries(path, name, limits) as entries:
            return _save(admit_sequence(entries, name, blobs, limits), blobs)
    seen_by = look_apart if limits.apart else look
    media = seen_by("segs" if kind == "segs" else "video", path, name, limits)
    _store_file(media, path, blobs)
    return _save(media, blobs)


def admit_pictures(pictures: Iterable[tuple[str, Source]], name: str, blobs: Blobs, limits: Limits) -> Media:
    """Admit numbered pictures as one clip; files that are no pictures by their name are passed over.

    Args:
        pictures: file name and where its bytes are, of each, in any order.   name: what the user calls the clip.
    Raises:
        Rejected: none at all, several sizes (the first odd one is named), numbers twice, too large.
    """
    entries = [_entry(plain_name(each), source, blobs) for each, source in pictures if is_picture(each)]
    return _save(admit_sequence(entries, plain_name(name), blobs, limits), blobs)


def admit_prefix(uri: str, blobs: Blobs, limits: Limits, settings: Settings) -> Media:
    """Admit the pictures below a prefix, `s3://bucket/shots/010/`, or below one of the farm's own store, `shots/010/`.

    Only what lies directly below it is read. The bytes are copied, so that the job does not change with the prefix.

    Raises:
        Rejected: no trailing slash, no pictures, or as `admit_pictures`.
        Unavailable: the store does not answer.
    """
    if not uri.endswith("/"):
        raise BadSequence(
            f"The prefix {uri!r} does not end in a slash, so it would also match other folders. "
            f"Write {uri + '/'!r} if it is a folder of numbered pictures."
        )
    store, prefix = (open_store(uri, settings), "") if "://" in uri else (blobs, uri)
    names = (name for name in store.list(prefix) if "/" not in name[len(prefix) :] and is_picture(name))
    found = list(islice(names, MAX_PICTURES + 1))
    if not found:
        raise NoPictures(uri)
    if len(found) > MAX_PICTURES:
        raise TooManyPictures(uri)
    entries = [_entry(name[len(prefix) :], name, store) for name in found]
    return _save(admit_sequence(entries, uri, blobs, limits), blobs)


def plain_name(name: str) -> str:
    """A user's file name without folders and control characters; `upload` if nothing is left."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join(letter for letter in last if letter.isprintable())[:200]
    return plain if plain.strip(".") else "upload"


def kind_of(head: bytes, name: str) -> str:
    """`picture`, `zip`, `segs` or `video` (all else that is binary), from a file's first bytes.

    Text never reaches the video reader: playlists are text, and would have it open files and addresses they name.

    Raises:
        UnknownContent: empty, or text that is no JSON object.
    """
    if not head:
        raise UnknownContent(name, "is empty, 0 bytes")
    if has_picture_head(head):
        return "picture"
    if head.startswith(_ZIP_HEADS):
        return "zip"
    if not _is_text(head):
        return "video"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "segs"
    raise UnknownContent(name, f"is text, beginning with {head[:24].decode(errors='replace')!r}")


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a character cut in two by the head's end is no error
    except UnicodeDecodeError:
        return False
    return min(head) >= 9


def _entry(name: str, source: Source, blobs: Blobs) -> Entry:
    if isinstance(source, bytes):
        return Entry(name, len(source), lambda: source)
    if isinstance(source, str):
        size = blobs.size(source)
        if size is None:
            raise NotFound(f"The store has no object {source!r} for {name!r}. Upload the picture first.")
        return Entry(name, size, lambda: blobs.get(source))
    return Entry(name, source.stat().st_size, source.read_bytes)


def _store_file(media: Media, path: Path, blobs: Blobs) -> None:
    if not blobs.exists(media.blob):
        blobs.put_file(media.blob, path)


def _save(media: Media, blobs: Blobs) -> Media:
    blobs.put(media_doc(media.id), media.model_dump_json().encode(), "application/json")
    return media


__all__ = [
    "Limits",
    "MissingFile",
    "Source",
    "UnknownContent",
    "admit_file",
    "admit_path",
    "admit_pictures",
    "admit_prefix",
    "kind_of",
    "limits_of",
    "plain_name",
]
