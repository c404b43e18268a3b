"""What a step says of its progress, passed on to the ledger now and then: Redis need not hear all of it."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 0.2
"""Seconds between two reports, whose answer says that a job was canceled. A sampler step on a GPU takes about as long,
a frame of a paste a tenth of it."""


class Progress:
    """`progress(step, steps)`: the first is reported, the last one, and one every `every_s` seconds."""

    def __init__(
        self,
        report: Callable[[int, int], None],
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            report: takes step and steps; what it raises goes through.
            clock: seconds.
        """
        self._report = report
        self._every_s = every_s
        self._clock = clock
        self._next = float("-inf")

    def __call__(self, step: int, steps: int) -> None:
        """Report, if it is time. Raises what `report` raises."""
        if step < steps and self._clock() < self._next:
            return
        self._report(step, steps)
        self._next = self._clock() + self._every_s
