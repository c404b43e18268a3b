"""A worker's loop: claim, run, finish, claim again; one thread keeps the leases alive.

A message of the queue starts it; it returns when nothing is left to claim or its time slice is used up, so that lost,
doubled or late messages do no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from farm.domain.queues import roomier
from farm.domain.state import Outcome
from farm.errors import Canceled, FarmError, LeaseLost, OutOfMemory, Rejected, Unavailable
from farm.ports import Ended, Lease, Ledger, Offer
from farm.service.farm import Farm
from workers.context import StepResult, Task, Tools
from workers.loops import Loop
from workers.pipeline import GpuPipeline
from workers.progress import Progress
from workers.steps.registry import run_step

log = structlog.get_logger()
T = TypeVar("T")

OUTAGE_S = 5.0
"""Seconds until a task that met an outage is tried again; that costs it no attempt."""


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


class Heartbeat:
    """Renews this worker's leases from a thread of its own and remembers which were lost or canceled."""

    def __init__(self, ledger: Ledger, pace: Pace) -> None:
        self._ledger = ledger
        self._pace = pace
        self._held: dict[str, Lease] = {}
        self._ended: dict[str, str] = {}
        self._lock = threading.Lock()
        self._loop = Loop("heartbeat", self._renew, pace.heartbeat)
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

    def check(self, lease: Lease) -> None:
        """Raises Canceled or LeaseLost if the ledger said so at the last heartbeat."""
        raise_for(self._ended.get(lease.fence, "ok"), lease)

    def stop(self) -> None:
        """End the thread."""
        self._loop.stop(wait_s=self._pace.heartbeat + 1)

    def _renew(self) -> None:
        leases = self.held()
        if not leases:
            return
        answers = self._ledger.renew(leases, self._pace.lease_ttl)
        with self._lock:
            self._ended.update({le.fence: a for le, a in zip(leases, answers, strict=True) if a != "ok"})


def raise_for(answer: str, lease: Lease) -> None:
    """Turn a ledger's answer about a lease into the error that stops its task."""
    if answer == "canceled":
        raise Canceled(f"Job {lease.job} was canceled.")
    if answer != "ok":
        raise LeaseLost(f"The lease on {lease.job}/{lease.task} went to another worker.")


class Runner:
    """Runs tasks of the given queues in this process, for any number of messages."""

    def __init__(self, worker: str, farm: Farm, tools: Tools, queues: Sequence[str], pace: Pace) -> None:
        self.worker = worker
        self.farm = farm
        self.tools = tools
        self.queues = tuple(queues)
        self.pace = pace
        self.heartbeat = Heartbeat(farm.ledger, pace)
        self.draining = threading.Event()
        """Set when the process was told to end: nothing more is claimed."""
        self._pipeline = GpuPipeline(self)

    def serve(self, offer: Offer | None) -> int:
        """Claim and run until nothing is ready or the slice is over; the number of tasks that were run.

        After a slice that was used up there may be more: it is offered again, so that who is idle goes on with it.
        """
        until = time.monotonic() + self.pace.claim_slice
        count, lease = 0, None
        while not self.draining.is_set() and (count == 0 or time.monotonic() < until):
            lease = self.claim(offer)
            if lease is None:
                return count
            offer = None
            count += self._pipeline.run(lease, until) if lease.kind == "detail" else self.run(lease)
        left = offer if lease is None else Offer(lease.job, lease.task, lease.kind, lease.queue)
        if left is not None:
            self._offer(left)
        return count

    def look(self) -> None:
        """Have somebody, most likely this worker, look for tasks of its queues: for a worker that was just started,
        since what is ready may have been offered before."""
        self._offer(*(Offer("", "", "detail", queue) for queue in self.queues))

    def _offer(self, *offers: Offer) -> None:
        try:
            self.farm.offer(offers)
        except Unavailable as error:
            log.warning("left_to_the_sweeper", error=str(error))

    def claim(self, prefer: Offer | None = None) -> Lease | None:
        """The best ready task of this worker's queues, kept alive from now on."""
        lease = self.farm.ledger.claim(self.worker, self.queues, prefer, self.pace.lease_ttl)
        if lease is not None:
            self.heartbeat.hold(lease)
            log.info("claimed", job=lease.job, task=lease.task, attempt=lease.attempt)
        return lease

    def run(self, lease: Lease) -> int:
        """Run one task from start to end."""
        started = time.monotonic()
        result = self.attempt(lease, lambda: run_step(self.task(lease), self.tools))
        if result is not None:
            self.attempt(lease, lambda: self.finished(lease, result, time.monotonic() - started))
        return 1

    def attempt(self, lease: Lease, part: Callable[[], T]) -> T | None:
        """Do a part of a task; where it fails the attempt has ended, reported, and None is returned."""
        try:
            self.heartbeat.check(lease)
            return part()
        except FarmError as error:
            self.failed(lease, error)
        except Exception as error:  # noqa: BLE001 - the one place where an unforeseen error becomes an attempt's end
            self.failed(lease, error)
        return None

    def task(self, lease: Lease) -> Task:
        """A lease as a step sees it."""

        report = Progress(lambda step, steps: raise_for(self.farm.ledger.progress(lease, step, steps), lease))

        def progress(step: int, steps: int) -> None:
            self.heartbeat.check(lease)
            report(step, steps)

        return Task(
            job=self.farm.document(lease.job),
            id=lease.task,
            kind=lease.kind,
            chunk=lease.chunk,
            progress=progress,
            outputs=lambda tasks: self.farm.ledger.outputs(lease.job, tasks),
        )

    def finished(self, lease: Lease, result: StepResult, seconds: float) -> None:
        """Commit a task's result; offer what became ready."""
        try:
            ended = self.farm.ledger.finish(lease, result.output, result.tasks, result.frames, seconds)
        finally:
            # Also where nobody heard of it: then the lease must run out, not be kept alive for ever.
            self.heartbeat.release(lease)
        log.info("finished", job=lease.job, task=lease.task, seconds=round(seconds, 3), accepted=ended.accepted)
        self._follow(lease, ended)

    def failed(self, lease: Lease, error: BaseException) -> None:
        """Report how an attempt ended badly."""
        outcome, again = judge(error)
        log.warning("attempt_ended", job=lease.job, task=lease.task, outcome=outcome.value, error=repr(error))
        text = str(error) if isinstance(error, FarmError) else f"{type(error).__name__}: {error}"
        self.heartbeat.release(lease)
        if outcome is Outcome.SUPERSEDED:
            return
        delay = self._delay(lease, error) if again else None
        try:
            queue = self._roomier(lease) if outcome is Outcome.OOM else ""
            ended = self.farm.ledger.fail(lease, outcome, text, delay, queue)
        except Unavailable as unreachable:
            # Nobody hears of it now; the lease runs out and the task goes to another worker.
            log.error("attempt_end_not_reported", job=lease.job, task=lease.task, error=str(unreachable))
            return
        self._follow(lease, ended)

    def _roomier(self, lease: Lease) -> str:
        """The queue of workers with more memory, if there are any."""
        others = (worker.queues for worker in self.farm.ledger.workers())
        queue = roomier(self.queues, others) if lease.kind == "detail" else ""
        if queue:
            log.info("moved_to_more_memory", job=lease.job, task=lease.task, queue=queue)
        return queue

    def _delay(self, lease: Lease, error: BaseException) -> float:
        if judge(error)[0] is Outcome.INTERRUPTED:
            return OUTAGE_S
        return float(self.pace.backoff * 2 ** (lease.attempt - 1))

    def _follow(self, lease: Lease, ended: Ended) -> None:
        """Offer what became ready, let the next chunk in; the sweeper does what cannot be done now."""
        try:
            self.farm.offer(ended.offers)
            if ended.chunk_ended and not ended.job_ended:
                self.farm.advance(lease.job)
        except Unavailable as error:
            log.warning("left_to_the_sweeper", job=lease.job, task=lease.task, error=str(error))


def judge(error: BaseException) -> tuple[Outcome, bool]:
    """How an error ends an attempt, and whether the task is tried again."""
    if isinstance(error, Canceled):
        return Outcome.CANCELED, False
    if isinstance(error, LeaseLost):
        return Outcome.SUPERSEDED, False
    if isinstance(error, OutOfMemory):
        return Outcome.OOM, True
    if isinstance(error, Unavailable):
        return Outcome.INTERRUPTED, True  # the store's or Redis's fault: minutes of outage cost no attempt
    return Outcome.ERROR, not isinstance(error, Rejected)
