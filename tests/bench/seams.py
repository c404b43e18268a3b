"""`python -m tests.bench.seams`: what chunks leave of a seam, on the demo clip with the embedded model.

One `animatediff` job over the head, three times: its clip in one piece, in chunks without overlap, and in chunks with
halo and fade as the farm makes them. The figure is the mean absolute change from a frame to the next, inside of the
head's mask, at chunk borders over that everywhere else. The clip moves by itself, at some frames more than at others:
what the soft input changes at the same borders is printed first, and the piece of one chunk tells what the model makes
of that; the last column is a run's figure over that of the one piece. Exit code 1 if with overlap it is above 1.05.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from demo.scene import CALM, PARAMETERS
from farm.adapters.pictures import decode, decode_mask
from farm.detail.spans import Spans, animatediff_spans
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.settings import Settings
from tests.e2e.reference import final_frames
from tests.e2e.shots import MODEL, hand_in
from tests.shows import demo_clip
from tests.shows.pixels import decoded
from tests.shows.stage import say, stage
from workers.local_render import LocalFarm

CHUNK = 12
"""Frames of a core."""
DETAILER: dict[str, object] = {
    "context_length": 8,
    "context_overlap": 2,
    "guide_size": 96,
    "max_size": 128,
    "steps": 4,
    "noise": "independent",
}
"""Besides the demo's parameters: short windows and small crops, for many borders in little time. Each frame has its own
noise, or seams would hide in a pattern that never changes."""
BOUND = 1.05

Frames = dict[str, NDArray[np.float32]]


def _together(start: int, end: int, *_: int) -> Spans:
    return Spans(start, end, end - start)


def _apart(start: int, end: int, length: int, overlap: int, core: int) -> Spans:
    return replace(animatediff_spans(start, end, length, overlap, core), left_halo=0, right_halo=0, window=0)


WAYS: dict[str, Callable[..., Spans]] = {
    "in one piece": _together,
    "chunks without overlap": _apart,
    "chunks with overlap": animatediff_spans,
}


@contextmanager
def divided(way: Callable[..., Spans]) -> Iterator[None]:
    """The clip divided in another way."""
    with patch("farm.service.skeleton.animatediff_spans", way):
        yield


def request(clip: str, mask: str, frames: str) -> JobRequest:
    """The job."""
    asked = {
        "type": JobType.ANIMATEDIFF,
        "input": {"uri": clip, "frames": frames},
        "segments": [{"name": "head", "mask": mask}],
        "detailer": PARAMETERS.model_dump(exclude_unset=True) | DETAILER,
        "model": MODEL,
        "chunk": CHUNK,
        "outputs": (),
    }
    return JobRequest.model_validate(asked)


def changes(frames: Frames, masks: Frames) -> NDArray[np.float64]:
    """Mean absolute change from each frame to the next, in levels, inside of both frames' masks."""
    names = sorted(frames)
    found = []
    for before, after in pairwise(names):
        inside = np.maximum(masks[before], masks[after]) > 0
        found.append(np.abs(frames[after] - frames[before])[inside].mean(dtype=np.float64))
    return np.array(found)


def ratio(found: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean at borders, everywhere else, and the one over the other."""
    border = np.arange(1, len(found) + 1) % CHUNK == 0
    at, elsewhere = float(found[border].mean()), float(found[~border].mean())
    return at, elsewhere, at / elsewhere


def main(count: int) -> int:
    """Print the table; 0 if overlap does what is promised."""
    last = CALM + count - 1
    shot = demo_clip.shot()
    pictures = {int(path.stem): path for path in shot.masks["head"].iterdir()}
    masks = {f"{n:06d}.png": decode_mask(pictures[n].read_bytes()) for n in range(CALM, last + 1)}
    soft = {name: pixels.astype(np.float32) for name, pixels in decoded(CALM, count).items()}
    say(f"frames {CALM} to {last}, {(count - 1) // CHUNK} borders between chunks of {CHUNK} frames; levels of 255")
    row = "{:24} at borders {:5.2f}, elsewhere {:5.2f}, ratio {:.3f}".format
    say(row("the soft input", *ratio(changes(soft, masks))))
    found: dict[str, float] = {}
    with stage() as here:
        for name, way in WAYS.items():
            started = time.monotonic()
            local = LocalFarm(here.new("store"), Settings.read(**demo_clip.ENGINE))
            handed = hand_in(shot, local)
            with divided(way):
                status = local.run(request(handed.clip, handed.masks["head"], f"{CALM}-{last}"))
            assert status.state is JobState.COMPLETED, status
            made = final_frames(local.blobs, status.facts.id)
            local.close()
            moved = changes({n: decode(data).astype(np.float32) for n, data in made.items()}, masks)
            at, elsewhere, found[name] = ratio(moved)
            over, seconds = found[name] / found["in one piece"], time.monotonic() - started
            say(f"{row(name, at, elsewhere, found[name])}, {over:.3f} of one piece's; {seconds:.0f} s")
    fine = found["chunks with overlap"] / found["in one piece"] <= BOUND
    say("as promised" if fine else "NOT AS PROMISED")
    return 0 if fine else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.seams", description=__doc__)
    parser.add_argument("--frames", type=int, default=40, help=f"how many, from {CALM} on; {CHUNK + 1} to 73")
    sys.exit(main(parser.parse_args().frames))
