"""What a task costs that does nothing: claim and finish on the real ledger, beside plain Celery's no-ops on the same
Redis, in the same run: `python -m tests.bench.farm_dispatch`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import torch

from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.servers import EmbeddedRedis
from farm.ports import JobFacts, NewTask
from tests.bench.measures import ROOT, machine, out, table

TASKS = 2000
WORKERS = 4
QUEUE = "gpu.0"
READY_S = 60.0
"""Seconds to wait for a Celery worker."""


def ledger_rate(url: str, threads: int) -> float:
    """Tasks per second that so many workers, each on a connection of its own, claim and finish."""
    ledgers = [RedisLedger(url, prefix=f"bench-{threads}:") for _ in range(threads)]
    facts = JobFacts("job", "bench", "mask", "", "2026", 50, TASKS, 1, 3)
    ledgers[0].create(facts)
    fed = NewTask("patched.0", "barrier", "", 0)
    details = [
        NewTask(f"detail.0.{n}", "detail", QUEUE, 0, "detail:face", key=f"{n:064d}", feeds=("patched.0",))
        for n in range(TASKS)
    ]
    ledgers[0].extend("job", [fed, *details], 1)
    done: list[int] = []

    def work(number: int) -> None:
        count = 0
        while (lease := ledgers[number].claim(f"w{number}", (QUEUE,), None, 15.0)) is not None:
            ledgers[number].finish(lease, "patches/key/digest.zip", seconds=0.0)
            count += 1
        done.append(count)

    seconds = _together(work, threads)
    for ledger in ledgers:
        ledger.close()
    assert sum(done) == TASKS
    return TASKS / seconds


def _together(work: Callable[[int], None], threads: int) -> float:
    begin = time.perf_counter()
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.perf_counter() - begin


def celery_rate(url: str, workers: int) -> float:
    """No-ops per second that so many plain Celery workers take from the broker; sending is not counted."""
    os.environ["BENCH_REDIS_URL"] = url
    from tests.bench.noop import app, nothing

    app.conf.broker_url = url
    with redis.Redis.from_url(url) as client:
        for number in range(TASKS):
            nothing.delay(number)
        assert client.llen("celery") == TASKS
        with _celery_workers(workers):
            begin = _first(client)
            left = TASKS
            while left:
                time.sleep(0.01)
                left = int(client.llen("celery")) + int(client.hlen("unacked"))
            return begin[1] / (time.perf_counter() - begin[0])


def _first(client: redis.Redis) -> tuple[float, int]:
    """When the workers had begun, and how many tasks were left then."""
    deadline = time.perf_counter() + READY_S
    while time.perf_counter() < deadline:
        left = int(client.llen("celery"))
        if left < TASKS:
            return time.perf_counter(), left
        time.sleep(0.005)
    raise RuntimeError("no Celery worker took a task in time")


@contextmanager
def _celery_workers(count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.noop", "worker", "--pool=solo", "--loglevel=ERROR"]
    plain = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    running = [
        subprocess.Popen(
            [*command, *plain, f"--hostname=bench{number}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=60)


def main() -> None:
    """Measure and print."""
    out.print(machine(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            rates = [
                (workers, ledger_rate(server.url, workers), celery_rate(server.url, workers))
                for workers in (1, WORKERS)
            ]
        finally:
            server.stop(grace_s=0)
    rows = [(f"{ours / plain:.2f}x", str(n), f"{ours:.0f}", f"{plain:.0f}") for n, ours, plain in rates]
    title = f"{TASKS} tasks that do nothing; the ledger: claim and finish (threads); Celery: no-ops (solo processes)"
    table(title, ("to Celery", "workers", "ledger tasks/s", "Celery tasks/s"), rows)


if __name__ == "__main__":
    main()
