"""What processes and servers use while a benchmark runs, sampled by a thread: memory, CPU time, Redis."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any

import redis

from tests.e2e.farm_under_test import FarmUnderTest

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MB = 1e6


@dataclass(frozen=True)
class Use:
    """What all processes of one kind use at one moment."""

    rss: float
    """Bytes of the largest one."""
    cpu: float
    """Seconds that all of them have used since they were started."""


@dataclass
class Sample:
    """One moment."""

    at: float
    """Seconds, monotonic."""
    kinds: dict[str, Use]
    redis_bytes: int
    queue: int
    """Messages that wait in all queues."""


@dataclass
class Watch:
    """Samples a farm's processes and its Redis every `every_s` seconds, from entry to exit."""

    farm: FarmUnderTest
    every_s: float = 1.0
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._client = redis.Redis.from_url(self.farm.redis.url)

    def __enter__(self) -> Watch:
        self.samples.append(self.look())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.samples.append(self.look())
        self._client.close()

    def look(self) -> Sample:
        """The farm as it is now."""
        found = {kind: use_of(pids) for kind, pids in self._pids().items()}
        memory = self._client.info("memory")
        waiting = sum(int(self._client.llen(f"farm:celery:{name}")) for name in ("cpu", "gpu.0"))
        return Sample(time.monotonic(), found, int(memory["used_memory"]), waiting)

    def _pids(self) -> dict[str, list[int]]:
        kinds: dict[str, list[int]] = {"worker": [], "api": [], "redis": [], "s3": []}
        for process in self.farm.processes:
            if process.alive:
                kinds["api" if process.name == "api" else "worker"].append(process.pid)
        for kind, pid in (("redis", self.farm.redis.pid), ("s3", self.farm.s3.pid)):
            kinds[kind] += [pid] if pid else []
        return {kind: pids for kind, pids in kinds.items() if pids}

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            with suppress(redis.RedisError):
                self.samples.append(self.look())

    def cpu(self) -> dict[str, float]:
        """Seconds that each kind has used from entry to exit."""
        first, last = self.samples[0], self.samples[-1]
        return {kind: use.cpu - first.kinds[kind].cpu for kind, use in last.kinds.items() if kind in first.kinds}

    def tenth(self, number: int) -> list[Sample]:
        """The samples of one tenth of the time, from 1 to 10."""
        begin, end = self.samples[0].at, self.samples[-1].at
        step = (end - begin) / 10
        return [s for s in self.samples if begin + (number - 1) * step <= s.at <= begin + number * step]

    def growth(self) -> list[tuple[str, float, float]]:
        """Kind, mean bytes of its largest process in the second tenth and in the last one."""
        kinds = self.samples[-1].kinds
        return [(kind, _mean(self.tenth(2), kind), _mean(self.tenth(10), kind)) for kind in kinds]

    def redis_peak(self) -> int:
        """Bytes of Redis beyond those at entry, at the most."""
        return max(sample.redis_bytes for sample in self.samples) - self.samples[0].redis_bytes

    def queue_peak(self) -> int:
        """Messages that waited at one time, at the most."""
        return max(sample.queue for sample in self.samples)


def _mean(samples: Sequence[Sample], kind: str) -> float:
    return fmean([sample.kinds[kind].rss for sample in samples if kind in sample.kinds] or [0.0])


def use_of(pids: Sequence[int]) -> Use:
    """What these processes use now."""
    rss, cpu = [0.0], 0.0
    for pid in pids:
        with suppress(OSError):
            rss.append(float(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / TICKS
    return Use(max(rss), cpu)


def ledger_work(client: redis.Redis) -> tuple[int, float]:
    """Calls of the ledger's scripts, and seconds that Redis spent in them, since it was started."""
    scripts: Mapping[str, Any] = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    return int(scripts["calls"]), float(scripts["usec"]) / 1e6
