"""A video that a user hands in: described from its headers and packets; decoded only as far as the first lit pixel."""

from __future__ import annotations

import hashlib
from pathlib import Path

from farm.adapters.media_sequence import Limits
from farm.adapters.video_decode import decode_group
from farm.adapters.video_index import probe
from farm.domain.keys import media_blob
from farm.domain.media import Group, Media
from farm.errors import Rejected, TooLarge

LOOKED_AT_PIXELS = 20_000_000_000
"""Pixels of a video that are looked at for the first that is set: 10,000 black frames of 1080p, a minute's work."""


def admit_video(path: Path, name: str, limits: Limits) -> Media:
    """Check a video and describe it; nothing is stored.

    Raises:
        Rejected: damaged, or without a picture track.   TooLarge: more pixels per frame than the farm decodes.
    """
    try:
        facts = probe(path, limits.max_pixels)
    except TooLarge as error:
        raise TooLarge(f"{name}, a video: {error}") from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Media(
        id=sha256,
        kind="video",
        name=name,
        blob=media_blob(sha256),
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        fps=(facts.fps.numerator, facts.fps.denominator),
        has_audio=facts.has_audio,
        empty=not _any_lit(path, len(facts.groups), LOOKED_AT_PIXELS),
        groups=tuple(Group(start=start, frames=frames) for start, frames in facts.groups),
    )


def _any_lit(path: Path, groups: int, most: int) -> bool:
    """Whether any pixel of any frame is set in the red channel, which is where a mask lies. Stops at the first.

    What has more than `most` pixels that are not set is let be: it is decoded in tasks, not while somebody waits.
    """
    seen = 0
    for group in range(groups):
        try:
            for _, pixels in decode_group(path, group):
                seen += pixels.shape[0] * pixels.shape[1]
                if pixels[..., 0].any() or seen > most:
                    return True
        except Rejected:
            continue  # a damaged frame fails its own chunk
    return False
