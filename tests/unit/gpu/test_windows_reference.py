"""The rules of windows and of their fusing once more, told frame by frame and in float64, against the real ones."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from workers.gpu.windows import Fuse, Layout, Schedule, Window, fused

FRAMES, LENGTH, OVERLAP = 40, 16, 4
HALVES = {0: 0, 1: 20, 2: 10, 3: 30, 4: 5, 5: 25}
"""Where the windows of a step begin: 40 times 0, 1/2, 1/4, 3/4, 1/8, 5/8."""


def _walk(start: int, distance: int, ring: bool) -> list[int] | None:
    """The frames met on a walk; None if it falls off the clip's end."""
    met: list[int] = []
    frame = start
    while len(met) < LENGTH:
        if frame >= FRAMES and not ring:
            return None
        while frame % FRAMES in met:
            frame += 1
        met.append(frame % FRAMES)
        frame += distance
    return met


def _expected(schedule: Schedule, step: int, distances: list[int], closed: bool) -> set[tuple[int, ...]]:
    found: set[tuple[int, ...]] = set()
    for distance in distances:
        ring = schedule == "looped_uniform" and (closed or distance > 1)
        start, way, stride = HALVES[step], 0, distance * (LENGTH - OVERLAP)
        while way < FRAMES:
            met = _walk((start + way) % FRAMES, distance, ring)
            pushed = (start + way) % FRAMES
            while met is None and pushed > 0:
                pushed -= 1
                met = _walk(pushed, distance, ring)
            if met is not None:
                found.add(tuple(met))
            way += stride
        nearest = min((one[0] for one in found if one[1] - one[0] == distance), default=0)
        if not ring and nearest > 0:
            found.add(tuple(_walk(0, distance, ring) or ()))
    return found


def _weight(window: Window, place: int, fuse: Fuse, ring: bool) -> float:
    before, after = place, len(window) - 1 - place
    if fuse == "pyramid":
        return 1.0 + min(before, after)
    if fuse == "relative":
        return 1 - abs(place - 7.5) / 8
    weight = 1.0
    if fuse == "overlap-linear" and before < OVERLAP and (ring or window[0] != 0):
        weight = (before + 1) / 5
    if fuse == "overlap-linear" and after < OVERLAP and (ring or window[-1] != FRAMES - 1):
        weight = (after + 1) / 5
    return weight


def _opinion(window: Window) -> Tensor:
    return torch.tensor([[np.sin(3.0 * frame + window[0] + 7.0 * window[1]), float(frame)] for frame in window])


@pytest.mark.parametrize("fuse", get_args(Fuse))
@pytest.mark.parametrize(
    ("schedule", "stride", "closed"),
    [
        ("standard_static", 1, False),
        ("standard_uniform", 1, False),
        ("standard_uniform", 3, False),
        ("looped_uniform", 3, False),
        ("looped_uniform", 1, True),
        ("looped_uniform", 3, True),
    ],
)
def test_forty_frames_agree_with_the_rules_told_frame_by_frame(
    schedule: Schedule, stride: int, closed: bool, fuse: Fuse
) -> None:
    layout = Layout(LENGTH, OVERLAP, schedule, stride, closed, fuse)
    for step in HALVES:
        runs = layout.over(FRAMES, step)
        told = 0 if schedule == "standard_static" else step
        assert {tuple(run) for run in runs} == _expected(schedule, told, [1, 2, 4][:stride], closed)
        (result,) = fused(lambda run: (_opinion(run),), runs, FRAMES, layout)
        for frame in range(FRAMES):
            above, below = np.zeros(2), 0.0
            for run in runs:
                if frame in run:
                    place = list(run).index(frame)
                    ring = schedule == "looped_uniform" and (closed or (run[1] - run[0]) % FRAMES > 1)
                    weight = _weight(run, place, fuse, ring)
                    above += weight * _opinion(run)[place].numpy()
                    below += weight
            assert np.allclose(result[frame], above / below, atol=1e-5)
