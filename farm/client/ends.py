"""How waiting for a job may end, other than well."""

from __future__ import annotations

from farm.client.answers import JobAnswer
from farm.errors import Canceled, Rejected, Unavailable


class JobFailed(Rejected):
    """A job has ended, and something of it could not be made."""

    def __init__(self, job: JobAnswer, reasons: tuple[str, ...]) -> None:
        self.job = job
        self.reasons = reasons
        """`task: error` of the first tasks that failed."""
        why = " ".join(reasons) or job.activity or "No task tells why."
        super().__init__(
            f"Job {job.id} failed with {job.frames.done} of {job.frames.total} frames done. {why} "
            f"Finished frames are kept: once the cause is gone, `retry` makes the others; `eat` gives them up."
        )


class JobCanceled(Canceled):
    """A job has ended, since somebody wanted it to."""

    def __init__(self, job: JobAnswer) -> None:
        self.job = job
        super().__init__(
            f"Job {job.id} is {job.activity or 'canceled'}, with {job.frames.done} of {job.frames.total} frames done. "
            f"Finished frames are kept; `retry` goes on."
        )


class StillRunning(Unavailable):
    """A job has not ended in the time that was given; it goes on."""

    def __init__(self, job: JobAnswer, timeout_s: float) -> None:
        self.job = job
        waits = f" {job.waiting_reason}" if job.waiting_reason else ""
        super().__init__(
            f"Job {job.id} is {job.status} after {timeout_s:g} s, with {job.frames.done} of {job.frames.total} frames "
            f"done; it goes on.{waits} Wait again, or longer."
        )
