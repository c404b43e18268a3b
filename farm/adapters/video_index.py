"""What a video holds, found by reading its packets once: frames, their times, and where decoding can begin."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from farm.adapters.pictures import MAX_PIXELS, PictureTooLarge
from farm.adapters.video_facts import BadVideo, Colors, Look, VideoInfo

I64: TypeAlias = NDArray[np.int64]

FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,mxf,nut,ivf,gif,h264,hevc,yuv4mpegpipe"
"""Containers that are read. Not playlists and scripts, which name other files and addresses for the reader to open."""

MIN_GROUP = 24
"""Frames that a group has at least, except the last: neighbors are joined, or a clip of key frames alone would make a
task of every frame."""

MAX_FRAMES = 2_000_000
"""Frames of one video: nine hours at 60 per second."""

ROOM_PIXELS = 1_000_000
"""Pixels that a frame may have beyond twice the size that the file's header says: codecs pad what they decode."""

MAX_DELAY = 64
"""Packets that a decoder may take before it gives its first frame: twice the longest delay of any codec here."""


@dataclass(frozen=True)
class VideoIndex:
    """Every packet of the video stream, in the file's order, which is the order of decoding."""

    info: VideoInfo
    pts: I64
    """When each packet's frame is shown, in units of `time_base`; empty where the file has no usable times."""
    positions: I64
    """Each packet's frame, counted from 0 in the order of showing; -1 for frames that are not shown."""
    sizes: I64
    """Bytes of each packet: with `pts`, what it is known again by."""
    keys: I64
    """Packets at which decoding can begin, ascending."""

    @property
    def times(self) -> I64:
        """When each frame is shown, by position."""
        shown = self.positions >= 0
        times = np.empty(int(shown.sum()), np.int64)
        times[self.positions[shown]] = self.pts[shown]
        return times


class _Packets(NamedTuple):
    pts: I64
    key: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    sizes: I64
    timed: bool
    """Every packet has a time of its own."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first stream of moving pictures, to be decoded by one thread, so always alike.

    Raises:
        BadVideo: missing, empty, not a video, or damaged beyond reading; also for what goes wrong while it is open.
    """
    if not path.is_file():
        raise BadVideo(path.name, "there is no such file")
    if path.stat().st_size == 0:
        raise BadVideo(path.name, "the file is empty, 0 bytes")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(str(path.absolute()), options=options) as container:
            yield container, _moving_pictures(path, container)
    except av.FFmpegError as error:
        if error.filename not in (None, str(path.absolute())):
            raise  # of a file that is written meanwhile
        raise BadVideo(path.name, f"reading fails ({error.strerror or error})") from error


def probe(path: Path, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """The facts of a video; frames are counted by their packets, headers are not believed.

    Raises:
        BadVideo: missing, empty, damaged, no moving pictures, or not one frame that can be decoded.
        PictureTooLarge: a frame has more than `max_pixels`.
    """
    with opened(path) as (_, stream):
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > max_pixels:  # before the first frame is decoded
            raise PictureTooLarge(width, height, max_pixels)
    return index_of(path).info


def index_of(path: Path) -> VideoIndex:
    """The index of a video, read once in this process as long as the file stays the same. Raises as `probe`."""
    try:
        facts = path.stat()
    except OSError:
        raise BadVideo(path.name, "there is no such file") from None
    return _index(path.absolute(), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4)
def _index(path: Path, _size: int, _changed: int) -> VideoIndex:
    with opened(path) as (container, stream):
        packets = _scan(container, stream)
    if packets.pts.size == 0:
        raise BadVideo(path.name, "its video stream has no frames, 0 packets")
    rotation, in_order = _trial(path)
    if not (packets.timed and in_order):
        packets = packets._replace(timed=False)
    positions, keys = _order(packets) if packets.timed else _count(path)
    with opened(path) as (container, stream):
        return VideoIndex(
            info=_describe(container, stream, packets, positions, keys, rotation),
            pts=packets.pts if packets.timed else packets.pts[:0],
            positions=positions,
            sizes=packets.sizes,
            keys=keys,
        )


def _moving_pictures(path: Path, container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a song is no video
            if stream.codec_context is None:  # what the types do not say
                raise BadVideo(path.name, "what its pictures are coded with is not known; the file may be cut short")
            stream.codec_context.thread_count = 1
            # A stream that grows on its way is not decoded: its first size is what was checked against the limit.
            most = 2 * stream.codec_context.width * stream.codec_context.height + ROOM_PIXELS
            stream.codec_context.options = {"max_pixels": str(most)}
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise BadVideo(path.name, f"it has no video stream, but {kinds}")


def _scan(container: InputContainer, stream: VideoStream) -> _Packets:
    pts: list[int] = []
    key: list[bool] = []
    hidden: list[bool] = []
    sizes: list[int] = []
    untimed = 0
    for packet in container.demux(stream):
        if packet.size:
            if len(pts) == MAX_FRAMES:
                raise BadVideo(Path(container.name).name, f"it has over {MAX_FRAMES:,} frames; cut it up")
            untimed += packet.pts is None
            pts.append(packet.pts or 0)
            key.append(packet.is_keyframe)
            hidden.append(packet.is_discard)
            sizes.append(packet.size)
    times = np.array(pts, np.int64)
    timed = not untimed and np.unique(times).size == len(pts)
    return _Packets(times, np.array(key, bool), np.array(hidden, bool), np.array(sizes, np.int64), timed)


def _order(packets: _Packets) -> tuple[I64, I64]:
    """Positions of frames by the time at which they are shown, and the packets at which decoding can begin."""
    keys = np.flatnonzero(packets.key)
    if keys.size == 0 or (np.diff(packets.pts[keys]) <= 0).any():
        keys = np.zeros(1, np.int64)
    shown = ~packets.hidden
    # Before the first key frame nothing can be decoded, nor what is shown before it but stored after it: decoders
    # leave both out, and so does the count.
    shown[: keys[0]] = False
    if packets.key.any():
        shown &= packets.pts >= packets.pts[keys[0]]
    positions = np.full(packets.pts.size, -1, np.int64)
    positions[shown] = np.argsort(np.argsort(packets.pts[shown], kind="stable"), kind="stable")
    return positions, keys


def _count(path: Path) -> tuple[I64, I64]:
    """For files without usable times: frames in the order in which the decoder gives them, all in one group."""
    count = 0
    with opened(path) as (container, stream):
        for packet in container.demux(stream):
            try:
                count += len(packet.decode())
            except av.FFmpegError:
                count += 1  # it holds a frame, though nobody can read it
    return np.arange(count, dtype=np.int64), np.zeros(1, np.int64)


def _trial(path: Path) -> tuple[int, bool]:
    """Of the first frames: clockwise degrees by which they want to be turned, and whether their times ascend.

    They do not in AVI, which notes when a frame is decoded, not when it is shown.
    """
    rotation: int | None = None
    times: list[int] = []
    with opened(path) as (container, stream):
        for packet in islice(container.demux(stream), MAX_DELAY + MIN_GROUP):
            with suppress(av.FFmpegError):
                for frame in packet.decode():
                    rotation = -round(frame.rotation / 90) * 90 % 360 if rotation is None else rotation
                    times.append(frame.pts if frame.pts is not None else -1)
    if rotation is None:
        raise BadVideo(path.name, f"not one of its first {MAX_DELAY + MIN_GROUP} frames can be decoded")
    return rotation, times == sorted(times)


def _describe(
    container: InputContainer, stream: VideoStream, packets: _Packets, positions: I64, keys: I64, rotation: int
) -> VideoInfo:
    context, time_base = stream.codec_context, stream.time_base or Fraction(1, 25)
    width, height = (context.width, context.height) if rotation % 180 == 0 else (context.height, context.width)
    colors = Colors(context.color_primaries, context.color_trc, context.colorspace, context.color_range)
    frames = int((positions >= 0).sum())
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    return VideoInfo(
        width=width,
        height=height,
        frames=frames,
        look=Look(_rate(stream, packets, time_base), colors, aspect if rotation % 180 == 0 else 1 / aspect),
        has_audio=len(container.streams.audio) > 0,
        rotation=rotation,
        codec=context.name,
        pix_fmt=context.pix_fmt or "unknown",
        time_base=time_base,
        groups=_groups(positions, keys, frames),
    )


def _groups(positions: I64, keys: I64, frames: int) -> tuple[tuple[int, int], ...]:
    starts = [0]
    for start in positions[keys[1:]].tolist():
        if start - starts[-1] >= MIN_GROUP and frames > start:
            starts.append(start)
    return tuple((start, end - start) for start, end in zip(starts, [*starts[1:], frames], strict=True))


def _rate(stream: VideoStream, packets: _Packets, time_base: Fraction) -> Fraction:
    """Exact where all frames are equally long, else the mean, or what the container says if that is about the same."""
    steps = np.diff(np.sort(packets.pts[~packets.hidden]))
    said = Fraction(stream.average_rate or stream.guessed_rate or 25)
    if not packets.timed or not steps.size:
        return said
    mean = int(steps.size) / (int(steps.sum()) * time_base)
    if (steps == steps[0]).all():
        return mean
    return said if abs(said / mean - 1) < Fraction(1, 100) else mean.limit_denominator(1001)
