"""What the ledger would hold if all of a job's chunks were in flight at once: what the window of chunks is for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import redis

from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.servers import EmbeddedRedis
from farm.domain.job import Job
from farm.domain.queues import CPU
from farm.ports import NewTask
from farm.service.advance import media_of
from farm.service.farm import facts
from farm.service.skeleton import chunk_tasks, chunks
from tests.e2e.farm_under_test import FarmUnderTest

PAGE = 100
"""Chunks that are added in one call."""


def memory_of_all_at_once(farm: FarmUnderTest, job: Job) -> int:
    """Bytes that a Redis of its own needs for the job's whole plan. Messages are not counted."""
    media = media_of(job, farm.farm.documents)
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            ledger = RedisLedger(server.url)
            with redis.Redis.from_url(server.url) as client:
                before = int(client.info("memory")["used_memory"])
                ledger.create(facts(job))
                total = chunks(job)
                for first in range(0, total, PAGE):
                    numbers = range(first, min(total, first + PAGE))
                    tasks = [task for number in numbers for task in chunk_tasks(job, number, media)]
                    ledger.extend(job.id, [task for task in tasks if task.kind != "scan"], numbers.stop)
                _plan_all(ledger, job)
                used = int(client.info("memory")["used_memory"]) - before
            ledger.close()
        finally:
            server.stop(grace_s=0)
    return used


def _plan_all(ledger: RedisLedger, job: Job) -> None:
    """End everything that is ready before the details: each plan adds one for each source."""
    while (lease := ledger.claim("bench", (CPU,), None, 3600.0)) is not None:
        tasks = []
        if lease.kind == "plan":
            tasks = [_detail(job, lease.chunk, number) for number in range(len(job.sources))]
        ledger.finish(lease, f"jobs/{job.id}/{lease.kind}s/{lease.chunk:06d}.json", tasks)


def _detail(job: Job, chunk: int, number: int) -> NewTask:
    source = job.sources[number].name
    return NewTask(
        f"detail.{chunk}.{number}",
        "detail",
        job.gpu_queue,
        chunk,
        f"detail:{source}",
        key=f"{chunk:032d}{number:032d}",
        feeds=(f"patched.{chunk}",),
    )
