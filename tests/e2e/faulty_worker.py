"""`python -m tests.e2e.faulty_worker NAME FAULT`: a worker with one fault, for the farm to bear.

Faults: `offers-tripled`, `offers-dropped` (every second one), `finished-twice`; or a point at which it kills itself:
`claimed`, `sampling`, `stored`, `committed` (a detail task, before and after the ledger hears of it), `planned` (after
the ledger has the chunk's tasks, before they are offered), `pasted` and `ended` (before and after the ledger hears that
a chunk is finished); or an engine that fails: `broken` always, `hanging` after a step, `poison-N` where it sees the
frame at position N.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from farm.adapters.redis_ledger import RedisLedger
from farm.cli import logs
from farm.ports import Ended, Lease, NewTask, Offer, Queue
from farm.settings import Settings
from workers.context import Tools
from workers.gpu.batch import Batch, OnStep
from workers.gpu.fake import FakeEngine
from workers.process import WorkerProcess

CRASH_POINTS = ("claimed", "sampling", "stored", "committed", "planned", "pasted", "ended")
ENGINE_FAULTS = ("broken", "hanging")
FAULTS = ("offers-tripled", "offers-dropped", "finished-twice", *ENGINE_FAULTS, *CRASH_POINTS)
POISON = "poison-"
"""Begins the name of a fault that comes with a frame's position."""


class FaultyEngine(FakeEngine):
    """Fails always, or hangs after a step, or fails where it sees one frame."""

    def __init__(self, seconds_per_crop: float, fault: str) -> None:
        super().__init__(seconds_per_crop)
        self._fault = fault

    def itself(self) -> FaultyEngine:
        """What opens an engine."""
        return self

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """As the fake engine does, or not."""
        if self._fault == "broken":
            raise RuntimeError("the device is gone")
        if self._fault == "hanging":
            on_step(1, 2)
            time.sleep(3600)
        if any(self._fault == f"{POISON}{crop.frame}" for crop in batch.crops):
            raise RuntimeError(f"position {self._fault.removeprefix(POISON)} is poison")
        return super().detail(batch, on_step)


class FaultyQueue:
    """Sends offers three times, or only every second one."""

    def __init__(self, queue: Queue, fault: str) -> None:
        self._queue = queue
        self._fault = fault
        self._sent = count()

    def send(self, offers: Sequence[Offer]) -> None:
        """Send some of them, or all of them too often."""
        if self._fault == "offers-tripled":
            offers = [offer for offer in offers for _ in range(3)]
        elif self._fault == "offers-dropped":
            offers = [offer for offer in offers if next(self._sent) % 2]
        self._queue.send(offers)


class FaultyLedger(RedisLedger):
    """Dies before or after a change, or makes it twice."""

    fault = ""

    def claim(self, worker: str, queues: Sequence[str], prefer: Offer | None, ttl_s: float) -> Lease | None:
        """Claim, and maybe die of it."""
        lease = super().claim(worker, queues, prefer, ttl_s)
        self._die(lease is not None and lease.kind == "detail", "claimed")
        return lease

    def progress(self, lease: Lease, step: int, steps: int) -> str:
        """Tell, and maybe die of it."""
        answer = super().progress(lease, step, steps)
        self._die(lease.kind == "detail" and step >= 2, "sampling")
        return answer

    def finish(
        self, lease: Lease, output: str, tasks: Sequence[NewTask] = (), frames: int = 0, seconds: float = 0.0
    ) -> Ended:
        """Finish, maybe twice, and maybe die before or after."""
        self._die(lease.kind == "detail", "stored")
        self._die(lease.kind == "paste", "pasted")
        ended = super().finish(lease, output, tasks, frames, seconds)
        if self.fault == "finished-twice":
            again = super().finish(lease, output, tasks, frames, seconds)
            assert again.accepted == ended.accepted
        self._die(lease.kind == "detail", "committed")
        self._die(lease.kind == "plan", "planned")
        self._die(lease.kind == "paste", "ended")
        return ended

    def _die(self, here: bool, point: str) -> None:
        if here and self.fault == point:
            os.kill(os.getpid(), signal.SIGKILL)


def main(name: str, fault: str) -> None:
    """Serve all queues until told to end, or dead."""
    if fault not in FAULTS and not fault.startswith(POISON):
        sys.exit(f"{fault!r} is no fault; there are {', '.join(FAULTS)}, {POISON}N")
    logs.configure(logging.INFO)
    settings = Settings.read()
    process = WorkerProcess(settings, ["cpu", "gpu"], name)
    if fault in ENGINE_FAULTS or fault.startswith(POISON):
        engine = FaultyEngine(settings.fake_seconds, fault)
        process.tools = process.runner.tools = Tools(
            process.tools.blobs, settings.cache_folder(), engine.itself, settings.max_pixels
        )
    ledger = FaultyLedger(settings.require_redis_url(), patience_s=60.0)
    ledger.fault = fault
    process.runner.farm.ledger = ledger
    process.runner.farm.queue = FaultyQueue(process.runner.farm.queue, fault)
    process.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
