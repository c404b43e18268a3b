"""Why a job stands still, in words for people: nobody is there, nobody may, or nobody can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farm.domain.job import Job
from farm.domain.queues import CPU
from farm.domain.state import JOB_ENDED, JobState, TaskState
from farm.ports import JobStatus, Ledger, TaskFilter, TaskStatus, WorkerStatus

ENGINE = "engine_version"
"""What a worker says of its engine."""
WAITING = (TaskState.QUEUED, TaskState.SOFT_FAILED)


def notes(status: JobStatus) -> tuple[str, ...]:
    """What is not as it should be of a job that goes on or has ended."""
    found = []
    if status.counts.get(TaskState.EATEN, 0):
        found.append(f"{status.counts[TaskState.EATEN]} tasks were eaten: frames keep the input's pixels there.")
    left_out = status.facts.frames - status.frames_done
    if status.state is JobState.COMPLETED and left_out > 0:
        found.append(f"{left_out} frames are left out, since they cannot be read; the manifest names them.")
    for kind in dict.fromkeys(blocked.kind for blocked in status.blocked):
        workers = ", ".join(blocked.worker for blocked in status.blocked if blocked.kind == kind)
        found.append(f"Blocked for {kind} tasks of this job, each after failing several: {workers}.")
    return tuple(found)


def waiting_reason(status: JobStatus) -> str | None:
    """Why a job stands still, as far as its counts tell, or None if it does not."""
    if status.state is JobState.PAUSED:
        return "It is paused; resume it to go on."
    if status.state is JobState.AWAITING_APPROVAL:
        return (
            f"Its first {status.trial} chunks have ended. Look at their frames; then approve, and the others are made, "
            f"or cancel it."
        )
    if status.state in JOB_ENDED or status.workers_active > 0:
        return None
    if status.counts.get(TaskState.QUEUED, 0):
        return "No worker has taken its tasks yet; `farm workers` lists those that are alive, with their queues."
    if status.counts.get(TaskState.SOFT_FAILED, 0):
        return "A task failed and waits a moment before it is tried again."
    return None


def why_waiting(job: Job, status: JobStatus, ledger: Ledger) -> str | None:
    """Why nothing of a job moves, or will; None if nothing is known against it."""
    waits = any(status.counts.get(state, 0) for state in WAITING)
    if status.state in (JobState.PAUSED, JobState.AWAITING_APPROVAL, *JOB_ENDED) or not waits:
        return None
    if status.workers_active and not status.blocked and not status.counts.get(TaskState.SOFT_FAILED, 0):
        return None
    waiting = ledger.tasks(status.facts.id, TaskFilter(states=WAITING), limit=50)
    kinds = {task.kind: job.gpu_queue if task.kind == "detail" else CPU for task in waiting}
    workers = ledger.workers()
    reasons = (_nobody(job, status, kind, queue, workers) for kind, queue in kinds.items())
    return next((reason for reason in reasons if reason), None) or _last_error(status, waiting)


def _nobody(job: Job, status: JobStatus, kind: str, queue: str, workers: Sequence[WorkerStatus]) -> str | None:
    """Why no worker takes tasks of a kind."""
    all_serving = [worker for worker in workers if queue in worker.queues]
    serving = [worker for worker in all_serving if not worker.leaves]
    if all_serving and not serving:
        return (
            f"All workers that serve the queue {queue}, where its {kind} tasks wait, are draining: "
            f"{', '.join(sorted(worker.id for worker in all_serving))}. Start others with `farm worker`, or let one go "
            f"on: farm worker undrain {all_serving[0].id}"
        )
    if not serving:
        return (
            f"No worker that is alive serves the queue {queue}, where its {kind} tasks wait. Start one with "
            f"`farm worker`; `farm workers` lists those that there are."
        )
    fitting = [worker for worker in serving if worker.info.get(ENGINE, job.engine) == job.engine]
    if kind == "detail" and not fitting:
        theirs = ", ".join(sorted(f"{worker.id} runs {worker.info[ENGINE]}" for worker in serving))
        return (
            f"No worker that serves the queue {queue} runs the engine {job.engine!r} that this job was submitted for: "
            f"{theirs}. Set one FARM_ENGINE for the API and all workers, and run one version of the farm."
        )
    failed: Mapping[str, Sequence[str]] = {b.worker: b.tasks for b in status.blocked if b.kind == kind}
    if all(worker.id in failed for worker in fitting):
        least = min(map(len, failed.values()))
        return (
            f"All workers that could run its {kind} tasks are blocked, since each failed {least} or more of them: "
            f"{', '.join(sorted(failed))}. They are tried all the same, as no other is there. Look at the errors "
            f"(`farm job tasks {job.id}`), mend the cause, then: farm job unblock {job.id}"
        )
    return None


def _last_error(status: JobStatus, waiting: Sequence[TaskStatus]) -> str | None:
    """What a task that waits for its next attempt met at its last."""
    failed = next((task for task in waiting if task.state is TaskState.SOFT_FAILED and task.error), None)
    if failed is None or status.workers_active:
        return None
    return f"{failed.id} waits a moment before it is tried again; the last attempt ended with: {failed.error}"
