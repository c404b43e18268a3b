"""Windows over a clip that is longer than the motion module sees, and their fusing (PARITY 7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["standard_static", "standard_uniform", "looped_uniform"]
Fuse = Literal["flat", "pyramid", "relative", "overlap-linear"]
Window = Sequence[int]
"""Positions of frames in the clip, in the order in which the motion module sees them."""


@dataclass(frozen=True)
class Layout:
    """How windows lie over a clip, and what their frames count for where they overlap.

    Raises:
        ValueError: unless 0 <= overlap < length and stride >= 1.
    """

    length: int
    """Frames of a window."""
    overlap: int
    """Frames that neighboring windows share at least, 0 to `length` - 1."""
    schedule: Schedule = "standard_static"
    """`standard_static`: the same windows at every step. `standard_uniform`: they are shifted from step to step, so
    that seams do not stay in their place. `looped_uniform`: the same, and windows run over the clip's end into its
    beginning."""
    stride: int = 1
    """Distances that the uniform schedules have at the most: 1: windows of successive frames; 2: also windows of every
    2nd frame; 3: also of every 4th; and so on."""
    closed_loop: bool = False
    """`looped_uniform`: the clip is played round and round, so its last and its first frame are neighbors: windows of
    successive frames run over the end, too. Otherwise only those of a wider distance do."""
    fuse: Fuse = "pyramid"

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.length or self.stride < 1:
            raise ValueError(f"needs 0 <= overlap < length and stride >= 1: {self}")

    def over(self, frames: int, step: int = 0) -> tuple[Window, ...]:
        """The windows of one step of the sampler.

        Windows begin `length - overlap` of their own frames after each other. The uniform schedules lay them around
        the clip as if it were a ring, from frame `round(frames * v)` on, where v is `step` with its bits reversed
        behind the point: 0, 1/2, 1/4, 3/4, 1/8, ... (halves are rounded to the even number). Where the clip is no
        ring, windows over its end are moved back to end with it, one is added that begins with it, and doubles are
        dropped.

        Distances are 1, 2, 4, ..., `min(stride, ceil(log2(frames / length)) + 1)` of them. Where the clip is no ring,
        a distance at which `length` frames do not fit into it is left out. On a ring, a window that comes around to a
        frame that it holds goes on with the frame after that.

        Args:
            frames: of the clip, 1 or more.
            step: counted from 0.
        Returns:
            Windows of `length` different frames, no two alike; each frame is in at least one, of distance 1. A clip
            that is no longer than a window is one window.
        """
        if self.schedule == "standard_static" or frames <= self.length:
            return windows(frames, self.length, self.overlap)
        shift = round(frames * _bits_reversed(step))
        count = min(self.stride, ((frames - 1) // self.length).bit_length() + 1)
        found: dict[Window, None] = {}
        for distance in (2**power for power in range(count)):
            ring = [(shift + way) % frames for way in range(0, frames, distance * (self.length - self.overlap))]
            if self._is_ring(distance):
                found.update((_around(start, self.length, distance, frames), None) for start in ring)
            else:
                found.update((run, None) for run in _within(ring, self.length, distance, frames))
        return tuple(found)

    def _is_ring(self, distance: int) -> bool:
        """Whether windows of every `distance`-th frame run over the clip's end."""
        return self.schedule == "looped_uniform" and (self.closed_loop or distance > 1)


def windows(frames: int, length: int, overlap: int) -> tuple[range, ...]:
    """Runs of `length` frames that cover `frames`; the last is moved back to end with the clip.

    Args:
        frames, length: 1 or more.
        overlap: frames that neighbors share, below `length`.
    """
    if frames <= length:
        return (range(frames),)
    starts = range(0, frames - length, length - overlap)
    return (*(range(start, start + length) for start in starts), range(frames - length, frames))


def weights(window: Window, frames: int, layout: Layout, device: torch.device | None = None) -> Tensor:
    """What each frame of a window counts for, `[len(window)]` float32, above 0.

    `flat`: 1. `pyramid`: 1, 2, ... up to the middle and down again. `relative`: 1 - |offset from the middle| / half
    the window. `overlap-linear`: 1, and a ramp k / (overlap + 1), k = 1, ..., overlap, over the frames that a neighbor
    has too; none where the clip itself begins or ends with the window and is no ring. Neighbors that share just
    `overlap` frames weigh 1 together in each.

    Args:
        frames: of the clip.
    """
    count = len(window)
    places = torch.arange(count, dtype=torch.float32, device=device)
    to_end = count - 1 - places
    if layout.fuse == "pyramid":
        return torch.minimum(places, to_end) + 1
    if layout.fuse == "relative":
        return 1 - (places - to_end).abs() / count
    result = torch.ones_like(places)
    if layout.fuse == "overlap-linear":
        distance = (window[1] - window[0]) % frames if count > 1 else 1
        ring = layout._is_ring(distance)
        for ramp, free in ((places, window[0] == 0), (to_end, window[-1] == frames - 1)):
            if ring or not free:
                result = torch.minimum(result, (ramp + 1) / (layout.overlap + 1))
    return result


def fused(
    model: Callable[[Window], tuple[Tensor, ...]], runs: Sequence[Window], frames: int, layout: Layout
) -> tuple[Tensor, ...]:
    """Calls `model` for each window and averages what it gives, frame by frame, by weight.

    A frame that one window alone has gets that window's result to the bit, except for `pyramid` over static windows:
    there results may be off by a rounding, and are what they have always been. The order of windows changes nothing
    but roundings. Results of one window are held at a time, besides the averages.

    Args:
        model: window -> tensors of `[len(window), ...]`, at least one, all on one device.
        runs: as `Layout.over` gives them, or any that hold all frames between them, each at most once.
        frames: of the clip.
    Returns:
        As many tensors as `model` gives, of `[frames, ...]` float32.
    Raises:
        ValueError: if a frame is in no window.
    """
    if missing := set(range(frames)).difference(*runs):
        raise ValueError(f"frames in no window: {sorted(missing)}")
    if len(runs) == 1 and all(place == frame for place, frame in enumerate(runs[0])):
        return tuple(result.to(torch.float32) for result in model(runs[0]))
    # A sum that is divided at the end and a running mean differ by roundings. The mean is exact where a frame has one
    # window or its windows agree; the sum is how static windows were always fused, and stored results stay equal.
    is_sum = layout.schedule == "standard_static" and layout.fuse in ("flat", "pyramid")
    averages: list[Tensor] = []
    total = torch.zeros(frames)
    for run in runs:
        results = model(run)
        if not averages:
            averages = [result.new_zeros((frames, *result.shape[1:]), dtype=torch.float32) for result in results]
            total = total.to(results[0].device)
        at, weight = _index(run, total.device), weights(run, frames, layout, total.device)
        total[at] += weight
        share = weight / total[at]
        for average, result in zip(averages, results, strict=True):
            if is_sum:
                average[at] += result * _per_frame(weight, result)
            else:
                average[at] += (result - average[at]) * _per_frame(share, result)
    return tuple(average / _per_frame(total, average) if is_sum else average for average in averages)


def picked(rows: Tensor, window: Window) -> Tensor:
    """The rows of a window, `[len(window), ...]`: a view of `rows` where the window is a rising range, else a copy."""
    return rows[_index(window, rows.device)]


def _bits_reversed(step: int) -> float:
    """0, 1/2, 1/4, 3/4, 1/8, ...: the van der Corput sequence of base 2, in [0, 1)."""
    bits = f"{step:b}"
    return math.ldexp(int(bits[::-1], 2), -len(bits))


def _within(ring: Sequence[int], length: int, distance: int, frames: int) -> tuple[range, ...]:
    """Windows from these starts that do not run over the clip's end, besides the clip's first and its last."""
    reach = (length - 1) * distance + 1
    last = frames - reach
    if last < 0:
        return ()
    starts = sorted({0, last, *(start for start in ring if start <= last)})
    return tuple(range(start, start + reach, distance) for start in starts)


def _around(start: int, length: int, distance: int, frames: int) -> Window:
    """The window from this start, over the clip's end if need be."""
    end = start + (length - 1) * distance + 1
    if end <= frames:
        return range(start, end, distance)
    # Every `distance`-th frame of a ring comes back to the first after so many frames. `length` may be more.
    different = frames // math.gcd(frames, distance)
    return tuple((start + place * distance + place // different) % frames for place in range(length))


def _index(window: Window, device: torch.device) -> slice | Tensor:
    if isinstance(window, range) and window.step > 0:
        return slice(window.start, window.stop, window.step)
    return torch.tensor(window, device=device)


def _per_frame(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
