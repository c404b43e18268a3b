"""What a worker counts of its tasks, and how it tells the farm: with its signs of life, never while it works."""

from __future__ import annotations

import structlog

from farm.domain import metrics
from farm.domain.state import Outcome, TaskState
from farm.errors import FarmError
from farm.ports import Lease, Ledger
from farm.service.tally import Tally

log = structlog.get_logger()
AGAIN = frozenset({TaskState.QUEUED, TaskState.SOFT_FAILED, TaskState.DEPEND})
"""States of a task that is tried again, as a whole or in parts."""


def claimed(tally: Tally, lease: Lease) -> None:
    """A task was given to this worker."""
    tally.observe(metrics.WAIT_SECONDS, lease.queue, value=lease.waited_s)


def ended_well(tally: Tally, lease: Lease, seconds: float, frames: int, accepted: bool) -> None:
    """A task was committed, or came too late.

    Args:
        seconds: since it was claimed.   frames: that are final now.
    """
    if not accepted:
        tally.add(metrics.LEASES_LOST, "superseded")
        return
    tally.add(metrics.ATTEMPTS, lease.kind, Outcome.OK.value)
    tally.observe(metrics.TASK_SECONDS, lease.kind, value=seconds)
    if frames:
        tally.add(metrics.FRAMES, by=frames)


def ended_badly(tally: Tally, lease: Lease, outcome: Outcome, state: TaskState | None) -> None:
    """An attempt failed, and left its task in `state`; None: it was another's by then."""
    tally.add(metrics.ATTEMPTS, lease.kind, outcome.value)
    if outcome is Outcome.SUPERSEDED:
        tally.add(metrics.LEASES_LOST, "superseded")
    if state in AGAIN:
        tally.add(metrics.RETRIES, outcome.value)


def expired(tally: Tally, tasks: int) -> None:
    """The sweeper found leases that ran out; their tasks are tried again."""
    if tasks:
        tally.add(metrics.LEASES_LOST, "expired", by=tasks)
        tally.add(metrics.RETRIES, Outcome.LOST.value, by=tasks)


def detailed(tally: Tally, kind: str, crops: int, stages: dict[str, float]) -> None:
    """A detail task was made here.

    Args:
        kind: of its job.   stages: seconds of `load`, `engine` and `store`.
    """
    for stage, seconds in stages.items():
        tally.observe(metrics.STAGE_SECONDS, stage, value=seconds)
    if crops:
        tally.observe(metrics.CROP_SECONDS, kind, value=stages["engine"] / crops, times=crops)


def tell(tally: Tally, ledger: Ledger) -> None:
    """Tell the farm what came new; what cannot be told now is told the next time."""
    new = tally.take()
    try:
        ledger.tally(new)
    except FarmError as error:
        tally.give_back(new)
        log.warning("counts_not_told", error=str(error))
