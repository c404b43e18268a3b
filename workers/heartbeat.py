"""What keeps a worker's leases alive, and tells of tasks that take too long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farm.errors import Canceled, LeaseLost
from farm.ports import Lease, Ledger
from workers.loops import Loop
from workers.watch import Limits, Overdue, Watch


@dataclass(frozen=True)
class Pace:
    """Times of a worker, in seconds."""

    lease_ttl: float = 15.0
    heartbeat: float = 5.0
    claim_slice: float = 60.0
    """After this long a message's loop claims no more."""
    backoff: float = 2.0
    """Before the second attempt; doubled each time."""
    claim_ahead: int = 0
    """Tasks claimed and loaded while the GPU works. 0 on a CPU, where loading would only slow the engine down and
    another worker had better take the task."""
    limits: Limits = field(default_factory=Limits)


class Heartbeat:
    """Renews this worker's leases from a thread of its own and remembers which were lost or canceled."""

    def __init__(self, ledger: Ledger, pace: Pace, on_overdue: Callable[[Overdue], None]) -> None:
        """
        Args:
            on_overdue: told, in the heartbeat's thread, of a task that takes too long; its lease is given up by then.
        """
        self.watch = Watch(pace.limits)
        self._on_overdue = on_overdue
        self._ledger = ledger
        self._pace = pace
        self._held: dict[str, Lease] = {}
        self._ended: dict[str, str] = {}
        self._lock = threading.Lock()
        self._loop = Loop("heartbeat", self._beat, pace.heartbeat)
        self._loop.start()

    def hold(self, lease: Lease) -> None:
        """Keep a lease alive from now on."""
        with self._lock:
            self._held[lease.fence] = lease

    def release(self, lease: Lease) -> None:
        """Let a lease be."""
        with self._lock:
            self._held.pop(lease.fence, None)
            self._ended.pop(lease.fence, None)

    def held(self) -> tuple[Lease, ...]:
        """Leases that are kept alive now."""
        with self._lock:
            return tuple(self._held.values())

    def give_up(self, lease: Lease) -> None:
        """Let a lease be although its task runs: the next `check` says that it is lost."""
        with self._lock:
            self._held.pop(lease.fence, None)
            self._ended[lease.fence] = "lost"

    def check(self, lease: Lease) -> None:
        """Raises Canceled or LeaseLost if the ledger said so at the last heartbeat."""
        raise_for(self._ended.get(lease.fence, "ok"), lease)

    def stop(self) -> None:
        """End the thread."""
        self._loop.stop(wait_s=self._pace.heartbeat + 1)

    def _beat(self) -> None:
        for found in self.watch.overdue():
            self.give_up(found.lease)
            self._on_overdue(found)
        leases = self.held()
        if leases:
            self._renew(leases)

    def _renew(self, leases: Sequence[Lease]) -> None:
        answers = self._ledger.renew(leases, self._pace.lease_ttl)
        with self._lock:
            self._ended.update({le.fence: a for le, a in zip(leases, answers, strict=True) if a != "ok"})


def raise_for(answer: str, lease: Lease) -> None:
    """Turn a ledger's answer about a lease into the error that stops its task."""
    if answer == "canceled":
        raise Canceled(f"Job {lease.job} was canceled.")
    if answer != "ok":
        raise LeaseLost(f"The lease on {lease.job}/{lease.task} went to another worker.")
