"""Clips that tests make themselves, of every kind that the outside world sends."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def pictures(count: int, width: int = 64, height: int = 48) -> Iterator[Pixels]:
    """Moving color: each picture differs from all others."""
    y, x = np.mgrid[0:height, 0:width]
    for number in range(count):
        red = (x * 3 + number * 7) % 256
        green = (y * 4 + number * 3) % 256
        blue = ((x - 32 - 20 * np.sin(number / 5)) ** 2 + (y - 24) ** 2 < 90) * 200
        yield np.stack([red, green, blue], axis=-1).astype(np.uint8)


def make_clip(
    path: Path,
    frames: Sequence[Pixels] | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    times: Sequence[int] | None = None,
    unit: Fraction = Fraction(1, 25),
    sound: str = "",
) -> Path:
    """Write a clip; `times` are the frames' in units of `unit`, 0, 1, 2 … if not given; `sound` is an audio codec."""
    shown = list(pictures(90)) if frames is None else frames
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=1 / unit, options=dict(options or {}))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = shown[0].shape[1], shown[0].shape[0], pix_fmt
        stream.codec_context.time_base = unit
        track = out.add_stream(sound, rate=48_000) if sound else None
        if isinstance(track, av.AudioStream):
            track.bit_rate, track.codec_context.layout = 128_000, "stereo"
        for number, pixels in enumerate(shown):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if isinstance(track, av.AudioStream):
            for tone in tones(len(shown) * unit):
                out.mux(track.encode(tone))
            out.mux(track.encode(None))
    return path


def tones(seconds: Fraction) -> Iterator[AudioFrame]:
    """A rising tone in stereo, 48,000 samples a second."""
    samples = np.sin(np.cumsum(np.linspace(0.02, 0.2, int(seconds * 48_000)))).astype(np.float32) / 2
    for start in range(0, samples.size, 1024):
        part = samples[start : start + 1024]
        frame = AudioFrame.from_ndarray(np.stack([part, part]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        yield frame


def sound_packets(path: Path) -> list[tuple[int | None, bytes]]:
    """Time and bytes of every packet of a file's first audio stream."""
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
