"""Videos as they are handed in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.adapters.media import Limits, admit_path
from farm.adapters.memory_blobs import MemoryBlobs
from farm.domain.media import Media
from farm.errors import Rejected, TooLarge

LIMITS = Limits(max_bytes=50_000_000, max_pixels=1_000_000)


def video(path: Path, values: list[int], size: tuple[int, int] = (64, 48)) -> Path:
    """A video of gray frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for value in values:
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), value, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def admit(path: Path, limits: Limits = LIMITS) -> Media:
    return admit_path(path, MemoryBlobs(), limits)


def test_a_video_is_described_by_its_packets(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    path = video(tmp_path / "clip.mp4", [90] * 7)
    media = admit_path(path, blobs, LIMITS)
    assert (media.kind, media.width, media.height, media.frames) == ("video", 64, 48, 7)
    assert (media.fps, media.first_number, media.has_audio) == ((24000, 1001), 1, False)
    assert sum(group.frames for group in media.groups) == 7
    assert blobs.get(media.blob) == path.read_bytes()
    assert media.blob == f"media/blobs/{media.id}"


@pytest.mark.parametrize(("values", "empty"), [([0] * 5, True), ([0, 0, 0, 255], False)])
def test_a_mask_video_is_empty_if_all_of_its_frames_are_black(tmp_path: Path, values: list[int], empty: bool) -> None:
    assert admit(video(tmp_path / "mask.mp4", values)).empty is empty


def test_a_broken_video_is_named(tmp_path: Path) -> None:
    path = video(tmp_path / "clip.mp4", [90] * 7)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(Rejected, match=r"clip\.mp4 cannot be used as a video"):
        admit(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mka"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(Rejected, match=r"song\.mka cannot be used as a video: it has no video stream, but audio"):
        admit(path)


def test_a_video_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"clip\.mp4, a video: .* is 64x48"):
        admit(video(tmp_path / "clip.mp4", [90]), Limits(1_000_000, 1000))
