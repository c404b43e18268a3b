"""Job and task states and the transitions between them: the one place that says what may follow what."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """A job, from submission to its end."""

    QUEUED = "queued"
    ACTIVE = "active"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting-approval"
    CANCEL_REQUESTED = "cancel-requested"
    CANCELED = "canceled"
    FAILED = "failed"
    COMPLETED = "completed"


class TaskState(StrEnum):
    """A task. `depend` waits for others, `soft-failed` waits for its next attempt."""

    DEPEND = "depend"
    QUEUED = "queued"
    ACTIVE = "active"
    SOFT_FAILED = "soft-failed"
    COMPLETED = "completed"
    FAILED = "failed"
    EATEN = "eaten"
    CANCELED = "canceled"


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    ERROR = "error"
    OOM = "oom"
    TIMEOUT = "timeout"
    STUCK = "stuck"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    SUPERSEDED = "superseded"
    CANCELED = "canceled"


FREE_OUTCOMES = frozenset({Outcome.INTERRUPTED, Outcome.LOST, Outcome.SUPERSEDED})
"""Outcomes that never use up a retry: the task is not to blame."""

JOB_ENDED = frozenset({JobState.CANCELED, JobState.FAILED, JobState.COMPLETED})
TASK_ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.EATEN, TaskState.CANCELED})

JOB_NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {
            JobState.ACTIVE,
            JobState.PAUSED,
            JobState.AWAITING_APPROVAL,
            JobState.CANCELED,
            JobState.CANCEL_REQUESTED,
            JobState.COMPLETED,
        }
    ),
    JobState.ACTIVE: frozenset(
        {
            JobState.PAUSED,
            JobState.AWAITING_APPROVAL,
            JobState.CANCEL_REQUESTED,
            JobState.CANCELED,
            JobState.FAILED,
            JobState.COMPLETED,
        }
    ),
    JobState.PAUSED: frozenset(
        {
            JobState.ACTIVE,
            JobState.QUEUED,
            JobState.CANCEL_REQUESTED,
            JobState.CANCELED,
            JobState.FAILED,
            JobState.COMPLETED,
        }
    ),
    JobState.AWAITING_APPROVAL: frozenset(
        {JobState.ACTIVE, JobState.QUEUED, JobState.CANCEL_REQUESTED, JobState.CANCELED}
    ),
    JobState.CANCEL_REQUESTED: frozenset({JobState.CANCELED}),
    JobState.CANCELED: frozenset({JobState.ACTIVE}),
    JobState.FAILED: frozenset({JobState.ACTIVE}),
    JobState.COMPLETED: frozenset({JobState.ACTIVE}),
}
"""`retry` reopens an ended job; what runs while a job is paused may be its last task; a job that a rebuilt ledger knows
to be done is completed without having run. A job awaits approval when the chunks that somebody wants to see first have
ended; approval, or a retry of what failed of them, lets it go on."""

TASK_NEXT: dict[TaskState, frozenset[TaskState]] = {
    TaskState.DEPEND: frozenset(
        {TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELED, TaskState.COMPLETED, TaskState.EATEN}
    ),
    TaskState.QUEUED: frozenset({TaskState.ACTIVE, TaskState.DEPEND, TaskState.CANCELED, TaskState.COMPLETED}),
    TaskState.ACTIVE: frozenset(
        {
            TaskState.COMPLETED,
            TaskState.SOFT_FAILED,
            TaskState.FAILED,
            TaskState.QUEUED,
            TaskState.DEPEND,
            TaskState.CANCELED,
        }
    ),
    TaskState.SOFT_FAILED: frozenset({TaskState.QUEUED, TaskState.DEPEND, TaskState.CANCELED, TaskState.FAILED}),
    TaskState.COMPLETED: frozenset({TaskState.QUEUED, TaskState.DEPEND}),
    TaskState.FAILED: frozenset({TaskState.QUEUED, TaskState.DEPEND, TaskState.EATEN}),
    TaskState.EATEN: frozenset({TaskState.QUEUED, TaskState.DEPEND}),
    TaskState.CANCELED: frozenset({TaskState.QUEUED, TaskState.DEPEND}),
}
"""A task goes back to `depend` when a retry reopens what it waits for."""
