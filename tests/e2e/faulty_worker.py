"""`python -m tests.e2e.faulty_worker NAME FAULT`: a worker with one fault, for the farm to bear.

Faults: `offers-tripled`, `offers-dropped` (every second one), `finished-twice`; or a point at which it kills itself:
`claimed`, `sampling`, `stored`, `committed` (a detail task, before and after the ledger hears of it), `planned` (after
the ledger has the chunk's tasks, before they are offered), `pasted` and `ended` (before and after the ledger hears that
a chunk is finished).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from itertools import count

from farm.adapters.redis_ledger import RedisLedger
from farm.cli import logs
from farm.ports import Ended, Lease, NewTask, Offer, Queue
from farm.settings import Settings
from workers.process import WorkerProcess

CRASH_POINTS = ("claimed", "sampling", "stored", "committed", "planned", "pasted", "ended")
FAULTS = ("offers-tripled", "offers-dropped", "finished-twice", *CRASH_POINTS)


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
        self._die(lease.kind == "detail" and step == 2, "sampling")
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
    if fault not in FAULTS:
        sys.exit(f"{fault!r} is no fault; there are {', '.join(FAULTS)}")
    logs.configure(logging.INFO)
    settings = Settings.read()
    process = WorkerProcess(settings, ["cpu", "gpu"], name)
    ledger = FaultyLedger(settings.require_redis_url(), patience_s=60.0)
    ledger.fault = fault
    process.runner.farm.ledger = ledger
    process.runner.farm.queue = FaultyQueue(process.runner.farm.queue, fault)
    process.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
