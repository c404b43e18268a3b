"""`farm job approve` and `reject`: what becomes of a job whose first chunks somebody has looked at."""

from __future__ import annotations

from farm.cli.context import client, resolved
from farm.cli.decide import JobId, Reason
from farm.cli.show import AsJson, out, state, write_json
from farm.client.answers import JobAnswer


def approve(job_id: JobId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Let a job go on that was submitted with --approve-every: its other chunks are made."""
    _decide(job_id, "approve", reason, as_json)


def reject(job_id: JobId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Cancel a job that was submitted with --approve-every. Its finished frames stay."""
    _decide(job_id, "reject", reason, as_json)


def _decide(job_id: str, verdict: str, reason: str, as_json: bool) -> None:
    with client() as farm:
        # Each of them may be said twice.
        said = farm.http.post(f"/jobs/{resolved(job_id)}/{verdict}", {"reason": reason}, repeatable=True)
    if as_json:
        write_json(said)
        return
    job = JobAnswer.model_validate(said)
    out().print(job.id, state(job.status))
