"""`python -m tests.shows.animatediff`: windows beside a plain reference, and chunks beside one uncut run."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from diffusers.utils import logging
from torch import Tensor

from farm.detail.spans import animatediff_spans
from tests.shows.stage import say
from tests.unit.gpu.clip_runs import cores, off_the_plain_reference, rms, sampled, slow_scene, tiny_moving
from workers.gpu.motion_unet import MovingUnet
from workers.gpu.windows import Fuse, Layout, Schedule

LENGTH, OVERLAP, FRAMES = 16, 4, 40
STATIC = [range(16), range(12, 28), range(24, 40)]
WEIGHTS: dict[Fuse, list[float]] = {"flat": [1] * 16, "pyramid": [*range(1, 9), *range(8, 0, -1)]}
SCHEDULES: tuple[Schedule, ...] = ("standard_static", "standard_uniform", "looped_uniform")
LARGEST_DIFFERENCE = 1e-4
"""Between the engine and the reference, of the reference's deviation."""
LONG, CORE = 108, 36
"""Frames of a clip that is cut, and of a chunk's core."""
LEAST_GAIN = 3.0
"""How many times smaller the error of chunks is with a halo than without, at least."""


def main() -> int:
    """Print the figures; 1 if they are not what is claimed."""
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        moving = tiny_moving(Path(folder))
        return _windows(moving) | _chunks(moving)


def _windows(moving: MovingUnet) -> int:
    say(f"{FRAMES} frames through windows of {LENGTH} with an overlap of {OVERLAP}, beside the plain reference")
    worst = 0.0
    for schedule in SCHEDULES:
        for fuse, weights in WEIGHTS.items():
            layout = Layout(LENGTH, OVERLAP, schedule, closed_loop=True, fuse=fuse)
            off = off_the_plain_reference(moving, slow_scene(FRAMES), layout, STATIC, weights)
            worst = max(worst, off)
            say(f"  {schedule:17} {fuse:8} largest difference {off:.1e} of the deviation")
    return int(worst > LARGEST_DIFFERENCE)


def _chunks(moving: MovingUnet) -> int:
    layout, latents = Layout(LENGTH, OVERLAP), slow_scene(LONG)
    spans = animatediff_spans(0, LONG, LENGTH, OVERLAP, core=CORE)
    chunks = [spans.chunk(index) for index in range(spans.count)]
    uncut = sampled(moving, latents, layout)
    say(f"{LONG} frames in {len(chunks)} chunks of {CORE}, each sampled by itself, beside one uncut run")
    errors = {}
    for halo in (False, True):
        off = cores(moving, latents, layout, chunks, halo) - uncut
        errors[halo] = rms(off)
        worst = max(rms(frame) for frame in off)
        what = "with their halos" if halo else "without a halo"
        say(f"  {what:17} rms {_share(rms(off), uncut)}, worst frame {_share(worst, uncut)} of the deviation")
    gain = errors[False] / errors[True]
    say(f"  the halo makes the error {gain:.1f} times smaller")
    return int(gain < LEAST_GAIN)


def _share(value: float, of: Tensor) -> str:
    return f"{value / float(of.std()):.4f}"


if __name__ == "__main__":
    sys.exit(main())
