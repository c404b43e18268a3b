"""The sound of a video beside new pictures: copied, not encoded again, where MP4 takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from farm.adapters.video_index import opened

if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Any]
    TimedPacket: TypeAlias = tuple[Fraction, int, AnyPacket]

AAC_BITS = 192_000
"""Bits per second of sound that has to be encoded again: transparent for stereo."""

AAC_SAMPLES = 1024
"""Samples of one AAC packet."""

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
"""Samples per second that AAC knows."""


@dataclass(frozen=True)
class Span:
    """From `begin` to `end`, seconds in the source; what is copied begins at 0 in the target."""

    begin: Fraction
    end: Fraction | None
    """None: to the end of the sound, which may outlast the pictures."""

    def has(self, time: float | Fraction) -> bool:
        """Whether sound that begins at `time` belongs to it."""
        return self.begin <= time and self.is_before_end(time)

    def is_before_end(self, time: float | Fraction) -> bool:
        """Whether `time` comes before the end."""
        return self.end is None or time < self.end


@contextmanager
def sound_of(source: Path | None, target: OutputContainer, span: Span) -> Iterator[Iterator[TimedPacket]]:
    """Add every audio stream of `source` to `target`; gives their packets with their times, to be muxed.

    The packet that ends where the span begins is taken along: decoders need it to warm up, and players leave it out.
    Sound that MP4 does not take (WMA, ADPCM and so on) is encoded as AAC.
    """
    if source is None:
        yield iter(())
        return
    with opened(source) as (container, _):
        tracks = [_track(stream, target, span) for stream in container.streams.audio]
        if not tracks:
            yield iter(())
            return
        yield _packets(tracks, container.demux([track.own for track in tracks]))


class _Copy:
    """An audio stream whose packets are taken as they are."""

    def __init__(self, own: AudioStream, target: OutputContainer, span: Span) -> None:
        self.own, self._span = own, span
        self._stream = target.add_stream_from_template(own)

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        if packet.pts is None or not packet.size:
            return
        unit, shift = packet.time_base, round(self._span.begin / packet.time_base)
        if packet.pts + (packet.duration or 0) < shift or not self._span.is_before_end(packet.pts * unit):
            return
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = self._stream
        yield packet


class _Encode:
    """An audio stream that is encoded as AAC, because MP4 has no place for its codec."""

    def __init__(self, own: AudioStream, target: OutputContainer, span: Span) -> None:
        self.own, self._span = own, span
        rate = own.codec_context.sample_rate
        self._stream = target.add_stream("aac", rate if rate in AAC_RATES else 48_000)
        self._stream.codec_context.bit_rate = AAC_BITS
        self._stream.codec_context.layout = "mono" if own.codec_context.layout.nb_channels == 1 else "stereo"
        context = self._stream.codec_context
        self._resampler = AudioResampler("fltp", context.layout, context.sample_rate, AAC_SAMPLES)
        self._samples: int | None = None

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        for frame in self.own.decode(packet):
            if frame.time is not None and self._span.has(frame.time):
                yield from self._give(frame)
        if not packet.size:
            yield from self._give(None)
            yield from self._stream.encode(None)

    def _give(self, frame: AudioFrame | None) -> Iterator[AnyPacket]:
        for part in self._resampler.resample(frame):
            if self._samples is None:
                self._samples = round(((part.time or 0) - self._span.begin) * part.sample_rate)
            # Counted on, not taken over: some containers round their times, and no packet may be earlier than another.
            part.pts, part.time_base = self._samples, Fraction(1, part.sample_rate)
            self._samples += part.samples
            yield from self._stream.encode(part)


def _track(stream: AudioStream, target: OutputContainer, span: Span) -> _Copy | _Encode:
    kind = _Copy if stream.codec_context.name in target.supported_codecs else _Encode
    return kind(stream, target, span)


def _packets(tracks: list[_Copy | _Encode], demuxed: Iterator[AnyPacket]) -> Iterator[TimedPacket]:
    by_stream = {track.own.index: (order, track) for order, track in enumerate(tracks, 1)}
    for packet in demuxed:
        order, track = by_stream[packet.stream.index]
        for taken in track.take(packet):
            yield (taken.pts or 0) * (taken.time_base or Fraction(0)), order, taken
