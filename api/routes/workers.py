"""Workers: which are alive, with what, and what they are doing; and that one should end."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from api.auth import User
from api.context import Tools
from api.problems import RESPONSES
from api.recorder import Record
from api.roles import needs
from api.routes.people import ReasonQuery
from api.shapes import Answer, Asked
from api.views import WorkerView, worker_view
from farm.domain.numbers import NUMBER
from farm.domain.people import Role
from farm.ports import Drain

router = APIRouter(tags=["workers"], responses=RESPONSES)

WorkerId = Annotated[str, Path(description="The worker's `id`.", max_length=200)]


class Workers(Answer):
    """Workers that gave a sign of life lately."""

    items: tuple[WorkerView, ...]


class Draining(Asked):
    """How a worker is to end."""

    reason: Annotated[str, Field(max_length=500)] = ""
    """Shown with the worker until it has ended."""
    grace_s: Annotated[float, Field(ge=0, le=604_800), NUMBER] | None = None
    """Seconds that it may take to finish what it runs; then it hands that back, at no cost of the tasks. Left out: its
    own FARM_GRACE_S."""


@router.get("/workers")
def workers(tools: Tools) -> Workers:
    """The workers that are alive."""
    blocked = tools.farm.blocked()
    return Workers(items=tuple(worker_view(worker, blocked.get(worker.id, ())) for worker in tools.farm.workers()))


@router.post("/workers/{worker_id:path}/drain")
@needs(Role.ADMIN)
def drain(worker_id: WorkerId, tools: Tools, user: User, record: Record, how: Draining | None = None) -> WorkerView:
    """Have a worker take nothing more from now on, finish or hand back what it has, and end. It hears of it with its
    next sign of life; its keeper (`farm up`, systemd) does not start it again."""
    how = how or Draining()
    with record.change("worker.drain", target=worker_id, reason=how.reason):
        return worker_view(tools.farm.drain(worker_id, Drain(user, how.reason, grace_s=how.grace_s)))


@router.post("/workers/{worker_id:path}/undrain")
@needs(Role.ADMIN)
def undrain(worker_id: WorkerId, tools: Tools, record: Record, reason: ReasonQuery = "") -> WorkerView:
    """Take that back, as long as the worker has not ended."""
    with record.change("worker.undrain", target=worker_id, reason=reason):
        return worker_view(tools.farm.undrain(worker_id))
