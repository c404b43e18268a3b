"""Frames of a video, group by group, each exactly once, the same as one decoding from the beginning would give."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

from farm.adapters.pictures import U8
from farm.adapters.video_index import MAX_DELAY, VideoIndex, index_of, opened
from farm.errors import BadFrame, Rejected

if TYPE_CHECKING:
    VideoPacket: TypeAlias = Packet[VideoStream]

MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""H.273 matrix code -> the library's. What is not here, and what is not said, is taken for BT.601."""

EXACT = Interpolation.BICUBIC | Interpolation.BITEXACT
"""ffmpeg's own default between YUV and RGB, without the shortcuts that differ between processors."""

BEGIN_EARLIER = (0, 1, 3)
"""How many key frames before the group decoding begins: farther back only if frames stay missing, since in some
broadcast streams a key frame is no clean beginning."""


def decode_group(path: Path, number: int) -> Iterator[tuple[int, U8]]:
    """The frames of group `number` of `VideoInfo.groups`, in order: (position from 0, `[H, W, 3]` uint8 RGB).

    YUV becomes RGB by the stream's own matrix and range, chroma is repeated, not smoothed: ffmpeg's default way, so
    that masks and pictures made with it fit. A stream that does not say is taken for BT.601 with limited range, as
    ffmpeg does, whatever its size. Transfer curves and primaries are left alone; HDR is not tone-mapped.

    Frames are given up to the first that cannot be read and from the next key frame on: in between they may be wrong,
    being made from it.

    Raises:
        BadFrame: after all readable frames, if one could not be read; it has the first such frame's number, from 1.
        BadVideo: the file cannot be read at all.
    """
    index = index_of(path)
    if not 0 <= number < len(index.info.groups):
        raise Rejected(f"{path.name} has {len(index.info.groups)} groups of pictures; there is no group {number}.")
    start, count = index.info.groups[number]
    wanted = set(range(start, start + count))
    for back in BEGIN_EARLIER:
        run = _Run(index, start, start + count, back)
        for position, pixels in run.frames(path):
            if position in wanted:
                wanted.remove(position)
                yield position, pixels
        if not wanted or run.begin == 0:
            break
    if wanted:
        raise BadFrame(min(wanted) + 1, "the decoder gave no undamaged picture for it")


@dataclass
class _Run:
    """One decoding over the packets that the frames `start` to `end` need."""

    index: VideoIndex
    start: int
    end: int
    back: int
    begin: int = 0
    """First packet."""
    _damaged: dict[int, int] = field(default_factory=dict)
    """Key frame's number -> first packet after it (or itself) that is damaged."""

    def __post_init__(self) -> None:
        if self.index.pts.size:
            shown = self.index.pts[self.index.positions == self.start]
            at = int(np.searchsorted(self.index.pts[self.index.keys], shown[0], side="right")) - 1 - self.back
            self.begin = int(self.index.keys[at]) if at > 0 else 0

    def frames(self, path: Path) -> Iterator[tuple[int, U8]]:
        """What can be decoded, by position; not only the wanted frames."""
        with opened(path) as (container, stream):
            if not self.index.pts.size:
                yield from self._untimed(container, stream)
                return
            last = int(np.flatnonzero((self.index.positions >= 0) & (self.index.positions < self.end))[-1])
            for packet, frame in self._ordered(self._decoded(container, stream, last), last):
                position = int(self.index.positions[packet])
                if self.start <= position < self.end:
                    yield position, to_rgb(frame, self.index.info.rotation)

    def _untimed(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, U8]]:
        position = 0
        with suppress(av.FFmpegError):
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    return
                yield position, to_rgb(frame, self.index.info.rotation)
                position += 1

    def _decoded(
        self, container: InputContainer, stream: VideoStream, last: int
    ) -> Iterator[tuple[int, VideoFrame | None]]:
        """(packet, its frame) as the decoder gives them; (packet, None) for a packet that it could not take."""
        packets = {int(time): packet for packet, time in enumerate(self.index.pts[self.begin : last + 1], self.begin)}
        for number, packet in _from(container, stream, self.index, self.begin):
            if number > last:
                break
            try:
                shown = packet.decode()
            except av.FFmpegError:
                yield number, None
                continue
            yield from ((packets.get(frame.pts, -1), frame) for frame in shown if frame.pts is not None)
        try:
            rest = stream.codec_context.decode(None)
        except av.FFmpegError:
            return
        yield from ((packets.get(frame.pts, -1), frame) for frame in rest if frame.pts is not None)

    def _ordered(self, decoded: Iterator[tuple[int, VideoFrame | None]], last: int) -> Iterator[tuple[int, VideoFrame]]:
        """Undamaged frames, each after it is known that all packets before it were undamaged too."""
        waiting: deque[tuple[int, VideoFrame]] = deque()
        seen: set[int] = set()
        low = self.begin
        for packet, frame in decoded:
            seen.add(packet)
            if frame is None or frame.is_corrupt:
                self._damage(packet)
            else:
                waiting.append((packet, frame))
            while low in seen or (low <= last and self.index.positions[low] < 0):
                seen.discard(low)
                low += 1
            if len(waiting) > MAX_DELAY:
                self._damage(low)  # it was swallowed without a word
                low += 1
            while waiting and waiting[0][0] < low:
                yield from self._sound(waiting.popleft())
        for packet in range(low, last + 1):
            if packet not in seen and self.index.positions[packet] >= 0:
                self._damage(packet)
        for entry in waiting:
            yield from self._sound(entry)

    def _damage(self, packet: int) -> None:
        if packet >= 0:
            owner = self._owner(packet)
            self._damaged[owner] = min(packet, self._damaged.get(owner, packet))

    def _sound(self, entry: tuple[int, VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        # A damaged packet spoils what is decoded after it, up to the next key frame; and the frames that are stored
        # after that key frame but shown before it, which look back.
        packet, owner = entry[0], self._owner(entry[0])
        if packet >= 0 and not any(packet >= first and owner <= spoiled for spoiled, first in self._damaged.items()):
            yield entry

    def _owner(self, packet: int) -> int:
        """The key frame after which, in the order of showing, a packet's frame comes."""
        keys = self.index.keys
        return int(np.searchsorted(self.index.pts[keys], self.index.pts[packet], side="right"))


def to_rgb(frame: VideoFrame, rotation: int = 0) -> U8:
    """`[H, W, 3]` uint8 RGB of a decoded frame, turned clockwise by `rotation` degrees; see `decode_group`."""
    yuv = not frame.format.is_rgb
    full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
    picture = frame.reformat(
        format="rgb24",
        src_colorspace=MATRICES.get(frame.colorspace, Colorspace.ITU601) if yuv else None,
        src_color_range=(ColorRange.JPEG if full else ColorRange.MPEG) if yuv else None,
        interpolation=EXACT,
        threads=1,
    ).to_ndarray()
    pixels: U8 = np.ascontiguousarray(np.rot90(picture, -rotation // 90))
    return pixels


def _from(
    container: InputContainer, stream: VideoStream, index: VideoIndex, begin: int
) -> Iterator[tuple[int, VideoPacket]]:
    """The packets from number `begin` on, numbered."""
    number = 0
    first = _jump(container, stream, index, begin) if begin > 0 else None
    if first is not None:
        yield begin, first
        number = begin + 1
    elif begin > 0:
        container.seek(int(index.pts.min()), stream=stream, backward=True)
    for packet in container.demux(stream):
        if packet.size:
            if number >= begin:
                yield number, packet
            number += 1


def _jump(container: InputContainer, stream: VideoStream, index: VideoIndex, begin: int) -> VideoPacket | None:
    """Packet `begin`, after which the container goes on; None if it cannot be found but by reading all before it.

    Containers jump to about where they are told, and some make up other times after a jump: so everything up to the
    packet is compared with the index.
    """
    for key in (begin, int(index.keys[max(int(np.searchsorted(index.keys, begin)) - 2, 0)])):
        with suppress(av.FFmpegError):
            container.seek(int(index.pts[key]), stream=stream, backward=True)
            number = -1
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                number = number + 1 if number >= 0 else _number(packet, index)
                if not 0 <= number <= begin or _number(packet, index) != number:
                    break
                if number == begin:
                    return packet
    return None


def _number(packet: VideoPacket, index: VideoIndex) -> int:
    """Of a packet in the index; -1 if it is not there."""
    if packet.pts is None:
        return -1
    found = np.flatnonzero((index.pts == packet.pts) & (index.sizes == packet.size))
    return int(found[0]) if found.size else -1
