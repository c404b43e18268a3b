"""`python -m tests.bench.two_users`: a long job runs, and somebody else submits a short one. What does it cost whom?

Prints the short job's time beside its time on an idle farm, and the long job's beside its own. All frames were ingested
before, so that only what a job itself needs is measured.
"""

from __future__ import annotations

import argparse
import time

import torch

from tests.bench.loads import FRAME, Clip, bench_farm, ingest_all, request, start_workers, take_in
from tests.bench.measures import machine, out, table
from tests.e2e.farm_under_test import FarmUnderTest, until

PATIENCE_S = 4 * 3600.0
BEGUN = 0.2
"""Share of the long job's frames that are done when the short one is submitted."""


def submit(farm: FarmUnderTest, clip: Clip, user: str, frames: int, prompt: str) -> str:
    """A job of a user over the first frames; another prompt is another job."""
    wanted = request(clip, prompt=prompt, input={"uri": clip.uri, "frames": f"1-{frames}"})
    return farm.farm.submit(wanted, user).facts.id


def seconds(farm: FarmUnderTest, job: str) -> float:
    """From now to the job's end."""
    begin = time.monotonic()
    farm.wait(job, timeout_s=PATIENCE_S)
    return time.monotonic() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.two_users", description=__doc__)
    parser.add_argument("--long", type=int, default=1600, help="frames of A's job; the full load has 20000")
    parser.add_argument("--short", type=int, default=160, help="frames of B's job")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--sleep", type=float, default=0.05, help="seconds of the detailer per segment of a frame")
    given = parser.parse_args()
    out.print(
        f"{machine(torch.device('cpu'))}\nA: {given.long:,} frames, B: {given.short:,}, frames {FRAME}, 3 segments, "
        f"detailer {given.sleep:g} s per segment of a frame, {given.workers} workers."
    )
    with bench_farm(fake_seconds=given.sleep) as farm:
        clip = take_in(farm, given.long)
        ingest_all(farm, clip)
        start_workers(farm, given.workers, "cpu,gpu")
        long_alone = seconds(farm, submit(farm, clip, "A", given.long, "A alone"))
        short_alone = seconds(farm, submit(farm, clip, "B", given.short, "B alone"))
        begin = time.monotonic()
        first = submit(farm, clip, "A", given.long, "A with B")
        until("A's job has begun", lambda: farm.farm.status(first).frames_done >= BEGUN * given.long, PATIENCE_S)
        short = seconds(farm, submit(farm, clip, "B", given.short, "B with A"))
        at = farm.farm.status(first).frames_done
        seconds(farm, first)
        long = time.monotonic() - begin
    table(
        f"Two users; A had {at:,} of {given.long:,} frames when B was served",
        ("job", "beside alone", "alone s", "both s"),
        [
            ("B, short", f"{short / short_alone:.2f}", f"{short_alone:.1f}", f"{short:.1f}"),
            ("A, long", f"{long / long_alone:.2f}", f"{long_alone:.1f}", f"{long:.1f}"),
            ("A and B", f"{long / (long_alone + short_alone):.2f}", f"{long_alone + short_alone:.1f}", f"{long:.1f}"),
        ],
    )


if __name__ == "__main__":
    main()
