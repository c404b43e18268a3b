"""What monitors ask the ledger on Redis: how much there is to do, and how much was done."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping

from redis.client import Pipeline

from farm.adapters.redis_ledger.connection import Connection
from farm.domain.queues import QUEUES
from farm.ports import QueueLoad


class Counts(ABC):
    """The part of the ledger that says numbers. None of it is a script: the server goes on with others in between."""

    _connection: Connection

    @abstractmethod
    def _key(self, job: str, part: str) -> str:
        """Name of a part of a job."""

    def queues(self) -> tuple[QueueLoad, ...]:
        """How much there is to do, queue by queue."""
        prefix = self._connection.prefix

        def look(pipe: Pipeline) -> None:
            pipe.zrange(f"{prefix}leases", 0, -1)
            for queue in QUEUES:
                pipe.zrange(f"{prefix}queue:{queue}", 0, -1)

        leases, *orders = self._connection.together(look)
        lines = [
            (queue, order.rpartition("|")[2]) for queue, some in zip(QUEUES, orders, strict=True) for order in some
        ]

        def count(pipe: Pipeline) -> None:
            for queue, job in lines:
                pipe.zcard(self._key(job, f"ready:{queue}"))
            for lease in leases:
                job, _, task = lease.partition("/")
                pipe.hget(self._key(job, "rows"), task)

        found = self._connection.together(count) if lines or leases else []
        waiting: Counter[str] = Counter()
        for (queue, _), tasks in zip(lines, found, strict=False):
            waiting[queue] += tasks
        running = Counter(json.loads(row)["queue"] for row in found[len(lines) :] if row)
        return tuple(QueueLoad(queue, waiting[queue], running[queue]) for queue in QUEUES)

    def tally(self, increments: Mapping[str, float]) -> None:
        """Add to the farm's counts."""

        def add(pipe: Pipeline) -> None:
            for name, by in increments.items():
                pipe.hincrbyfloat(self._name, name, by)

        if increments:
            self._connection.together(add)

    def tallied(self) -> dict[str, float]:
        """The farm's counts."""
        found = self._connection.ask(lambda: self._connection.redis.hgetall(self._name))
        return {name: float(value) for name, value in found.items()}

    @property
    def _name(self) -> str:
        return f"{self._connection.prefix}tally"
