"""The sweeper: inside every worker that serves the CPU queue, one of them elected, every second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from farm.errors import FarmError
from farm.service.farm import Farm
from farm.service.tally import Tally
from workers import told
from workers.loops import Loop

log = structlog.get_logger()
ELECTION_TURNS = 3
"""Sweeps for which one process is elected; when it dies another takes over after as many."""


class Sweeper:
    """Puts expired leases back, offers anew what nobody took, moves jobs on that were left behind."""

    def __init__(
        self, worker: str, farm: Farm, every_s: float, offer_after_s: float, tally: Tally | None = None
    ) -> None:
        """
        Args:
            every_s: seconds between two sweeps.
            offer_after_s: seconds after which a ready task is offered again.
            tally: where this process counts.
        """
        self._tally = tally or Tally()
        self._worker = worker
        self._farm = farm
        self._every_s = every_s
        self._offer_after_s = offer_after_s
        self._loop = Loop("sweeper", self.sweep, every_s)

    def start(self) -> None:
        """Start sweeping."""
        self._loop.start()

    def stop(self) -> None:
        """End it."""
        self._loop.stop(wait_s=5)

    def sweep(self) -> None:
        """One sweep, if this process is elected."""
        elected = self._farm.ledger.remember("sweeper", self._worker, self._every_s * ELECTION_TURNS)
        if elected != self._worker:
            return
        swept = self._farm.ledger.sweep(self._offer_after_s)
        told.expired(self._tally, len(swept.expired))
        if swept.expired:
            log.warning("leases_expired", tasks=swept.expired)
        self._each("", lambda: self._farm.offer(swept.offers))
        for job in swept.jobs:
            self._each(job, partial(self._farm.advance, job))

    def _each(self, job: str, what: Callable[[], None]) -> None:
        """One part of a sweep; what is wrong with one job must not keep the others waiting."""
        try:
            what()
        except FarmError as error:
            log.warning("sweep_failed", job=job, error=str(error))
