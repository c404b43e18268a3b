"""Frames into video: closed groups of pictures, made apart and in any order, then joined without encoding again."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from farm.adapters.pictures import U8
from farm.adapters.video_decode import EXACT, MATRICES
from farm.adapters.video_facts import BadVideo, Look
from farm.adapters.video_index import index_of, opened
from farm.adapters.video_sound import Span, sound_of
from farm.errors import Rejected

if TYPE_CHECKING:
    TimedPacket: TypeAlias = tuple[Fraction, int, Packet[VideoStream]]

X264 = {
    # Below 18, where differences to the source stop being seen; the PNG frames are the exact result.
    "crf": "16",
    "preset": "veryfast",
    # No frame is stored out of order, so the packets of joined parts need nothing but new times.
    "bf": "0",
    # One thread, or the bytes would depend on the machine.
    "x264-params": "threads=1:lookahead_threads=1:sliced-threads=0:scenecut=0",
}

MP4 = {"movflags": "+faststart", "fflags": "+bitexact"}
"""Headers first, so that a browser can begin at once; no library versions and dates in the bytes."""

GROUP_FRAMES = 10_000
"""Frames between two key frames inside of a part: never reached, a part is one group."""


class NoFrames(Rejected):
    """A video of nothing."""

    def __init__(self) -> None:
        super().__init__("There is no frame to make a video of. Give at least one.")


class PartsDiffer(Rejected):
    """Parts that cannot be played as one video."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was encoded in another way than the parts before it: its size, colors or encoder differ. "
            f"Encode all parts again, by workers with the same version."
        )


def encode_group(frames: Iterable[U8], look: Look, path: Path) -> int:
    """Write frames as one closed group of pictures: H.264 in MP4, the same bytes for the same frames.

    Args:
        frames: `[H, W, 3]` uint8 RGB, all of one size. Even sizes become 4:2:0, odd ones 4:4:4.
        look: how many a second, and what colors the stream says to have; RGB becomes YUV accordingly.
    Returns:
        The number of frames.
    Raises:
        NoFrames: none was given.   Rejected: one has another size, or the encoder refuses the size.
    """
    count = 0
    size: tuple[int, ...] = ()
    with _writing(path) as out:
        stream: VideoStream | None = None
        for pixels in frames:
            if stream is None:
                size, stream = pixels.shape, _encoder(out, look, pixels.shape[1], pixels.shape[0])
            if pixels.shape != size:
                raise Rejected(f"Frame {count} of the group is {_named(pixels.shape)}, the first is {_named(size)}.")
            frame = _to_yuv(pixels, look, stream.pix_fmt or "")
            frame.pts, frame.time_base = count, 1 / look.fps
            out.mux(stream.encode(frame))
            count += 1
        if stream is None:
            raise NoFrames
        out.mux(stream.encode(None))
    return count


def join(parts: Sequence[Path], source: Path | None, out: Path, first: int = 0) -> None:
    """Put parts made by `encode_group` one after the other into one MP4, without encoding again.

    Args:
        parts: in order.
        source: the video that the frames came from: they are shown when its frames are, also at a variable rate, and
            its sound is copied for as long as they last. None: no sound, and the rate of the first part.
        first: position, from 0, of the first frame in `source`.
    Raises:
        NoFrames: no parts.   PartsDiffer.   BadVideo: a part or the source cannot be read.
    """
    if not parts:
        raise NoFrames
    with opened(parts[0]) as (_, template), _writing(out) as target:
        rate = index_of(parts[0]).info.fps
        stream = target.add_stream_from_template(template)
        times = _Times(source, rate, first, sum(map(_frames_of, parts)))
        stream.time_base = times.unit
        stream.codec_context.framerate = rate
        with sound_of(source, target, Span(times.begin, times.end)) as sound:
            pictures = _pictures(parts, template, stream, times)
            for _, _, packet in heapq.merge(pictures, sound, key=lambda entry: entry[:2]):
                target.mux(packet)


class _Times:
    """When each frame of a joined video is shown, in units of `unit` seconds from its beginning."""

    def __init__(self, source: Path | None, rate: Fraction, first: int, count: int) -> None:
        index = index_of(source) if source else None
        known = index.times[first : first + count + 1] if index is not None and index.pts.size else np.zeros(0, int)
        self.unit = index.info.time_base if index is not None and known.size else 1 / rate
        step = 1 / (rate * self.unit)
        times = [int(time) for time in known] or [0]
        while len(times) < count + 1:
            times.append(times[-1] + max(round(step), 1))
        self.starts = [time - times[0] for time in times]
        self.begin = times[0] * self.unit
        """Seconds in the source."""
        self.end = times[count] * self.unit if known.size > count else None
        """Seconds in the source; None: its last frame is among them."""


def _pictures(
    parts: Sequence[Path], template: VideoStream, stream: VideoStream, times: _Times
) -> Iterator[TimedPacket]:
    number = 0
    for part in parts:
        with opened(part) as (container, own):
            if _kind(own) != _kind(template):
                raise PartsDiffer(part.name)
            for packet in container.demux(own):
                if packet.size:
                    packet.stream = stream
                    packet.time_base = times.unit
                    packet.pts = packet.dts = times.starts[number]
                    packet.duration = times.starts[number + 1] - times.starts[number]
                    yield packet.pts * times.unit, 0, packet
                    number += 1


def _frames_of(part: Path) -> int:
    with opened(part) as (container, stream):
        return sum(1 for packet in container.demux(stream) if packet.size)


def _kind(stream: VideoStream) -> tuple[object, ...]:
    context = stream.codec_context
    return context.name, context.width, context.height, context.pix_fmt, bytes(context.extradata or b"")


@contextmanager
def _writing(path: Path) -> Iterator[OutputContainer]:
    part = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(part.absolute()), "w", format="mp4", options=MP4) as out:
            yield out
        part.replace(path)
    except av.FFmpegError as error:
        raise BadVideo(path.name, f"writing it fails ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


def _encoder(out: OutputContainer, look: Look, width: int, height: int) -> VideoStream:
    stream = out.add_stream("libx264", rate=look.fps, options=dict(X264))
    even = width % 2 == 0 and height % 2 == 0
    context = stream.codec_context
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p" if even else "yuv444p"
    context.time_base = 1 / look.fps
    context.gop_size, context.thread_count = GROUP_FRAMES, 1
    context.sample_aspect_ratio = look.aspect
    context.color_primaries, context.color_trc = look.colors.primaries, look.colors.transfer
    # RGB input is said to be no YUV; a stream that is YUV now has to say another matrix, or none.
    context.colorspace = look.colors.space if look.colors.space in MATRICES else 2
    context.color_range = look.colors.range
    return stream


def _to_yuv(pixels: U8, look: Look, pix_fmt: str) -> VideoFrame:
    space = look.colors.space
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format=pix_fmt,
        dst_colorspace=MATRICES.get(space, Colorspace.ITU601),
        dst_color_range=ColorRange.JPEG if look.colors.range == 2 else ColorRange.MPEG,
        interpolation=EXACT,
        threads=1,
    )
    frame.pict_type = 0
    return frame


def _named(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]} px"
