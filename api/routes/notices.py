"""What became of webhooks and mails."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from fastapi import APIRouter

from api.context import Context, Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.shapes import Answer
from farm.domain.notices import Delivery
from farm.service.notices import noted, waiting

router = APIRouter(tags=["events"], responses=RESPONSES)

WAITING_SHOWN = 100
"""Notices on their way that one answer tells of."""


class AttemptView(Answer):
    """One attempt to deliver a notice."""

    at: str
    error: str
    """Empty: it succeeded."""


class NoticeView(Answer):
    """A webhook's POST or a mail."""

    id: str
    """The same in every attempt (`Farm-Delivery`)."""
    kind: str
    event: str
    """Id of the event, in the stream and in the webhook's body."""
    by: str
    """`webhook` or `mail`."""
    to: str
    """Mail address, or scheme and host of the webhook."""
    state: str
    """`waiting` (for its first or next attempt), `sent` or `dead`: given up."""
    attempts: tuple[AttemptView, ...]
    next_attempt: str | None


class NoticesView(Answer):
    """What became of all notices."""

    sent: int
    dead: int
    waiting: int
    """On their way, up to 100."""
    latest: tuple[NoticeView, ...]
    """Those on their way, the newest that were given up, and the newest that were sent."""


@router.get("/jobs/{job_id}/notices")
def job_notices(job_id: JobId, tools: Tools) -> NoticesView:
    """Webhooks and mails of a job: sent, waiting for another attempt, or given up, and why."""
    tools.farm.document(job_id)
    return _notices(tools, job_id)


@router.get("/notices")
def farm_notices(tools: Tools) -> NoticesView:
    """The same of events that are no job's, such as workers that come and go."""
    return _notices(tools, "")


def _notices(tools: Context, job_id: str) -> NoticesView:
    known = noted(job_id, tools.blobs)
    under_way = list(islice(waiting(tools.blobs, job_id), WAITING_SHOWN))
    shown = (*under_way, *known.latest_dead, *known.latest_sent)
    return NoticesView(sent=known.sent, dead=known.dead, waiting=len(under_way), latest=tuple(map(_view, shown)))


def _view(delivery: Delivery) -> NoticeView:
    return NoticeView(
        id=delivery.id,
        kind=delivery.kind,
        event=delivery.event,
        by=delivery.by,
        to=delivery.to,
        state=delivery.state,
        attempts=tuple(AttemptView(at=_stamp(one.at), error=one.error) for one in delivery.attempts),
        next_attempt=_stamp(delivery.due) if delivery.state == "waiting" else None,
    )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
