"""What a worker tells of itself, for people: its GPU's memory, its model, how much it has done and how fast."""

from __future__ import annotations

import sys
from collections import deque
from threading import Lock

from farm.ports import Lease
from farm.settings import GIB

LATELY = 20
"""Detail tasks over which the speed is told."""


class WorkerFacts:
    """Counts what this process finishes. Safe for threads."""

    def __init__(self) -> None:
        self._finished = 0
        self._seconds: deque[float] = deque(maxlen=LATELY)
        self._model = ""
        self._lock = Lock()

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


def gpu_memory() -> dict[str, object]:
    """GiB of the GPU that this process uses: all, and what is taken now by anybody. Nothing without one."""
    torch = sys.modules.get("torch")  # a process that has not loaded it has no use for a GPU
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"memory_gib": round(total / GIB, 2), "memory_used_gib": round((total - free) / GIB, 2)}
