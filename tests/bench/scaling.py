"""`python -m tests.bench.scaling`: does twice the number of workers do twice the work?

Each chunk costs the detailer a second (`--seconds` for another time). As on a farm with GPUs, workers with a detailer
do nothing else, and load the next chunk while it works; a few others plan and paste. Efficiency is the number of chunks
per second and worker while all workers have something to do: from the end of the first chunks to that of the last but a
few. On a machine with few cores the CPU time that a chunk costs is the limit at last: it is printed beside, and what
the cores allow because of it.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

import torch

from farm.domain.state import JOB_ENDED
from tests.bench.loads import DETAILER, FRAME, Clip, bench_farm, ingest_all, request, start_workers, take_in
from tests.bench.measures import machine, out, table
from tests.bench.watch import Watch
from tests.e2e.farm_under_test import FarmUnderTest, until

PATIENCE_S = 3600.0
AHEAD = 2
"""Tasks that a worker with a detailer claims ahead, as one with a GPU does."""


@dataclass(frozen=True)
class Speed:
    """A job by so many workers."""

    workers: int
    chunk_s: float
    """Seconds that the detailer takes for a chunk."""
    chunks_per_s: float
    """While all workers had something to do."""
    whole_per_s: float
    """From submission to the last chunk."""
    cores: float
    """CPU seconds per second, of all processes and servers."""

    @property
    def efficiency(self) -> float:
        """1: every worker is inside the detailer all the time."""
        return self.chunks_per_s * self.chunk_s / self.workers

    @property
    def allowed(self) -> float:
        """The efficiency at which this machine's cores would do nothing else; a machine of many cores allows 1."""
        cpu = self.cores / self.whole_per_s
        return min(1.0, (os.cpu_count() or 1) / cpu * self.chunk_s / self.workers)


def measure(farm: FarmUnderTest, clip: Clip, workers: int, given: argparse.Namespace) -> Speed:
    """Run `rounds` chunks per worker over frames that were ingested before."""
    rounds, chunk = given.rounds, given.chunk
    chunks = rounds * workers
    frames = {"uri": clip.uri, "frames": f"1-{chunks * chunk}"}
    detailer = DETAILER | {"steps": given.steps}
    wanted = request(clip, prompt=f"{workers} workers", disks=("right",), chunk=chunk, input=frames, detailer=detailer)
    ends: list[tuple[float, int]] = []
    with Watch(farm, every_s=0.5) as watch:
        begin = time.monotonic()
        job = farm.submit(wanted)

        def ended() -> bool:
            status = farm.farm.status(job)
            ends.append((time.monotonic() - begin, status.chunks_done))
            return status.state in JOB_ENDED

        until(f"{workers} workers have done {chunks} chunks", ended, PATIENCE_S)
    first = next(end for end in ends if end[1] >= workers)
    last = next(end for end in ends if end[1] >= chunks - workers)
    whole = next(at for at, done in ends if done == chunks)
    return Speed(
        workers,
        given.seconds,
        (last[1] - first[1]) / (last[0] - first[0]),
        chunks / whole,
        sum(watch.cpu().values()) / (watch.samples[-1].at - watch.samples[0].at),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="the full load has 1 2 4 8 16 32")
    parser.add_argument("--cpu-workers", type=int, default=2, help="processes without a detailer")
    parser.add_argument("--rounds", type=int, default=12, help="chunks per worker, 3 or more")
    parser.add_argument("--chunk", type=int, default=1, help="frames per chunk; the more, the more CPU time it takes")
    parser.add_argument("--seconds", type=float, default=1.0, help="that the detailer takes for a chunk")
    parser.add_argument("--steps", type=int, default=4, help="in which it takes them, and tells of each")
    given = parser.parse_args()
    counts = sorted(given.workers)
    out.print(
        f"{machine(torch.device('cpu'))}\nChunks of {given.chunk} frames, {FRAME}, one segment, {given.seconds:g} s "
        f"in the detailer each, in {given.steps} steps; {given.rounds} chunks per worker; "
        f"{given.cpu_workers} workers for all else."
    )
    speeds: list[Speed] = []
    with bench_farm(fake_seconds=given.seconds / given.chunk, claim_ahead=AHEAD) as farm:
        clip = take_in(farm, counts[-1] * given.rounds * given.chunk)
        ingest_all(farm, clip)
        start_workers(farm, given.cpu_workers, "cpu", prefix="c")
        running = 0
        for count in counts:
            start_workers(farm, count - running, "gpu", prefix=f"w{running}-")
            running = count
            speeds.append(measure(farm, clip, count, given))
    table(
        f"Efficiency: chunks per second and worker, {os.cpu_count()} cores",
        ("workers", "efficiency", "these cores allow", "chunks/s", "with beginning and end", "cores in use"),
        [
            (
                str(s.workers),
                *(f"{share:.3f}" for share in (s.efficiency, s.allowed)),
                *(f"{number:.2f}" for number in (s.chunks_per_s, s.whole_per_s, s.cores)),
            )
            for s in speeds
        ],
    )


if __name__ == "__main__":
    main()
