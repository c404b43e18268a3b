"""Workers: which are alive, with what, and what they are doing."""

from __future__ import annotations

from fastapi import APIRouter

from api.context import Tools
from api.problems import RESPONSES
from api.shapes import Answer
from api.views import WorkerView, worker_view

router = APIRouter(tags=["workers"], responses=RESPONSES)


class Workers(Answer):
    """Workers that gave a sign of life lately."""

    items: tuple[WorkerView, ...]


@router.get("/workers")
def workers(tools: Tools) -> Workers:
    """The workers that are alive."""
    blocked = tools.farm.blocked()
    return Workers(items=tuple(worker_view(worker, blocked.get(worker.id, ())) for worker in tools.farm.workers()))
