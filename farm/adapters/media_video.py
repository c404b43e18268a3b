"""A video that a user hands in: described from its headers and packets; decoded only as far as the first lit pixel."""

from __future__ import annotations

from pathlib import Path

from farm.adapters.media_sequence import Limits
from farm.adapters.video_decode import decode_group
from farm.adapters.video_index import probe
from farm.domain.keys import media_blob
from farm.domain.media import Group, Media
from farm.errors import Rejected, TooLarge


def admit_video(path: Path, name: str, sha256: str, limits: Limits) -> Media:
    """Check a video and describe it; nothing is stored.

    Raises:
        Rejected: damaged, or without a picture track.   TooLarge: more pixels per frame than the farm decodes.
    """
    try:
        facts = probe(path, limits.max_pixels)
    except TooLarge as error:
        raise TooLarge(f"{name}, a video: {error}") from error
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
        empty=not _any_lit(path, len(facts.groups)),
        groups=tuple(Group(start=start, frames=frames) for start, frames in facts.groups),
    )


def _any_lit(path: Path, groups: int) -> bool:
    """Whether any pixel of any frame is set in the red channel, which is where a mask lies. Stops at the first."""
    for group in range(groups):
        try:
            if any(pixels[..., 0].any() for _, pixels in decode_group(path, group)):
                return True
        except Rejected:
            continue  # a damaged frame fails its own chunk
    return False
