"""What a video holds, found by reading its packets once: frames, their times, and where decoding can begin."""

from collections.abc import Iterator
from contextlib import contextmanager
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
from farm.errors import Rejected

I64: TypeAlias = NDArray[np.int64]

FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,mxf,nut,ivf,gif,h264,hevc,yuv4mpegpipe"
"""Containers that are read. Not playlists and scripts, which name other files and addresses for the reader to open."""

MIN_GROUP = 24
"""Frames that a group has at least, except the last: neighbors are joined, or a clip of key frames alone would make a
task of every frame."""

MAX_DELAY = 64
"""Packets that a decoder may take before it gives its first frame: twice the longest delay of any codec here."""


class BadVideo(Rejected):
    """A file that is no video, or none that can be read."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name} cannot be used as a video: {fault}. Give a file with at least one readable frame, such as MP4, "
            f"MOV, MKV, WebM or AVI with H.264, HEVC, AV1, VP9, ProRes or MPEG-4."
        )


class Colors(NamedTuple):
    """How the numbers of a stream mean colors: code points of ITU-T H.273; 2 (range: 0) is "not said"."""

    primaries: int = 2
    transfer: int = 2
    space: int = 2
    """The matrix between RGB and YUV."""
    range: int = 0
    """1: luma from 16 to 235; 2: from 0 to 255."""


class Look(NamedTuple):
    """What a stream says of all of its frames, and what is said again of the frames made from them."""

    fps: Fraction = Fraction(25)
    colors: Colors = Colors(1, 1, 1, 1)
    """BT.709 for streams that are made of pictures: what players take untagged HD for."""
    aspect: Fraction = Fraction(1)
    """Width of one pixel over its height."""


@dataclass(frozen=True)
class VideoInfo:
    """A video's facts. Sizes are as shown, after the rotation that phones write beside the pixels."""

    width: int
    height: int
    frames: int
    look: Look
    has_audio: bool
    rotation: int
    """Degrees by which decoded frames are turned, clockwise: 0, 90, 180 or 270."""
    codec: str
    pix_fmt: str
    time_base: Fraction
    """Seconds of one unit of `VideoIndex.times`."""
    groups: tuple[tuple[int, int], ...]
    """(position of the first frame from 0, number of frames): runs that are decoded by themselves, without gaps."""

    @property
    def fps(self) -> Fraction:
        """Frames per second; of a variable rate the mean."""
        return self.look.fps

    @property
    def colors(self) -> Colors:
        """Tags of the stream."""
        return self.look.colors


@dataclass(frozen=True)
class VideoIndex:
    """Every packet of the video stream, in the file's order, which is the order of decoding."""

    info: VideoInfo
    pts: I64
    """When each packet's frame is shown, in units of `time_base`; empty where the file has no usable times."""
    positions: I64
    """Each packet's frame, counted from 0 in the order of showing; -1 for frames that are not shown."""
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
    timed: bool


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
        raise BadVideo(path.name, f"reading fails ({error.strerror or error})") from error


def probe(path: Path, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """The facts of a video; frames are counted by their packets, headers are not believed.

    Raises:
        BadVideo: missing, empty, damaged, no moving pictures, or not one frame that can be decoded.
        PictureTooLarge: a frame has more than `max_pixels`.
    """
    info = index_of(path).info
    if info.width * info.height > max_pixels:
        raise PictureTooLarge(info.width, info.height, max_pixels)
    return info


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
    rotation = _turn(path)
    with opened(path) as (container, stream):
        positions, keys = _order(packets) if packets.timed else _count(path)
        return VideoIndex(
            info=_describe(container, stream, packets, positions, keys, rotation),
            pts=packets.pts if packets.timed else packets.pts[:0],
            positions=positions,
            keys=keys,
        )


def _moving_pictures(path: Path, container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a song is no video
            stream.codec_context.thread_count = 1
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise BadVideo(path.name, f"it has no video stream, but {kinds}")


def _scan(container: InputContainer, stream: VideoStream) -> _Packets:
    pts: list[int] = []
    key: list[bool] = []
    hidden: list[bool] = []
    untimed = 0
    for packet in container.demux(stream):
        if packet.size:
            untimed += packet.pts is None
            pts.append(packet.pts or 0)
            key.append(packet.is_keyframe)
            hidden.append(packet.is_discard)
    times = np.array(pts, np.int64)
    return _Packets(
        times, np.array(key, bool), np.array(hidden, bool), not untimed and np.unique(times).size == len(pts)
    )


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
    with opened(path) as (container, stream):
        count = sum(1 for _ in container.decode(stream))
    return np.arange(count, dtype=np.int64), np.zeros(1, np.int64)


def _turn(path: Path) -> int:
    """Clockwise degrees by which the first frame wants to be turned; proves that there is a frame at all."""
    with opened(path) as (container, stream):
        for packet in islice(container.demux(stream), MAX_DELAY * MIN_GROUP):
            try:
                for frame in packet.decode():
                    return -round(frame.rotation / 90) * 90 % 360
            except av.FFmpegError:
                continue
    raise BadVideo(path.name, "not one of its first frames can be decoded")


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
    """Exact where all frames are equally long, else what the container says, else the mean."""
    steps = np.diff(np.sort(packets.pts[~packets.hidden]))
    if packets.timed and steps.size and (steps == steps[0]).all():
        return 1 / (int(steps[0]) * time_base)
    said = stream.average_rate or stream.guessed_rate
    return Fraction(said) if said else Fraction(25)
