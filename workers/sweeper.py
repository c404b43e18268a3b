"""The sweeper: inside every worker that serves the CPU queue, one of them elected, every second."""

from __future__ import annotations

import threading

import structlog

from farm.errors import FarmError
from farm.service.farm import Farm

log = structlog.get_logger()
ELECTION_TURNS = 3
"""Sweeps for which one process is elected; when it dies another takes over after as many."""


class Sweeper:
    """Puts expired leases back, offers anew what nobody took, moves jobs on that were left behind."""

    def __init__(self, worker: str, farm: Farm, every_s: float, offer_after_s: float) -> None:
        """
        Args:
            every_s: seconds between two sweeps.
            offer_after_s: seconds after which a ready task is offered again.
        """
        self._worker = worker
        self._farm = farm
        self._every_s = every_s
        self._offer_after_s = offer_after_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Start sweeping."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(timeout=5)

    def sweep(self) -> None:
        """One sweep, if this process is elected."""
        elected = self._farm.ledger.remember("sweeper", self._worker, self._every_s * ELECTION_TURNS)
        if elected != self._worker:
            return
        swept = self._farm.ledger.sweep(self._offer_after_s)
        if swept.expired:
            log.warning("leases_expired", tasks=swept.expired)
        self._farm.offer(swept.offers)
        for job in swept.jobs:
            self._farm.advance(job)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.sweep()
            except FarmError as error:
                log.warning("sweep_failed", error=str(error))
