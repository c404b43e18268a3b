"""How long tasks may take: a sampler that stands still, a stage that never ends, a worker that was told to end.

Nothing in Python can stop a thread that hangs in a call. So the ledger is told at once, that another worker may have
the task; where the call has not come back a while later, the process ends itself, to be started anew by its keeper.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from farm.domain.state import Outcome
from farm.ports import Lease

SLOWEST_STEPS = 5.0
"""A sampler that has taken its time for one step may take as many times that for another."""
HOPELESS_S = 60.0
"""Seconds after which a stage that was given up, and still runs, costs the process its life."""


@dataclass(frozen=True)
class Limits:
    """Seconds; 0: no limit."""

    stuck: float = 0.0
    """Without a sampler step, once the first one was taken."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Kind of task -> seconds for one stage of it: to load, to compute or to store."""


@dataclass
class _Stage:
    """A stage of a task that runs now."""

    lease: Lease
    began: float
    moved: float | None = None
    """When the last sampler step was told of."""
    slowest: float = 0.0
    """The longest time between two steps."""
    given_up: float | None = None


@dataclass(frozen=True)
class Overdue:
    """A task that takes too long."""

    lease: Lease
    outcome: Outcome
    error: str


class Watch:
    """Which stages run in this process, and since when. Safe for threads."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds of any origin.
        """
        self._limits = limits
        self._clock = clock
        self._stages: dict[str, _Stage] = {}
        self._lock = threading.Lock()

    def begin(self, lease: Lease) -> None:
        """A stage of a task begins."""
        with self._lock:
            self._stages[lease.fence] = _Stage(lease, self._clock())

    def end(self, lease: Lease) -> None:
        """It has ended, well or badly."""
        with self._lock:
            self._stages.pop(lease.fence, None)

    def moved(self, lease: Lease) -> None:
        """The sampler has taken a step."""
        with self._lock:
            stage, now = self._stages.get(lease.fence), self._clock()
            if stage is not None:
                stage.slowest = max(stage.slowest, now - (stage.moved or now))
                stage.moved = now

    def overdue(self) -> list[Overdue]:
        """Tasks that take too long; each is named once."""
        with self._lock:
            now = self._clock()
            stages = [stage for stage in self._stages.values() if stage.given_up is None]
            late = [found for stage in stages if (found := self._late(stage, now)) is not None]
            for found in late:
                self._stages[found.lease.fence].given_up = now
            return late

    def hopeless(self) -> bool:
        """Whether a stage that was given up runs on and on."""
        with self._lock:
            given_up = [stage.given_up for stage in self._stages.values() if stage.given_up is not None]
            return any(self._clock() - since > HOPELESS_S for since in given_up)

    def _late(self, stage: _Stage, now: float) -> Overdue | None:
        allowed = max(self._limits.stuck, SLOWEST_STEPS * stage.slowest)
        if self._limits.stuck and stage.moved is not None and now - stage.moved > allowed:
            return Overdue(
                stage.lease,
                Outcome.STUCK,
                f"The sampler took no step for {now - stage.moved:.0f} s, where {allowed:.0f} s are allowed "
                f"(FARM_STUCK_S). Another worker tries; look at this one's GPU and its log.",
            )
        most = self._limits.stages.get(stage.lease.kind, 0.0)
        if most and now - stage.began > most:
            return Overdue(
                stage.lease,
                Outcome.TIMEOUT,
                f"A stage of this {stage.lease.kind} task took more than {most:.0f} s (FARM_TIMEOUTS). Allow it more "
                f"time, or shorter chunks.",
            )
        return None
