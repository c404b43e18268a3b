"""Single frames for people to look at: of what was uploaded, before any job, and scaled down."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock, get_ident

import numpy as np
from PIL import Image

from farm.adapters.pictures import U8, decode_rgb
from farm.adapters.video_decode import decode_group
from farm.domain.media import Media
from farm.errors import BadFrame, NotFound, Rejected
from farm.ports import Blobs

QUALITY = 82
"""Of previews, as WebP, from 1 to 100."""
EFFORT = 2
"""From 0 to 6: half the time of 4, the default, for 4 % more bytes."""
KEPT_FILES = 8
"""Videos that are kept on disk for the next look."""


class Stills:
    """Frames of uploads by number. Videos are fetched once and kept as files, the latest few of them."""

    def __init__(self, blobs: Blobs, folder: Path, max_pixels: int) -> None:
        """
        Args:
            folder: for the videos; made when it is needed.
            max_pixels: of a picture.
        """
        self._blobs = blobs
        self._folder = folder
        self._max_pixels = max_pixels
        self._lock = Lock()

    def frame(self, media: Media, number: int) -> U8:
        """`[H, W, 3]` uint8 of the frame with that number.

        Args:
            media: in its long form.
        Raises:
            NotFound: it has no such frame.   BadFrame: the frame cannot be read.   Rejected: it has no pictures.
        """
        if media.kind == "segs":
            raise Rejected(f"{media.name!r} is a SEGS document; it has no pictures. Ask for a frame of the clip.")
        if media.kind == "pictures":
            blobs: Mapping[int, str] = {picture.number: picture.blob for picture in media.pictures}
            if number not in blobs:
                raise NotFound(_no_frame(media, number))
            return decode_rgb(self._blobs.get(blobs[number]), self._max_pixels)
        position = number - media.first_number
        if not 0 <= position < media.frames:
            raise NotFound(_no_frame(media, number))
        group = max((n for n, found in enumerate(media.groups) if found.start <= position), default=0)
        for at, pixels in decode_group(self._file(media.blob), group):
            if at == position:
                return pixels
        raise BadFrame(number, "the decoder gave no undamaged picture for it")

    def _file(self, blob: str) -> Path:
        path = self._folder / hashlib.sha256(blob.encode()).hexdigest()
        with suppress(FileNotFoundError):
            os.utime(path)  # used last
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}-{get_ident()}.part")
        try:
            self._blobs.get_to_file(blob, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        with self._lock:
            self._forget(path)
        return path

    def _forget(self, but: Path) -> None:
        def age(file: Path) -> float:
            with suppress(FileNotFoundError):
                return file.stat().st_mtime
            return 0.0

        files = sorted((file for file in self._folder.iterdir() if not file.suffix), key=age, reverse=True)
        for file in files[KEPT_FILES:]:
            if file != but:
                file.unlink(missing_ok=True)


def preview(pixels: U8, width: int) -> bytes:
    """`[H, W, 3]` uint8 as a WebP of `width` pixels at the most; never scaled up."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = BytesIO()
    picture.save(out, "WEBP", quality=QUALITY, method=EFFORT)
    return out.getvalue()


def _no_frame(media: Media, number: int) -> str:
    last = media.pictures[-1].number if media.pictures else media.first_number + media.frames - 1
    return f"{media.name!r} has no frame {number}. It has the frames {media.first_number} to {last}."
