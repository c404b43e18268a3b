from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.adapters.video import BadVideo, Colors, Look, NoFrames, PartsDiffer, encode_group, join, probe, to_rgb
from farm.adapters.video_index import index_of
from farm.errors import Rejected
from tests.unit.adapters.clips import Pixels, make_clip, pictures, sound_packets

UNEVEN = np.cumsum([0, 1, 2, 5, 1, 3] * 10).tolist()


def decoded(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [to_rgb(frame) for frame in container.decode(video=0)]


def seconds(path: Path) -> list[Fraction]:
    index = index_of(path)
    return [int(time) * index.info.time_base for time in index.times - index.times[0]]


def encoded(folder: Path, frames: Sequence[Pixels], look: Look, *cuts: int) -> list[Path]:
    """The frames in parts that end before the positions `cuts`."""
    parts = []
    for start, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
        parts.append(folder / f"part-{start}.mp4")
        assert encode_group(frames[start:end], look, parts[-1]) == end - start
    return parts


@pytest.mark.parametrize(
    ("width", "height", "pix_fmt"), [(64, 48, "yuv420p"), (63, 48, "yuv444p"), (64, 47, "yuv444p")]
)
def test_a_group_looks_like_its_frames(tmp_path: Path, width: int, height: int, pix_fmt: str) -> None:
    frames = list(pictures(12, width, height))
    assert encode_group(iter(frames), Look(), tmp_path / "a.mp4") == 12
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.frames, info.pix_fmt) == (width, height, 12, pix_fmt)
    assert len(index_of(tmp_path / "a.mp4").keys) == 1
    off = np.mean([np.abs(a.astype(int) - b) for a, b in zip(decoded(tmp_path / "a.mp4"), frames, strict=True)])
    assert off < 8


@pytest.mark.parametrize("space", [1, 2, 6, 9])
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_colors_come_back_through_every_matrix_and_range_and_the_tags_are_kept(
    tmp_path: Path, space: int, levels: int
) -> None:
    colors = Colors(primaries=space, transfer=space, space=space, range=levels)
    blocks = np.random.default_rng(3).integers(0, 256, (3, 4, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    encode_group([blocks] * 3, Look(colors=colors), tmp_path / "a.mp4")
    join([tmp_path / "a.mp4"], None, tmp_path / "b.mp4")
    # A range that is not said, and the limited one said of an untagged stream, mean the same.
    read = probe(tmp_path / "b.mp4").colors
    assert read._replace(range=max(read.range, 1)) == colors._replace(range=max(levels, 1))
    middle = decoded(tmp_path / "b.mp4")[1][8::16, 8::16].astype(int)
    assert np.abs(middle - blocks[8::16, 8::16]).max() <= 5


def test_the_same_frames_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        encode_group(pictures(20), Look(), tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_joined_parts_are_the_parts_frames_in_order_not_encoded_again(tmp_path: Path) -> None:
    parts = encoded(tmp_path, list(pictures(40)), Look(Fraction(24000, 1001)), 15, 16)
    join(parts, None, tmp_path / "out.mp4")
    alone = [pixels for part in parts for pixels in decoded(part)]
    assert all(np.array_equal(a, b) for a, b in zip(decoded(tmp_path / "out.mp4"), alone, strict=True))
    info = probe(tmp_path / "out.mp4")
    assert (info.frames, info.fps, info.has_audio) == (40, Fraction(24000, 1001), False)
    assert len(index_of(tmp_path / "out.mp4").keys) == 3


def test_the_sound_of_a_whole_clip_is_copied_to_the_bit(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", list(pictures(60)), sound="aac")
    join(encoded(tmp_path, decoded(source), probe(source).look, 30), source, tmp_path / "out.mp4")
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(source)
    assert seconds(tmp_path / "out.mp4") == seconds(source)


def test_the_sound_of_a_range_begins_and_ends_with_its_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", list(pictures(75)), sound="aac")
    part = encoded(tmp_path, decoded(source)[25:50], probe(source).look)
    join(part, source, tmp_path / "out.mp4", first=25)
    packet = Fraction(1024, 48_000)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert 1 - packet < Fraction(container.streams.audio[0].duration or 0, 48_000) < 1 + 2 * packet
    whole = [data for _, data in sound_packets(source)]
    times = {data: time for time, data in sound_packets(tmp_path / "out.mp4") if time is not None}
    assert set(times) <= set(whole)
    for data, time in times.items():
        assert time + 48_000 == sound_packets(source)[whole.index(data)][0]


def test_sound_that_mp4_does_not_take_is_encoded_again(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.avi", list(pictures(50)), codec="mpeg4", sound="wmav2")
    join(encoded(tmp_path, decoded(source), probe(source).look), source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert heard.shape[1] > 1.8 * 48_000
    assert np.abs(heard).max() > 0.3


def test_frames_of_a_variable_rate_are_shown_when_they_were(tmp_path: Path) -> None:
    times = sorted(set(np.cumsum([1, 2, 5, 1, 3] * 12).tolist()))
    source = make_clip(tmp_path / "in.mp4", list(pictures(len(times))), times=times, unit=Fraction(1, 100), sound="aac")
    frames = decoded(source)
    join(encoded(tmp_path, frames, probe(source).look, 20), source, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == seconds(source)
    join(encoded(tmp_path, frames[10:30], probe(source).look), source, tmp_path / "range.mp4", first=10)
    start = seconds(source)[10]
    assert seconds(tmp_path / "range.mp4") == [time - start for time in seconds(source)[10:30]]


def test_a_source_without_times_gives_its_rate(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.h264", list(pictures(10)))
    join(encoded(tmp_path, decoded(source), probe(source).look), source, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == [Fraction(number, 25) for number in range(10)]


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    encode_group(pictures(3), Look(aspect=Fraction(64, 45)), tmp_path / "a.mp4")
    join([tmp_path / "a.mp4"], None, tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").look.aspect == Fraction(64, 45)


def test_nothing_cannot_be_made_a_video_of_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoFrames):
        encode_group([], Look(), tmp_path / "a.mp4")
    with pytest.raises(NoFrames):
        join([], None, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_frames_of_two_sizes_are_no_group(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="Frame 1 of the group is 32x48 px, the first is 64x48 px"):
        encode_group([*pictures(1), *pictures(1, 32)], Look(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_parts_that_were_encoded_differently_are_not_joined(tmp_path: Path) -> None:
    encode_group(pictures(3), Look(), tmp_path / "a.mp4")
    encode_group(pictures(3, 32), Look(), tmp_path / "b.mp4")
    with pytest.raises(PartsDiffer, match=r"b\.mp4 .* Encode all parts again"):
        join([tmp_path / "a.mp4", tmp_path / "b.mp4"], None, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    encode_group(pictures(3), Look(), tmp_path / "a.mp4")
    with pytest.raises(BadVideo, match=r"b\.mp4"):
        join([tmp_path / "a.mp4", tmp_path / "b.mp4"], None, tmp_path / "out.mp4")
