"""A sequence of numbered pictures: order, numbers, one size, and their bytes in the store."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from farm.adapters.blob_names import check_name
from farm.adapters.pictures import BadPicture, decode_mask, picture_size
from farm.adapters.room import Room
from farm.domain.keys import media_blob
from farm.domain.media import Media, Picture
from farm.errors import Rejected, TooLarge
from farm.ports import Blobs

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
"""Names by which a picture is known in a folder, a zip or a prefix; other files there are passed over."""
MAX_PICTURES = 200_000
"""Pictures of one sequence: more than two hours at 25 per second."""
FILES = Room(512 << 20)
"""Bytes of pictures' files that a process holds at once, over all uploads."""
PIXELS = Room(32_000_000)
"""Pixels that a process decodes at once, over all uploads, at some 16 bytes each: a dozen pictures in 1080p."""
READERS = 8
"""Pictures read, looked at and stored at once. Most of the time is the store's answer, not this machine's work."""

_NUMBER = re.compile(r"(\d+)(?!.*\d)")
"""The last run of digits: `shot_010.0042` is frame 42."""
_FORMATS = {".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".tif": "image/tiff", ".tiff": "image/tiff"}


class BadSequence(Rejected):
    """Pictures that do not make one clip."""


class NoPictures(Rejected):
    """A place without a single picture."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where!r} holds no pictures. Put numbered pictures there, such as 0001.png, 0002.png: "
            f"{', '.join(sorted(SUFFIXES))} are read."
        )


class TooManyPictures(TooLarge):
    """More pictures than one clip may have."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where!r} holds more than {MAX_PICTURES:,} pictures. Submit it as several clips.")


class Limits(NamedTuple):
    """What is refused for its size."""

    max_bytes: int
    """Of one file, or of all pictures of a zip together."""
    max_pixels: int
    """Of one picture or frame."""
    look_s: float = 600.0
    """Seconds that a look at one video or SEGS document may take, where it is looked at apart."""
    apart: bool = False
    """Whether videos and SEGS documents come from strangers, and are looked at in a process of their own."""

    @property
    def max_picture_bytes(self) -> int:
        """Bytes that one picture's file may have: 16-bit RGBA at `max_pixels`, not compressed, and a header."""
        return 8 * self.max_pixels + (1 << 20)


class Entry(NamedTuple):
    """A picture that was handed in and not yet looked at."""

    name: str
    """File name without folder."""
    size: int
    """Bytes of the file."""
    load: Callable[[], bytes]


@dataclass
class _Light:
    """Whether any pixel of the sequence was found to be set; then nothing more needs decoding."""

    found: bool = False
    decoded: bool = False
    """Whether any picture could be decoded at all."""


class _Seen(NamedTuple):
    sha256: str
    size: tuple[int, int] | None
    """None: the header cannot be read."""
    fault: str


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture; hidden files never are."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def ordered(entries: Sequence[Entry], where: str) -> list[tuple[int, Entry]]:
    """Entries with their frame numbers, in order.

    The number is the last run of digits in the name; if no name has one, pictures are counted from 1 by name.

    Raises:
        NoPictures, TooManyPictures: nothing, or more than a clip may have.
        BadSequence: some names have numbers and some not, or two have the same.
    """
    if not entries:
        raise NoPictures(where)
    if len(entries) > MAX_PICTURES:
        raise TooManyPictures(where)
    found = [(_NUMBER.search(PurePosixPath(entry.name).stem), entry) for entry in entries]
    bare = sorted((entry for match, entry in found if match is None), key=lambda entry: entry.name)
    if len(bare) == len(entries):
        numbered = list(enumerate(bare, 1))
    elif bare:
        raise BadSequence(
            f"{bare[0].name!r} in {where!r} has no number, but other pictures there have. "
            f"Number it too, or take it out."
        )
    else:
        numbered = sorted(((int(match[1]), entry) for match, entry in found if match), key=lambda pair: pair[0])
    _check_names(numbered, where)
    return numbered


def _check_names(numbered: Sequence[tuple[int, Entry]], where: str) -> None:
    taken: dict[int | str, str] = {}
    for number, entry in numbered:
        check_name(entry.name)
        stem = PurePosixPath(entry.name).stem
        other = taken.get(number, taken.get(stem))
        if other is not None:
            raise BadSequence(
                f"{other!r} and {entry.name!r} in {where!r} are both frame {number}. "
                f"Keep one of them, or submit them as two sequences."
            )
        taken[number] = taken[stem] = entry.name


def admit_sequence(entries: Sequence[Entry], name: str, blobs: Blobs, limits: Limits) -> Media:
    """Look at every picture, store its bytes, and describe the whole.

    A picture whose data are damaged is let in: it fails its own chunk later and not the rest of the clip. Only if not
    one picture can be read is the sequence refused.

    Raises:
        Rejected: no pictures, several sizes, too large, unusable names or numbers; see `ordered`.
    """
    numbered = ordered(entries, name)
    light = _Light()
    first: tuple[Entry, tuple[int, int]] | None = None
    pictures: list[Picture] = []
    faults: list[str] = []
    for (number, entry), seen in zip(numbered, _looked_at(numbered, blobs, limits, light), strict=True):
        if seen.fault:
            faults.append(f"{entry.name}: {seen.fault}")
        if seen.size is None:
            pass  # its chunk will fail, and name it
        elif first is None:
            first = (entry, seen.size)
        elif seen.size != first[1]:
            raise _odd_size(name, first, entry, seen.size)
        pictures.append(Picture(number=number, name=entry.name, blob=media_blob(seen.sha256)))
    if first is None or not light.decoded:
        raise BadSequence(f"Not one picture of {name!r} can be read. {faults[0]}")
    return Media(
        id=_identity(pictures),
        kind="pictures",
        name=name,
        width=first[1][0],
        height=first[1][1],
        frames=len(pictures),
        first_number=pictures[0].number,
        empty=not light.found,
        pictures=tuple(pictures),
    )


def _odd_size(name: str, first: tuple[Entry, tuple[int, int]], odd: Entry, size: tuple[int, int]) -> BadSequence:
    (entry, (width, height)) = first
    return BadSequence(
        f"The pictures of {name!r} differ in size: {odd.name} is {size[0]}x{size[1]} px, {entry.name} is "
        f"{width}x{height} px. Scale {odd.name} to {width}x{height}, or submit the two sizes as two clips."
    )


def _identity(pictures: Sequence[Picture]) -> str:
    text = "\n".join(f"{picture.number} {picture.name} {picture.blob}" for picture in pictures)
    return hashlib.sha256(b"pictures\n" + text.encode()).hexdigest()


def _looked_at(numbered: Sequence[tuple[int, Entry]], blobs: Blobs, limits: Limits, light: _Light) -> Iterator[_Seen]:
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="admit")
    try:
        yield from pool.map(lambda pair: _look(pair[1], blobs, limits, light), numbered)
    finally:
        # A refusal half-way must not store the rest.
        pool.shutdown(cancel_futures=True)


def _look(entry: Entry, blobs: Blobs, limits: Limits, light: _Light) -> _Seen:
    if entry.size > limits.max_picture_bytes:
        raise TooLarge(
            f"{entry.name} has {entry.size:,} bytes; a picture file may have {limits.max_picture_bytes:,}. "
            f"Scale it down, or raise FARM_MAX_PIXELS."
        )
    with FILES.taken(entry.size):
        data = entry.load()
        seen = _header(entry, data, limits)
        if seen.size is not None and not light.found:
            try:
                with PIXELS.taken(seen.size[0] * seen.size[1]):
                    lit = bool(decode_mask(data, limits.max_pixels).any())
                if lit:  # else it is left alone: other threads may have found some meanwhile
                    light.found = True
                light.decoded = True
            except BadPicture as error:
                seen = seen._replace(fault=str(error))
        target = media_blob(seen.sha256)
        if not blobs.exists(target):
            blobs.put(target, data, _content_type(entry.name))
    return seen


def _header(entry: Entry, data: bytes, limits: Limits) -> _Seen:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return _Seen(sha256, picture_size(data, limits.max_pixels), "")
    except BadPicture as error:
        return _Seen(sha256, None, str(error))
    except TooLarge as error:
        raise TooLarge(f"{entry.name}: {error}") from error


def _content_type(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return _FORMATS.get(suffix, f"image/{suffix[1:]}" if suffix in SUFFIXES else "application/octet-stream")
