"""`python -m tests.bench.api_latency`: how fast is `GET /jobs/{id}`, asked 100 times a second, while a long job runs?

Requests leave at fixed times, whether the one before was answered or not, and are timed from when they were due: an
answer that comes late makes those behind it late too. Beside it the same on the same farm while nothing runs.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import torch

from farm.domain.state import JOB_ENDED
from tests.bench.loads import FRAME, bench_farm, request, start_workers, take_in
from tests.bench.measures import machine, out, table
from tests.bench.watch import use_of
from tests.e2e.farm_under_test import until

CALLERS = 16
"""Connections that share the requests."""


def latencies(url: str, rate: float, seconds: float) -> list[float]:
    """Seconds that each request took from the time that it was due; `rate` per second."""
    local = threading.local()
    begin = time.perf_counter() + 0.2

    def ask(number: int) -> float:
        if not hasattr(local, "client"):
            local.client = httpx.Client(timeout=60.0)
        due = begin + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        local.client.get(url).raise_for_status()
        return time.perf_counter() - due

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(ask, range(round(rate * seconds))))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api_latency", description=__doc__)
    parser.add_argument("--frames", type=int, default=1600, help="of the job; the full load has 20000")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=15.0, help="time of each measurement")
    parser.add_argument("--sleep", type=float, default=0.05, help="seconds of the detailer per segment of a frame")
    given = parser.parse_args()
    with bench_farm(fake_seconds=given.sleep) as farm:
        clip = take_in(farm, given.frames)
        farm.api()
        api = farm.processes[-1].pid
        job = farm.submit(request(clip))
        url = f"{farm.api_url}/api/v1/jobs/{job}"
        latencies(url, given.rate, 2.0)
        begin = use_of([api]).cpu
        idle = latencies(url, given.rate, given.seconds)
        idle_cpu = use_of([api]).cpu - begin
        start_workers(farm, given.workers, "cpu,gpu")
        until("the job is under way", lambda: farm.farm.status(job).frames_done > 0, 600.0)
        begin = use_of([api]).cpu
        busy = latencies(url, given.rate, given.seconds)
        busy_cpu = use_of([api]).cpu - begin
        status = farm.farm.status(job)
    assert status.state not in JOB_ENDED, "the job ended too soon: give it more frames"
    out.print(
        f"{machine(torch.device('cpu'))}\nA job of {given.frames:,} frames, {FRAME}, {given.workers} workers; "
        f"{status.frames_done:,} frames were done at the end. {given.rate:g} requests/s for {given.seconds:g} s."
    )
    rows = []
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        quiet, loud = quantile(idle, share), quantile(busy, share)
        rows.append((name, f"{loud / quiet:.2f}", f"{1e3 * quiet:.1f}", f"{1e3 * loud:.1f}"))
    costs = [1e3 * cpu / len(idle) for cpu in (idle_cpu, busy_cpu)]
    rows.append(("CPU of the API, each", f"{costs[1] / costs[0]:.2f}", f"{costs[0]:.1f}", f"{costs[1]:.1f}"))
    table("GET /jobs/{id}", ("of the requests", "busy to idle", "idle farm ms", "job running ms"), rows)


if __name__ == "__main__":
    main()
