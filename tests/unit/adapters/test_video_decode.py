from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from farm.adapters.pictures import PictureTooLarge
from farm.adapters.video import BadVideo, decode_group, probe, to_rgb
from farm.errors import BadFrame, Rejected
from tests.unit.adapters.clips import Pixels, make_clip, pictures

DEMO = Path(__file__).parents[3] / "assets" / "demo" / "clips"
X264 = "scenecut=0:threads=1:"
UNEVEN = np.cumsum([1, 1, 2, 5, 1, 3] * 15).tolist()

KINDS: dict[str, dict[str, Any]] = {
    "closed_groups.mp4": {"options": {"g": "25", "x264-params": X264 + "bframes=3"}},
    "open_groups.mp4": {"options": {"g": "25", "x264-params": X264 + "open-gop=1:bframes=3:b-pyramid=2"}},
    "open_groups.mkv": {"options": {"g": "25", "x264-params": X264 + "open-gop=1:bframes=5:b-adapt=0"}},
    "open_groups.ts": {"options": {"g": "25", "x264-params": X264 + "open-gop=1:bframes=3:b-adapt=0"}},
    "no_clean_key_frames.ts": {"options": {"g": "25", "x264-params": X264 + "intra-refresh=1:keyint=25"}},
    "times_of_decoding_only.avi": {"options": {"g": "25", "x264-params": X264 + "bframes=3"}},
    "no_times.h264": {"options": {"g": "25", "x264-params": X264 + "bframes=3"}},
    "other_times_after_a_jump.mpg": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "key_frames_only.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "variable_rate.mp4": {"times": UNEVEN, "unit": Fraction(1, 100), "options": {"g": "25", "bf": "3"}},
    "late_start.mp4": {"times": range(100, 190), "options": {"g": "25"}},
    "odd_size.mp4": {"frames": list(pictures(30, 63, 47)), "pix_fmt": "yuv444p"},
    "one_frame.mp4": {"frames": list(pictures(1))},
    "with_sound.mp4": {"sound": "aac"},
}


def in_one_go(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return [to_rgb(frame, probe(path).rotation) for frame in container.decode(video=0)]


def by_groups(path: Path) -> tuple[dict[int, Pixels], list[int]]:
    """All frames that can be read, and the numbers of those that were reported as unreadable."""
    found: dict[int, Pixels] = {}
    bad = []
    for group, (start, count) in enumerate(probe(path).groups):
        try:
            for position, pixels in decode_group(path, group):
                assert start <= position < start + count
                assert position not in found
                found[position] = pixels
        except BadFrame as error:
            bad.append(error.number)
    return found, bad


def spoil(path: Path, packet: int) -> Path:
    """Zero most of a packet, found by its place in the order of decoding."""
    with av.open(str(path)) as container:
        places = [(entry.pos or 0, entry.size) for entry in container.demux(video=0) if entry.size]
    data = bytearray(path.read_bytes())
    start, size = places[packet]
    data[start + 24 : start + size] = bytes(size - 24)
    spoiled = path.with_name(f"spoiled_{path.name}")
    spoiled.write_bytes(data)
    return spoiled


@pytest.mark.parametrize("name", KINDS)
def test_all_groups_together_are_one_decoding_from_the_beginning_to_the_bit(name: str, tmp_path: Path) -> None:
    path = make_clip(tmp_path / name, **KINDS[name])
    wanted = in_one_go(path)
    found, bad = by_groups(path)
    assert bad == []
    assert list(found) == list(range(len(wanted)))
    assert all(np.array_equal(found[position], pixels) for position, pixels in enumerate(wanted))


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "bigbuckbunny_soft.mp4"])
def test_the_demo_clips_are_read_as_ffmpeg_reads_them(name: str) -> None:
    found, bad = by_groups(DEMO / name)
    assert (len(found), bad) == (132, [])
    with av.open(str(DEMO / name)) as container:
        for position, frame in enumerate(container.decode(video=0)):
            if position % 44 == 0:
                assert np.array_equal(found[position], frame.to_ndarray(format="rgb24"))


def test_groups_cover_the_clip_without_gaps_and_are_not_tiny(tmp_path: Path) -> None:
    for name in ("open_groups.mp4", "key_frames_only.mov"):
        info = probe(make_clip(tmp_path / name, **KINDS[name]))
        assert [start for start, _ in info.groups] == np.cumsum([0, *(count for _, count in info.groups[:-1])]).tolist()
        assert sum(count for _, count in info.groups) == info.frames == 90
        assert len(info.groups) == 4


def test_the_facts_of_a_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", list(pictures(10, 62, 46)), sound="aac", unit=Fraction(1001, 24000))
    info = probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (62, 46, 10, Fraction(24000, 1001))
    assert (info.codec, info.pix_fmt, info.has_audio, info.rotation) == ("h264", "yuv420p", True, 0)
    assert not probe(DEMO / "bigbuckbunny_soft.mp4").has_audio


def test_frames_are_counted_not_believed(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", options={"g": "25"})
    path.write_bytes(path.read_bytes()[:-6000])
    found, bad = by_groups(path)
    assert 25 <= probe(path).frames < 90
    assert len(found) + 1 >= probe(path).frames
    assert len(bad) <= 1


def test_a_variable_rate_has_its_mean(tmp_path: Path) -> None:
    assert round(float(probe(make_clip(tmp_path / "a.mp4", **KINDS["variable_rate.mp4"])).fps), 1) == 45.9


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_clip_of_a_turned_phone_is_read_as_it_is_shown(tmp_path: Path, degrees: int) -> None:
    path, upright = tmp_path / "turned.mp4", make_clip(tmp_path / "upright.mp4", list(pictures(3)))
    with av.open(str(upright)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    info = probe(path)
    assert (info.width, info.height) == ((48, 64) if degrees != 180 else (64, 48))
    assert info.rotation == -degrees % 360  # the container counts against the clock
    for shown, stored in zip(in_one_go(path), in_one_go(upright), strict=True):
        assert np.array_equal(shown, np.rot90(stored, degrees // 90))
    assert np.array_equal(by_groups(path)[0][2], in_one_go(path)[2])


@pytest.mark.parametrize("name", ["closed_groups.mp4", "open_groups.mp4", "mpeg4.mp4"])
def test_a_damaged_frame_is_reported_and_nothing_made_from_it_is_given(name: str, tmp_path: Path) -> None:
    path = make_clip(tmp_path / name, **KINDS[name])
    whole, _ = by_groups(path)
    found, bad = by_groups(spoil(path, 31))
    assert len(bad) == 1
    assert 24 <= bad[0] - 1 <= 50
    assert set(range(24)) | set(range(50, 90)) <= set(found)
    assert bad[0] - 1 not in found
    assert all(np.array_equal(pixels, whole[position]) for position, pixels in found.items())


def test_a_damaged_key_frame_takes_its_group_with_it_and_no_other(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", **KINDS["closed_groups.mp4"])
    found, bad = by_groups(spoil(path, 25))
    assert bad == [26]
    assert sorted(found) == [*range(25), *range(50, 90)]


def test_where_all_frames_are_key_frames_only_the_damaged_one_is_lost(tmp_path: Path) -> None:
    found, bad = by_groups(spoil(make_clip(tmp_path / "a.mov", **KINDS["key_frames_only.mov"]), 30))
    assert bad == [31]
    assert sorted(found) == [*range(30), *range(31, 90)]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(b"", "empty, 0 bytes", id="empty"),
        pytest.param(b"not a video at all" * 50, "reading fails", id="text"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n", "reading fails", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile '/etc/passwd'\n", "reading fails", id="script"),
        pytest.param(None, "no such file", id="missing"),
    ],
)
def test_what_is_no_video_is_rejected_with_what_is_needed(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadVideo, match=rf"clip.mp4 cannot be used as a video: .*{fault}.*\. Give a file"):
        probe(path)


def test_a_clip_cut_before_its_headers_is_rejected(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadVideo, match="reading fails"):
        probe(path)


def test_sound_alone_is_rejected(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mp4", list(pictures(10)), sound="aac")
    path = tmp_path / "sound.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(BadVideo, match="no video stream, but audio"):
        probe(path)


def test_frames_over_the_limit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureTooLarge, match="64x48"):
        probe(make_clip(tmp_path / "a.mp4", list(pictures(1))), max_pixels=64 * 48 - 1)


def test_a_group_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", list(pictures(1)))
    with pytest.raises(Rejected, match="has 1 groups of pictures; there is no group 1"):
        next(decode_group(path, 1))
