"""A seeded hand that kills, freezes and restarts parts of a farm, one every second or two."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from itertools import count

import redis

from farm.domain.state import JOB_ENDED
from tests.e2e.farm_under_test import FarmUnderTest, Process

CALM_S = (0.5, 2.0)
"""Seconds between two blows: uniform in this range."""
FROZEN_S = (0.5, 6.0)
"""Seconds for which a worker is stopped: shorter or longer than the lease of 3 s."""
GONE_S = (0.0, 3.0)
"""Seconds without Redis."""


class Monkey:
    """Hurts a farm until its jobs have ended. The same seed gives the same blows, though not at the same moments."""

    def __init__(self, farm: FarmUnderTest, seed: int, workers: int, **settings: object) -> None:
        """
        Args:
            workers: that are kept alive.   settings: of all of them.
        """
        self._farm = farm
        self._random = random.Random(seed)
        self._settings = settings
        self._numbers = count()
        self._workers: list[Process] = [self._new() for _ in range(workers)]
        self._frozen: list[tuple[float, Process]] = []
        self.blows: list[str] = []
        """What was done, in order."""

    def run(self, jobs: list[str], blows: int, timeout_s: float) -> None:
        """Strike until the jobs have ended, at most `blows` times; then wait for them in peace."""
        end = time.monotonic() + timeout_s
        while not self._ended(jobs):
            assert time.monotonic() < end, (self.blows, [self._farm.farm.status(job) for job in jobs])
            self._wait(self._random.uniform(*CALM_S))
            if len(self.blows) < blows:
                self._strike()
        self._thaw(everything=True)

    def _strike(self) -> None:
        kinds: list[tuple[int, Callable[[], str]]] = [
            (5, self._kill),
            (3, self._freeze),
            (2, self._end),
            (2, self._restart_redis),
            (1, self._kill_redis),
            (1, self._cut_connections),
            (1, self._kill_store),
        ]
        weights, blows = zip(*kinds, strict=True)
        (blow,) = self._random.choices(blows, weights)
        self.blows.append(blow())

    def _kill(self) -> str:
        victim = self._replaced()
        victim.kill()
        return f"killed {victim.name}"

    def _end(self) -> str:
        victim = self._replaced()
        victim.signal(signal.SIGTERM)
        return f"told {victim.name} to end"

    def _freeze(self) -> str:
        victim = self._random.choice(self._workers)
        seconds = self._random.uniform(*FROZEN_S)
        victim.signal(signal.SIGSTOP)
        self._frozen.append((time.monotonic() + seconds, victim))
        return f"froze {victim.name} for {seconds:.1f} s"

    def _restart_redis(self) -> str:
        return self._without_redis("stopped", 15.0)

    def _kill_redis(self) -> str:
        return self._without_redis("killed", 0.0)

    def _without_redis(self, how: str, grace_s: float) -> str:
        seconds = self._random.uniform(*GONE_S)
        self._farm.redis.stop(grace_s)
        time.sleep(seconds)
        self._farm.redis.start()
        return f"{how} Redis for {seconds:.1f} s"

    def _kill_store(self) -> str:
        grace_s = self._random.choice([0.0, 15.0])
        self._farm.s3.stop(grace_s)
        self._farm.s3.start()
        return f"{'stopped' if grace_s else 'killed'} the store"

    def _cut_connections(self) -> str:
        with redis.Redis.from_url(self._farm.redis.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        return "cut all connections to Redis"

    def _replaced(self) -> Process:
        """A worker that is no longer counted on; another was started in its place."""
        victim = self._workers.pop(self._random.randrange(len(self._workers)))
        self._workers.append(self._new())
        return victim

    def _new(self) -> Process:
        return self._farm.worker(f"w{next(self._numbers)}", "cpu,gpu", **self._settings)

    def _ended(self, jobs: list[str]) -> bool:
        return all(self._farm.farm.status(job).state in JOB_ENDED for job in jobs)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._thaw()
            time.sleep(0.05)

    def _thaw(self, *, everything: bool = False) -> None:
        due = [entry for entry in self._frozen if everything or entry[0] <= time.monotonic()]
        for entry in due:
            entry[1].signal(signal.SIGCONT)
            self._frozen.remove(entry)
