"""A worker's loop: claim, run, finish, claim again; one thread keeps the leases alive.

A message of the queue starts it; it returns when nothing is left to claim or its time slice is used up, so that lost,
doubled or late messages do no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from farm.domain.queues import roomier
from farm.domain.state import FREE_OUTCOMES, Outcome
from farm.errors import (
    Canceled,
    DiskFull,
    FarmError,
    LeaseLost,
    OutOfMemory,
    Rejected,
    ToldToEnd,
    Unavailable,
    disk_full,
)
from farm.ports import Ended, Lease, NewTask, Offer
from farm.service.attempts import keep_rest
from farm.service.farm import Farm
from workers import told
from workers.attempt_log import AttemptLogs
from workers.context import StepResult, Task, Tools
from workers.facts import WorkerFacts
from workers.heartbeat import Heartbeat, Pace, raise_for
from workers.pipeline import GpuPipeline
from workers.progress import Progress
from workers.steps.parts import split
from workers.steps.registry import run_step
from workers.watch import Overdue

log = structlog.get_logger()
T = TypeVar("T")

LEFT_TO_OTHERS_S = 0.2
"""Seconds in which others can take a message that a worker which is about to end has passed on."""
OUTAGE_S = 5.0
"""Seconds until a task that met an outage is tried again; that costs it no attempt."""


class Runner:
    """Runs tasks of the given queues in this process, for any number of messages."""

    def __init__(self, worker: str, farm: Farm, tools: Tools, queues: Sequence[str], pace: Pace) -> None:
        self.worker = worker
        self.farm = farm
        self.tools = tools
        self.queues = tuple(queues)
        self.pace = pace
        self.heartbeat = Heartbeat(farm.ledger, pace, self._overdue)
        self.draining = threading.Event()
        """Set when the process was told or asked to end: nothing more is claimed."""
        self.grace_over = threading.Event()
        """Set when it should have ended: what runs is handed back at its next step."""
        self.facts = WorkerFacts()
        self.logs = AttemptLogs(farm.blobs)
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
        if count == 0 and self.draining.is_set():
            # Else it would take its own message again and again, until it ends or may go on.
            time.sleep(LEFT_TO_OTHERS_S)
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
            told.claimed(self.tools.tally, lease)
            log.info("claimed", job=lease.job, task=lease.task, attempt=lease.attempt)
        return lease

    def run(self, lease: Lease) -> int:
        """Run one task from start to end."""
        started = time.monotonic()
        with self.facts.other.at_work():
            result = self.attempt(lease, lambda: run_step(self.task(lease), self.tools))
        if result is not None:
            self.attempt(lease, lambda: self.finished(lease, result, time.monotonic() - started))
        return 1

    def attempt(self, lease: Lease, part: Callable[[], T]) -> T | None:
        """Do a part of a task; where it fails the attempt has ended, reported, and None is returned."""
        self.heartbeat.watch.begin(lease)
        with self.logs.of(lease):
            try:
                self.heartbeat.check(lease)
                return part()
            except FarmError as error:
                self.failed(lease, error)
            except Exception as error:  # noqa: BLE001 - the one place where an unforeseen error becomes an attempt's end
                self.failed(lease, error)
            finally:
                self.heartbeat.watch.end(lease)
        return None

    def hand_back(self) -> None:
        """Give all tasks to others now, at no cost of theirs, whatever runs here: the process is about to end."""
        for lease in self.heartbeat.held():
            self.heartbeat.give_up(lease)
            self._report(lease, Outcome.INTERRUPTED, "Its worker was told to end.", None)

    def _overdue(self, found: Overdue) -> None:
        """A task takes too long: another worker may have it, whatever becomes of it here."""
        log.error("overdue", job=found.lease.job, task=found.lease.task, outcome=found.outcome.value)
        fault = Unavailable(found.error)
        self._report(found.lease, found.outcome, found.error, float(self.pace.backoff), fault)

    def task(self, lease: Lease) -> Task:
        """A lease as a step sees it."""

        report = Progress(lambda step, steps: raise_for(self.farm.ledger.progress(lease, step, steps), lease))

        def progress(step: int, steps: int) -> None:
            self.heartbeat.check(lease)
            if self.grace_over.is_set():
                raise ToldToEnd(f"Worker {self.worker} was told to end and could not finish in time.")
            if lease.kind == "detail":
                self.heartbeat.watch.moved(lease)
            report(step, steps)

        return Task(
            job=self.farm.document(lease.job),
            id=lease.task,
            kind=lease.kind,
            chunk=lease.chunk,
            progress=progress,
            outputs=lambda tasks: self.farm.ledger.outputs(lease.job, tasks),
            parts=lease.parts,
            amended=lease.amended,
        )

    def finished(self, lease: Lease, result: StepResult, seconds: float) -> None:
        """Commit a task's result; offer what became ready."""
        try:
            ended = self.farm.ledger.finish(lease, result.output, result.tasks, result.frames, seconds)
        finally:
            # Also where nobody heard of it: then the lease must run out, not be kept alive for ever.
            self.heartbeat.release(lease)
        log.info("finished", job=lease.job, task=lease.task, seconds=round(seconds, 3), accepted=ended.accepted)
        self.logs.close(lease, Outcome.OK)
        told.ended_well(self.tools.tally, lease, seconds, result.frames, ended.accepted)
        self._follow(lease, ended)
        self.facts.count(lease, seconds, self.farm.document(lease.job).model.name)

    def failed(self, lease: Lease, error: BaseException) -> None:
        """Report how an attempt ended badly."""
        error = disk_full(error) or error
        outcome, again = judge(error)
        # Where it comes from matters of what nobody foresaw; the rest says so itself.
        raised = {} if isinstance(error, FarmError) else {"exc_info": error}
        log.warning("attempt_ended", job=lease.job, task=lease.task, outcome=outcome.value, error=repr(error), **raised)
        text = str(error) if isinstance(error, FarmError) else f"{type(error).__name__}: {error}"
        text = f"{self._where(lease)}{text}"
        self.heartbeat.release(lease)
        if outcome is Outcome.SUPERSEDED:
            self.logs.close(lease, outcome)
            told.ended_badly(self.tools.tally, lease, outcome, None)
            return
        delay = self._delay(lease, error) if again else None
        self._report(lease, outcome, text, delay, error)

    def _report(
        self, lease: Lease, outcome: Outcome, text: str, retry_in_s: float | None, error: BaseException | None = None
    ) -> None:
        try:
            queue = self._roomier(lease) if outcome is Outcome.OOM else ""
            parts = () if queue or error is None else self._parts(lease, outcome, error)
            ended = self.farm.ledger.fail(lease, outcome, text, retry_in_s, queue, parts)
        except Unavailable as unreachable:
            # Nobody hears of it now; the lease runs out and the task goes to another worker.
            log.error("attempt_end_not_reported", job=lease.job, task=lease.task, error=str(unreachable))
            return
        finally:
            # After the ledger has heard: the lease is not renewed any more.
            self.logs.close(lease, outcome)
        told.ended_badly(self.tools.tally, lease, outcome, ended.task_state)
        self._follow(lease, ended)

    def _parts(self, lease: Lease, outcome: Outcome, error: BaseException) -> tuple[NewTask, ...]:
        """What a batch is split into, if it is now; it is tried as a whole where the store cannot be asked.

        Where memory is short the engine has made smaller calls already.
        """
        if outcome in FREE_OUTCOMES or outcome in (Outcome.CANCELED, Outcome.OOM):
            return ()
        try:
            return split(lease, self.tools, error)
        except FarmError as fault:
            log.warning("not_split", job=lease.job, task=lease.task, error=str(fault))
            return ()

    def _where(self, lease: Lease) -> str:
        """Which crop a part of a batch is, for people."""
        if lease.kind != "detail" or lease.task.count(".") < 3:
            return ""
        with suppress(FarmError):
            plan = self.tools.plan(lease.job, lease.chunk)
            part = plan.part(lease.task)
            numbers = {frame.position: frame.number for frame in plan.frames}
            return f"Frame {numbers[part.crops[0].frame]}, segment {part.source!r}: "
        return ""

    def _roomier(self, lease: Lease) -> str:
        """The queue of workers with more memory, if there are any."""
        others = (worker.queues for worker in self.farm.ledger.workers())
        queue = roomier(self.queues, others) if lease.kind == "detail" else ""
        if queue:
            log.info("moved_to_more_memory", job=lease.job, task=lease.task, queue=queue)
        return queue

    def _delay(self, lease: Lease, error: BaseException) -> float | None:
        if isinstance(error, ToldToEnd):
            return None
        if judge(error)[0] is Outcome.INTERRUPTED:
            return OUTAGE_S
        return float(self.pace.backoff * 2 ** (lease.attempt - 1))

    def _follow(self, lease: Lease, ended: Ended) -> None:
        """Offer what became ready, let the next chunk in; the sweeper does what cannot be done now."""
        try:
            self.farm.offer(ended.offers)
            if ended.job_ended:
                keep_rest(lease.job, self.farm.ledger, self.farm.blobs)
            elif ended.chunk_ended:
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
    if isinstance(error, DiskFull):
        return Outcome.ERROR, True  # this machine's fault: another worker, and in the end none of its tasks
    if isinstance(error, Unavailable):
        return Outcome.INTERRUPTED, True  # the store's or Redis's fault: minutes of outage cost no attempt
    return Outcome.ERROR, not isinstance(error, Rejected)
