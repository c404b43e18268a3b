"""A video that a user hands in: described from its headers and packets; decoded only as far as the first lit pixel."""

from __future__ import annotations

from pathlib import Path

from farm.adapters.media_sequence import Limits
from farm.adapters.video import decode_group, probe
from farm.domain.keys import media_blob
from farm.domain.media import Media
from farm.errors import Rejected, TooLarge


def admit_video(path: Path, name: str, sha256: str, limits: Limits) -> Media:
    """Check a video and describe it; nothing is stored.

    Raises:
        Rejected: damaged, or without a picture track.   TooLarge: more pixels per frame than the farm decodes.
    """
    facts = probe(path)
    if facts.width * facts.height > limits.max_pixels:
        raise TooLarge(
            f"The video {name!r} is {facts.width}x{facts.height} px, {facts.width * facts.height:,} pixels a frame; "
            f"at most {limits.max_pixels:,} are decoded. Scale it down, or raise FARM_MAX_PIXELS."
        )
    return Media(
        id=sha256,
        kind="video",
        name=name,
        blob=media_blob(sha256),
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        fps=facts.fps,
        has_audio=facts.has_audio,
        empty=not _any_lit(path, len(facts.groups)),
        groups=facts.groups,
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
