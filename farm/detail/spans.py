"""Cover a range of frames with chunks: arithmetic on positions, never a list over the clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

MASK_CHUNK = 16
"""Frames of a chunk in which every frame stands by itself."""
ANIMATEDIFF_CORE = 48
"""Frames that a chunk of an `animatediff` job delivers, rounded up to whole strides."""


@dataclass(frozen=True)
class Chunk:
    """A run of frames that is detailed together. Positions in the clip, half-open; the core lies in the run."""

    index: int
    core_start: int
    core_end: int
    """The core: what this chunk delivers. Cores cover the range, each frame once."""
    run_start: int
    run_end: int
    """The run: core and halo; all of it is sampled."""


@dataclass(frozen=True)
class Spans:
    """How the range `[start, end)` of a clip is divided. Every question is answered in constant time."""

    start: int
    end: int
    core: int
    """Frames per chunk, the last one may have fewer."""
    left_halo: int = 0
    right_halo: int = 0
    window: int = 0
    """Frames that a run has at least, if there are so many."""
    stride: int = 0
    """By which a run that is too short begins earlier."""

    @property
    def count(self) -> int:
        """Number of chunks."""
        return -(-max(0, self.end - self.start) // self.core)

    def chunk(self, index: int) -> Chunk:
        """Chunk number `index`, from 0; IndexError if there is none."""
        if not 0 <= index < self.count:
            raise IndexError(f"chunk {index} of {self.count}")
        first = self.start + index * self.core
        last = min(first + self.core, self.end)
        run_end = min(self.end, last + self.right_halo)
        run_start = first - self.left_halo
        # The clip's last window is moved back to end with it. Over a last core of few frames it begins before the halo.
        if run_end - run_start < self.window:
            run_start -= self.stride
        return Chunk(index, first, last, max(self.start, run_start), run_end)

    def frames(self, index: int) -> int:
        """Frames that chunk number `index` delivers; IndexError if there is no such chunk."""
        chunk = self.chunk(index)
        return chunk.core_end - chunk.core_start

    def owner(self, frame: int) -> int:
        """Index of the chunk that delivers the frame at position `frame`; IndexError if it is outside the range."""
        if not self.start <= frame < self.end:
            raise IndexError(f"frame {frame} is not in [{self.start}, {self.end})")
        return (frame - self.start) // self.core


def mask_spans(start: int, end: int, size: int = MASK_CHUNK) -> Spans:
    """Chunks of a `mask` job over the frames `[start, end)`: `size` frames each, no halo."""
    return Spans(start, end, size)


def animatediff_spans(
    start: int, end: int, context_length: int = 16, context_overlap: int = 4, core: int = ANIMATEDIFF_CORE
) -> Spans:
    """Chunks of an `animatediff` job over the frames `[start, end)`.

    Cores begin at whole strides of the motion module's windows and runs reach far enough that the windows over a
    core are those that the whole clip would have: one stride to the left (more if the overlap is longer than that, or
    if the clip ends within a few frames), one stride and the overlap to the right.

    Args:
        context_length: frames that the motion module sees at once.
        context_overlap: frames that neighboring windows share, less than `context_length`.
        core: wanted frames per chunk; rounded up to whole strides, at least two and at least a window.
    Raises:
        ValueError: if the overlap leaves no stride.
    Source:
        Static windows of AnimateDiff-Evolved; halo measured at an eighth of the error of none (PARITY 7).
    """
    stride = context_length - context_overlap
    if stride < 1 or context_overlap < 0:
        raise ValueError(
            f"context_overlap is {context_overlap} and context_length {context_length}; the overlap must be 0 or more "
            f"and smaller than the length."
        )
    # A core as long as a window keeps chunk n + 2 out of the core of chunk n: three takes of a frame at most.
    strides = max(2, -(-max(core, context_length) // stride))
    left_halo = max(1, -(-context_overlap // stride)) * stride
    return Spans(start, end, strides * stride, left_halo, stride + context_overlap, context_length, stride)


def stop_before(chunk: Chunk, unreadable: Iterable[int]) -> Chunk:
    """`chunk` with its halo cut short where the frames at the positions `unreadable` lie in it."""
    start, end = chunk.run_start, chunk.run_end
    for frame in unreadable:
        if start <= frame < chunk.core_start:
            start = frame + 1
        elif chunk.core_end <= frame < end:
            end = frame
    return replace(chunk, run_start=start, run_end=end)


def fade_weights(frame: int, own: Chunk, left: Chunk | None, right: Chunk | None) -> tuple[float, float, float]:
    """How much the left neighbor's take, the own and the right neighbor's count in a frame of the own core.

    Over the frames that two neighboring runs share the weight goes linearly from one to the other.

    Args:
        frame: position, in the core of `own`.
        left, right: the chunks before and after; None where there is none or it has failed.
    Returns:
        left, own, right: each 0 or more, sum 1; 0 for a neighbor whose run does not reach the frame.
    """
    from_left = _progress(frame, own.run_start, left.run_end) if left else 1.0
    to_right = _progress(frame, right.run_start, own.run_end) if right else 0.0
    to_right = min(to_right, from_left)
    return 1 - from_left, from_left - to_right, to_right


def _progress(frame: int, start: int, end: int) -> float:
    """Share of the way through `[start, end)` at the middle of `frame`; 0 before it, 1 behind it."""
    if frame >= end:
        return 1.0
    if frame < start:
        return 0.0
    return (frame - start + 0.5) / (end - start)
