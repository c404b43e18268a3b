"""A SEGS document that a user hands in: read, checked against itself, described."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from farm.adapters.media_sequence import Limits
from farm.adapters.pictures import BadPicture, decode_mask, picture_size
from farm.domain.keys import media_blob
from farm.domain.media import Media
from farm.domain.segment import SegEntry, SegsDocument
from farm.errors import Rejected, TooLarge

MAX_SEGS_BYTES = 256 << 20
"""Bytes of a SEGS document: it is read at once, and as objects takes some five times that."""
MAX_MASK_PIXELS = 500_000_000
"""Pixels of all masks of one frame: a worker holds them at once, at 4 bytes each."""
MAX_LOOKED_AT = 50_000_000_000
"""Pixels of all masks of a document: 20,000 frames with a mask of 1600x1600 px."""
LARGE_CROP = 3.0
"""`crop_factor` that crop regions which a document leaves out are taken to have, as in Impact Pack's default."""
SHOWN = 5
"""Faults of a document that are told at once."""


class BadSegs(Rejected):
    """A SEGS document that does not say what its kind must say."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"The SEGS document {name!r} cannot be used: {fault}. It needs `header` [height, width] and either `segs` "
            f"(for the whole clip) or `frames` (by frame number), each entry with `bbox` (and `crop_region`, unless "
            f"`crop_factor` makes it) as [x1, y1, x2, y2] and a `mask` as base64 PNG of the region's size, or none."
        )


def admit_segs(data: bytes, name: str, limits: Limits) -> Media:
    """Check a SEGS document and describe it; nothing is stored.

    `frames` is the number of frames that it speaks of: those of `frames`, or the masks per entry; 1 where one mask
    serves the whole clip.

    Raises:
        BadSegs: no valid document, a region outside of the header's size, a mask that is not of its region's size.
        TooLarge: over `MAX_SEGS_BYTES` or `limits.max_pixels`.
    """
    if len(data) > MAX_SEGS_BYTES:
        raise TooLarge(
            f"The SEGS document {name!r} has {len(data):,} bytes; at most {MAX_SEGS_BYTES:,} are read. "
            f"Give the masks as pictures or as a video instead."
        )
    document = read_segs(data, name)
    height, width = document.header
    if width * height > limits.max_pixels:
        raise TooLarge(
            f"The SEGS document {name!r} is for {width}x{height} px pictures; at most {limits.max_pixels:,} pixels "
            f"are taken. Correct `header` (height first), or raise FARM_MAX_PIXELS."
        )
    _check_amount(name, document)
    if not document.segs and not any(document.frames.values()):
        raise BadSegs(name, "it has no entry at all, so there is nothing to repaint")
    lit = False
    for where, entry in _entries(document):
        _check_region(name, where, entry, (width, height))
        for mask in _pngs(name, where, entry):
            lit = _check_mask(name, where, entry, mask, limits) or lit
        lit = lit or not entry.mask
    sha256 = hashlib.sha256(data).hexdigest()
    return Media(
        id=sha256,
        kind="segs",
        name=name,
        blob=media_blob(sha256),
        width=width,
        height=height,
        frames=_frames(name, document),
        first_number=min(document.frames, default=1),
        empty=not lit,
    )


def read_segs(data: bytes, name: str) -> SegsDocument:
    """The document in `data`. Raises BadSegs with the places that are wrong."""
    try:
        return SegsDocument.model_validate_json(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}" for fault in faults[:SHOWN]
        )
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise BadSegs(name, told + more) from None


def masks_of(entry: SegEntry) -> tuple[str, ...]:
    """An entry's masks as base64: none, one for all frames, or one per frame."""
    return (entry.mask,) if isinstance(entry.mask, str) else entry.mask


def _entries(document: SegsDocument) -> Iterator[tuple[str, SegEntry]]:
    for index, entry in enumerate(document.segs):
        yield f"segs.{index}", entry
    for number, entries in document.frames.items():
        for index, entry in enumerate(entries):
            yield f"frames.{number}.{index}", entry


def _check_amount(name: str, document: SegsDocument) -> None:
    """What is small as PNG may be large as pixels."""
    total = 0
    for number, entries in {0: document.segs, **document.frames}.items():
        areas = [(entry, _area(entry, document.header)) for entry in entries]
        at_once = sum(area for _, area in areas)
        total += sum(area * len(masks_of(entry)) for entry, area in areas)
        if at_once > MAX_MASK_PIXELS or total > MAX_LOOKED_AT:
            where = f"frame {number}" if document.frames else "the clip"
            raise TooLarge(
                f"The SEGS document {name!r} has masks of {max(at_once, total):,} pixels up to {where}; at most "
                f"{MAX_MASK_PIXELS:,} are taken for a frame, and {MAX_LOOKED_AT:,} in all. Use smaller crop regions, "
                f"or fewer."
            )


def _area(entry: SegEntry, size: tuple[int, int]) -> int:
    """Pixels of an entry's crop region; of one that is left out, what a large `crop_factor` makes it."""
    x1, y1, x2, y2 = entry.crop_region or entry.bbox
    area = (x2 - x1) * (y2 - y1)
    return int(area if entry.crop_region else min(size[0] * size[1], LARGE_CROP**2 * max(0.0, area)))


def _frames(name: str, document: SegsDocument) -> int:
    if document.frames:
        return len(document.frames)
    counts = {len(masks_of(entry)) for entry in document.segs} - {0, 1}
    if len(counts) > 1:
        fewest, most = min(counts), max(counts)
        raise BadSegs(name, f"one entry has {fewest} masks and another {most}; give each one mask, or one per frame")
    return counts.pop() if counts else 1


def _check_region(name: str, where: str, entry: SegEntry, size: tuple[int, int]) -> None:
    if entry.crop_region is None:
        x1, y1, x2, y2 = entry.bbox
        if x2 <= 0 or y2 <= 0 or x1 >= size[0] or y1 >= size[1]:
            raise BadSegs(
                name,
                f"{where}.bbox is ({x1:g}, {y1:g}, {x2:g}, {y2:g}), which lies outside of the {size[0]}x{size[1]} px "
                f"picture of `header`",
            )
        return
    x1, y1, x2, y2 = entry.crop_region
    if x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1]:
        raise BadSegs(
            name,
            f"{where}.crop_region is ({x1}, {y1}, {x2}, {y2}), which hangs out of the {size[0]}x{size[1]} px picture "
            f"of `header`",
        )


def _pngs(name: str, where: str, entry: SegEntry) -> Iterable[bytes]:
    for mask in masks_of(entry):
        try:
            yield base64.b64decode(mask, validate=True)
        except (binascii.Error, ValueError):
            raise BadSegs(name, f"{where}.mask is not base64") from None


def _check_mask(name: str, where: str, entry: SegEntry, png: bytes, limits: Limits) -> bool:
    x1, y1, x2, y2 = entry.crop_region or (0, 0, 0, 0)
    try:
        size = picture_size(png, limits.max_pixels)
        if size == (x2 - x1, y2 - y1):
            return bool(decode_mask(png, limits.max_pixels).any())
    except BadPicture as error:
        raise BadSegs(name, f"{where}.mask is no picture ({error})") from None
    raise BadSegs(
        name,
        f"{where}.mask is {size[0]}x{size[1]} px, its crop_region is {x2 - x1}x{y2 - y1} px",
    )
