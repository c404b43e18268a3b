"""What a worker tells of itself, for people and monitors: its GPU's memory, its model, how much it has done, how fast,
and for how long it was at work."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from farm.ports import Lease
from farm.settings import GIB

LATELY = 20
"""Detail tasks over which the speed is told."""
ENGINE = "engine_busy_s"
"""What a worker says of the seconds in which its engine was at work."""
OTHER = "other_busy_s"
"""The same of all other tasks."""


class Busy:
    """For how long something was done, up to this moment. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds of any origin.
        """
        self._clock = clock
        self._lock = Lock()
        self._past = 0.0
        self._since: float | None = None
        self._depth = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It is done in here; what is done twice at a time counts once."""
        with self._lock:
            self._depth += 1
            self._since = self._clock() if self._since is None else self._since
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if not self._depth and self._since is not None:
                    self._past += self._clock() - self._since
                    self._since = None

    @property
    def seconds(self) -> float:
        """All of it, with what is under way."""
        with self._lock:
            return self._past + (0.0 if self._since is None else self._clock() - self._since)


class WorkerFacts:
    """Counts what this process finishes. Safe for threads."""

    def __init__(self) -> None:
        self._finished = 0
        self._seconds: deque[float] = deque(maxlen=LATELY)
        self._model = ""
        self._lock = Lock()
        self.engine, self.other = Busy(), Busy()

    def count(self, lease: Lease, seconds: float, model: str) -> None:
        """A task that ended well.

        Args:
            seconds: that it took.   model: name of the job's.
        """
        with self._lock:
            self._finished += 1
            if lease.kind == "detail":
                self._seconds.append(seconds)
                self._model = model

    def info(self) -> dict[str, object]:
        """As a worker's sign of life carries it: numbers and names; what is not known is left out."""
        with self._lock:
            told: dict[str, object] = {"finished": self._finished}
            if self._seconds:
                told["seconds_per_task"] = round(sum(self._seconds) / len(self._seconds), 3)
                told["models"] = [self._model]
        return told | gpu_memory()

    def busy(self) -> dict[str, object]:
        """Seconds at work until now, for monitors."""
        return {ENGINE: round(self.engine.seconds, 1), OTHER: round(self.other.seconds, 1)}


def gpu_memory() -> dict[str, object]:
    """GiB of the GPU that this process uses: all, and what is taken now by anybody. Nothing without one."""
    torch = sys.modules.get("torch")  # a process that has not loaded it has no use for a GPU
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"memory_gib": round(total / GIB, 2), "memory_used_gib": round((total - free) / GIB, 2)}
