"""Who changed what, when, from where and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Asker
from api.context import Tools
from api.problems import RESPONSES
from api.roles import needs
from api.routes.jobs import JobId
from api.shapes import Answer, Moment
from farm.domain.audit import AuditEntry, AuditFilter
from farm.domain.people import Role
from farm.service.audit import Audit

router = APIRouter(tags=["audit"], responses=RESPONSES)

Cursor = Annotated[str, Query(max_length=250, pattern=r"^([0-9]{6}/[A-Za-z0-9._-]+)?$")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class AuditPage(Answer):
    """Changes, the newest first."""

    items: tuple[AuditEntry, ...]
    """A page may have fewer than asked for although there are more: `next_cursor` tells."""
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last one."""


@router.get("/audit")
@needs(Role.ADMIN)
def audit(
    request: Request,
    actor: Annotated[str, Query(max_length=200)] = "",
    action: Annotated[str, Query(max_length=80, description="`job.pause`, or `job.` for all about jobs.")] = "",
    job: Annotated[str, Query(max_length=64)] = "",
    since: Annotated[Moment | None, Query(description="With its time zone.")] = None,
    until: Annotated[Moment | None, Query(description="With its time zone.")] = None,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> AuditPage:
    """Every change that people made: jobs, models, workers, users and keys, also of jobs that are gone."""
    return _page(request, AuditFilter(actor, action, job, since, until), cursor, limit)


@router.get("/jobs/{job_id}/audit")
def job_audit(
    job_id: JobId, request: Request, tools: Tools, person: Asker, cursor: Cursor = "", limit: Limit = 100
) -> AuditPage:
    """Every change that people made of one job; also of one that was deleted. Only admins see addresses and keys."""
    found = _page(request, AuditFilter(job=job_id), cursor, limit)
    if not found.items and not cursor and found.next_cursor is None:
        tools.farm.document(job_id)
    if person.role is Role.ADMIN:
        return found
    return found.model_copy(
        update={"items": tuple(entry.model_copy(update={"address": "", "key": ""}) for entry in found.items)}
    )


def _page(request: Request, which: AuditFilter, cursor: str, limit: int) -> AuditPage:
    kept: Audit = request.app.state.audit
    items, following = kept.page(which, cursor, limit)
    return AuditPage(items=tuple(items), next_cursor=following or None)
