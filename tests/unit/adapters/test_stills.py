"""Single frames for people to look at."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.adapters.media import admit_file
from farm.adapters.media_sequence import Limits
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.stills import KEPT_FILES, Stills, preview
from farm.adapters.video_decode import decode_group
from farm.domain.media import Media
from farm.errors import NotFound, Rejected
from tests.unit.adapters.clips import make_clip, pictures

LIMITS = Limits(max_bytes=1 << 24, max_pixels=1 << 24)


def admitted(path: Path, blobs: MemoryBlobs, first: int = 0) -> Media:
    clip = make_clip(path, list(pictures(30 + first))[first:], options={"g": "8"})
    return admit_file(clip, path.name, blobs, LIMITS)


def test_a_frame_is_bit_for_bit_what_a_job_would_be_given(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    media = admitted(tmp_path / "clip.mp4", blobs)
    stills = Stills(blobs, tmp_path / "stills", LIMITS.max_pixels)
    decoded = dict(frame for group in range(len(media.groups)) for frame in decode_group(tmp_path / "clip.mp4", group))
    for number in (1, 8, 9, 30):
        assert np.array_equal(stills.frame(media, number), decoded[number - 1])


@pytest.mark.parametrize("number", [-1, 0, 31])
def test_a_number_outside_of_the_clip_is_told_with_those_that_there_are(tmp_path: Path, number: int) -> None:
    blobs = MemoryBlobs()
    media = admitted(tmp_path / "clip.mp4", blobs)
    with pytest.raises(NotFound, match="It has the frames 1 to 30"):
        Stills(blobs, tmp_path / "stills", LIMITS.max_pixels).frame(media, number)


def test_only_the_videos_that_were_looked_at_last_are_kept(tmp_path: Path) -> None:
    blobs, folder = MemoryBlobs(), tmp_path / "stills"
    stills = Stills(blobs, folder, LIMITS.max_pixels)
    found = [admitted(tmp_path / f"{n}.mp4", blobs, first=n) for n in range(KEPT_FILES + 1)]
    for age, media in enumerate(found[:-1]):
        stills.frame(media, 1)
        for file in folder.iterdir():
            if file.stat().st_mtime > 1e6:
                os.utime(file, (age, age))
    kept = set(folder.iterdir())
    stills.frame(found[0], 1)  # used again: now the second one is the oldest
    stills.frame(found[-1], 1)
    now = set(folder.iterdir())
    assert (len(kept), len(now), len(kept - now)) == (KEPT_FILES, KEPT_FILES, 1)
    (gone,) = kept - now
    stills.frame(found[1], 1)
    assert gone in set(folder.iterdir())


@pytest.mark.parametrize(("width", "size"), [(32, (32, 24)), (64, (64, 48)), (500, (64, 48)), (1, (1, 1))])
def test_a_preview_keeps_its_shape_and_is_never_scaled_up(width: int, size: tuple[int, int]) -> None:
    assert Image.open(BytesIO(preview(next(pictures(1)), width))).size == size


def test_a_segs_document_is_refused(tmp_path: Path) -> None:
    media = Media(id="x", kind="segs", name="segs.json", width=8, height=6, frames=1)
    with pytest.raises(Rejected, match="has no pictures"):
        Stills(MemoryBlobs(), tmp_path, LIMITS.max_pixels).frame(media, 1)
