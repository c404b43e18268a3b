"""What a task costs that does nothing: claim and finish on the real ledger, beside plain Celery's no-ops on the same
Redis, in the same run: `python -m tests.bench.farm_dispatch`."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.servers import EmbeddedRedis
from farm.ports import JobFacts, NewTask
from tests.bench import plain_celery
from tests.bench.measures import machine, out, table

TASKS = 2000
WORKERS = 4
QUEUE = "gpu.0"
WARM = 50
"""Tasks before those that are measured."""


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
    """No-ops per second that so many plain Celery workers are sent and do."""
    with plain_celery.workers(url, workers):
        plain_celery.no_ops(url, WARM)
        return TASKS / plain_celery.no_ops(url, TASKS)


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
