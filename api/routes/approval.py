"""Approval: somebody looked at a job's first chunks, and says whether the others are to be made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.auth import User
from api.context import Tools
from api.problems import RESPONSES
from api.recorder import Record
from api.roles import needs
from api.routes.jobs import JobId
from api.shapes import Asked
from api.views import JobView, job_view
from farm.domain.people import Role
from farm.service.approval import check_asked

router = APIRouter(tags=["jobs"], responses=RESPONSES)


class Verdict(Asked):
    """Why."""

    reason: Annotated[str, Field(max_length=500)] = ""
    """Kept with the job, for those who wonder later."""


@router.post("/jobs/{job_id}/approve")
@needs(Role.ARTIST, own_job=True)
def approve(job_id: JobId, tools: Tools, user: User, record: Record, verdict: Verdict = Verdict()) -> JobView:
    """Let a job go on that was submitted with `approve_every`: its other chunks are made. It may be said before the
    first chunks are done, and twice."""
    with record.change("job.approve", job=job_id, reason=verdict.reason):
        return job_view(tools.farm.act(job_id, "approve", verdict.reason, user))


@router.post("/jobs/{job_id}/reject")
@needs(Role.ARTIST, own_job=True)
def reject(job_id: JobId, tools: Tools, user: User, record: Record, verdict: Verdict = Verdict()) -> JobView:
    """Cancel a job that was submitted with `approve_every`. Its finished frames stay; `retry` opens it again."""
    check_asked(tools.farm.document(job_id))
    with record.change("job.reject", job=job_id, reason=verdict.reason):
        return job_view(tools.farm.act(job_id, "cancel", verdict.reason or "rejected", user))
