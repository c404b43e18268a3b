"""`python -m tests.bench.r20k`: a long job on real Redis, S3 and worker processes, around a detailer of known speed.

Prints whether it completes, what submission, memory and each frame cost, beside shorter jobs of the same kind, and the
share of the time that workers spend inside the detailer. Frames are small generated pictures: the farm is measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import redis
import torch

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.state import JOB_ENDED, JobState
from farm.ports import JobStatus
from tests.bench.loads import DISKS, FRAME, Clip, bench_farm, request, start_workers, take_in
from tests.bench.measures import machine, out, table
from tests.bench.unbounded import memory_of_all_at_once
from tests.bench.watch import MB, Watch, ledger_work
from tests.e2e.farm_under_test import FarmUnderTest, until

AHEAD = 2
"""Tasks that a worker of the detailer claims ahead, as one with a GPU does."""
DAY_S = 24 * 3600.0
WARM = 96
"""Frames of a job before all others, in which everything is imported and connected."""


@dataclass(frozen=True)
class Run:
    """One job and what it cost."""

    frames: int
    submit_s: float
    wall_s: float
    status: JobStatus
    watch: Watch
    script_calls: int
    script_s: float
    first_playable_s: float
    """Until the first frames were final without a gap before them."""

    def per_frame(self) -> dict[str, float]:
        """What a frame costs: milliseconds, calls."""
        cpu = self.watch.cpu()
        return {
            "wall ms": 1e3 * self.wall_s / self.frames,
            "worker CPU ms": 1e3 * cpu.get("worker", 0.0) / self.frames,
            "S3 CPU ms": 1e3 * cpu.get("s3", 0.0) / self.frames,
            "Redis CPU ms": 1e3 * cpu.get("redis", 0.0) / self.frames,
            "scripts": self.script_calls / self.frames,
            "script ms": 1e3 * self.script_s / self.frames,
        }


def run(farm: FarmUnderTest, clip: Clip, kind: JobType, part: range, video: bool) -> Run:
    """Submit a job over a part of the clip that no other job has had, by frame numbers, and wait for its end."""
    frames = len(part)
    wanted = request(
        clip,
        kind,
        input={"uri": clip.uri, "frames": f"{part.start}-{part.stop - 1}"},
        outputs=["video"] if video else [],
    )
    with redis.Redis.from_url(farm.redis.url) as client, Watch(farm) as watch:
        calls, seconds = ledger_work(client)
        begin = time.monotonic()
        job = farm.submit(wanted)
        submit_s = time.monotonic() - begin
        playable: list[float] = []

        def ended() -> JobStatus | None:
            status = farm.farm.status(job)
            if status.frames_contiguous and not playable:
                playable.append(time.monotonic() - begin)
            time.sleep(min(1.0, frames / 1000))
            return status if status.state in JOB_ENDED else None

        status = until(f"the job of {frames} frames has ended", ended, DAY_S)
        wall_s = time.monotonic() - begin
        more_calls, more_seconds = ledger_work(client)
    assert status.state is JobState.COMPLETED, farm.faults(job)
    assert status.frames_done == status.frames_contiguous == frames
    return Run(frames, submit_s, wall_s, status, watch, more_calls - calls, more_seconds - seconds, playable[0])


def parts(lengths: Sequence[int]) -> list[range]:
    """Frame numbers, from 1, of jobs of these lengths, one behind the other."""
    starts = [1 + sum(lengths[:number]) for number in range(len(lengths))]
    return [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def tell_costs(runs: Sequence[Run]) -> None:
    """What a frame costs, by length of the job."""
    names = [f"{run.frames:,}" for run in runs]
    costs = [run.per_frame() for run in runs]
    rows = []
    for what, longest in costs[-1].items():
        ratios = [f"{longest / cost[what]:.3f}" if cost[what] else "-" for cost in costs[:-1]]
        rows.append((what, *ratios, *(f"{cost[what]:.3f}" for cost in costs)))
    ratio_names = [f"{names[-1]} to {name}" for name in names[:-1]]
    table("Cost per frame", ("of a frame", *ratio_names, *(f"{name} frames" for name in names)), rows)


def tell_memory(runs: Sequence[Run], without_window: float) -> None:
    """Memory of processes, and of Redis; `without_window` in MB."""
    rows = [
        (kind, f"{last / first:.3f}" if first else "-", f"{first / MB:.1f}", f"{last / MB:.1f}")
        for kind, first, last in runs[-1].watch.growth()
    ]
    title = f"Memory (RSS) of the largest process of each kind over the job of {runs[-1].frames:,} frames"
    table(title, ("process", "last tenth to second", "second tenth MB", "last tenth MB"), rows)
    peaks = [max(run.watch.redis_peak() / MB, 0.001) for run in runs]
    rows = [
        (f"{run.frames:,} frames", f"{peak / without_window:.3f}", f"{peak:.2f}", str(run.watch.queue_peak()))
        for peak, run in zip(peaks, runs, strict=True)
    ]
    rows.append((f"{runs[-1].frames:,} frames, all chunks at once", "1", f"{without_window:.2f}", "not counted"))
    table("Redis beyond an idle farm, at most", ("job", "to all at once", "MB", "messages waiting"), rows)


def tell_times(runs: Sequence[Run], workers: int, sleep: float) -> None:
    """Times, and the share of them that the detailer has."""
    cores = os.cpu_count() or 1
    for one in runs:
        detailer = one.frames * len(DISKS) * sleep
        cpu = sum(one.watch.cpu().values())
        out.print(
            f"{one.frames:,} frames: submit answered in {one.submit_s:.3f} s; the first frames were playable after "
            f"{one.first_playable_s:.1f} s, all after {one.wall_s:.1f} s. Workers were inside the detailer "
            f"{detailer / (workers * one.wall_s):.1%} of that time ({detailer:.0f} s by {workers}); all processes used "
            f"{cpu:.0f} s of {cores} cores' {cores * one.wall_s:.0f} s, which alone takes {cpu / cores:.0f} s."
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.r20k", description=__doc__)
    parser.add_argument("--frames", type=int, default=2000, help="of the longest job; the full load has 20000")
    parser.add_argument("--shorter", type=int, nargs="*", help="frames of the jobs before it; a 100th and a 10th of it")
    parser.add_argument("--workers", type=int, default=8, help="processes with a detailer")
    parser.add_argument("--cpu-workers", type=int, default=2, help="processes for all else; 0: the others do it")
    parser.add_argument("--kind", choices=[kind.value for kind in REPAINTING], default="mask")
    parser.add_argument("--sleep", type=float, default=0.02, help="seconds of the detailer per segment of a frame")
    parser.add_argument("--video", action="store_true", help="encode a video too")
    given = parser.parse_args()
    kind = JobType(given.kind)
    shorter = [given.frames // 100, given.frames // 10] if given.shorter is None else given.shorter
    first, *jobs = parts([WARM, *(max(1, frames) for frames in shorter), given.frames])
    out.print(
        f"{machine(torch.device('cpu'))}\n{kind.value} jobs, frames {FRAME}, {len(DISKS)} segments (two disjoint, one "
        f"over another), detailer {given.sleep:g} s per segment of a frame, {given.workers} workers with a detailer, "
        f"{given.cpu_workers} for all else."
    )
    with bench_farm(fake_seconds=given.sleep, claim_ahead=AHEAD if given.cpu_workers else 0) as farm:
        farm.api()
        begin = time.monotonic()
        clip = take_in(farm, jobs[-1].stop - 1)
        out.print(f"{jobs[-1].stop - 1:,} pictures were made and taken in in {time.monotonic() - begin:.0f} s.")
        start_workers(farm, given.cpu_workers, "cpu", prefix="c")
        start_workers(farm, given.workers, "gpu" if given.cpu_workers else "cpu,gpu")
        run(farm, clip, kind, first, given.video)
        runs = [run(farm, clip, kind, part, given.video) for part in jobs]
        without_window = memory_of_all_at_once(farm, farm.farm.document(runs[-1].status.facts.id)) / MB
    tell_costs(runs)
    tell_memory(runs, without_window)
    tell_times(runs, given.workers, given.sleep)


if __name__ == "__main__":
    main()
