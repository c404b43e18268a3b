"""What the loss of a worker costs: figures for tests and for people."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

from farm.domain.job import Job
from farm.domain.plan import Plan
from farm.ports import Blobs, JobStatus, TaskStatus
from tests.e2e.farm_under_test import FarmUnderTest, Process, until


@dataclass(frozen=True)
class Loss:
    """A worker that vanished while it ran a task."""

    task: str
    step: int
    """Sampler steps that were done when it vanished."""
    seconds: float
    """Until another worker had taken the task."""
    status: JobStatus
    """The job, when it had ended."""
    steps_needed: int

    @property
    def done_twice(self) -> float:
        """Share of all sampler steps that were done more than once."""
        return self.status.steps_done / self.steps_needed - 1


def steps_needed(blobs: Blobs, job: Job) -> int:
    """Sampler steps of a job whose tasks all run once."""
    plans = [Plan.model_validate_json(blobs.get(name)) for name in blobs.list(f"jobs/{job.id}/plans/")]
    sources = {source.name: source.detailer for source in job.sources}
    return sum(sources[task.source].steps * sources[task.source].cycle for plan in plans for task in plan.tasks)


def lose_a_worker(farm: FarmUnderTest, job: str, victim: Process, number: signal.Signals) -> Loss:
    """Send a signal to a worker while it samples, wait until another has its task and the job has ended."""
    before = farm.active(job, worker=victim.name)
    victim.signal(number)
    lost_at = time.monotonic()

    def taken() -> TaskStatus | None:
        now = farm.farm.task(job, before.id)
        return now if now.worker not in ("", victim.name) else None

    until(f"another worker has {before.id}", taken)
    seconds = time.monotonic() - lost_at
    status = farm.wait(job)
    return Loss(before.id, before.step, seconds, status, steps_needed(farm.blobs, farm.farm.document(job)))
