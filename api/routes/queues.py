"""Queues: how much waits on them and runs, for whoever decides how many workers there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.context import Tools
from api.problems import RESPONSES
from api.scrape import demands
from api.shapes import Answer
from farm.domain.queues import QUEUES
from farm.errors import Rejected

router = APIRouter(tags=["workers"], responses=RESPONSES)

QueueName = Annotated[str, Field(json_schema_extra={"enum": list(QUEUES)})]
"""For those who read the document; who does not is told by `UnknownQueues`."""


class UnknownQueues(Rejected):
    """No worker could ever serve what was asked after."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"There is no queue {', '.join(map(repr, names))}; there are {', '.join(QUEUES)}.")


class QueueView(Answer):
    """One queue, of jobs that run."""

    queue: str
    waiting: int
    """Tasks that are ready and that nobody has claimed."""
    running: int
    """Tasks that workers have claimed, also ahead of time."""
    busy_workers: int
    """Workers at work whose largest class of GPU this is."""
    demand: int
    """Workers that would have something to do: `waiting` and `busy_workers`."""


class Queues(Answer):
    """Some queues, and their sums."""

    items: tuple[QueueView, ...]
    waiting: int
    running: int
    busy_workers: int
    demand: int


@router.get("/queues")
def queues(
    tools: Tools, queue: Annotated[list[QueueName] | None, Query(description="Only these; all if left out.")] = None
) -> Queues:
    """What waits and runs, by queue. An autoscaler sets as many workers as `demand`, which counts those at work: so it
    does not end one that is."""
    unknown = sorted(set(queue or ()) - set(QUEUES))
    if unknown:
        raise UnknownQueues(unknown)
    found = [
        one for one in demands(tools.farm.ledger.queues(), tools.farm.workers()) if not queue or one.queue in queue
    ]
    items = tuple(
        QueueView(queue=q.queue, waiting=q.waiting, running=q.running, busy_workers=q.busy, demand=q.workers)
        for q in found
    )
    return Queues(
        items=items,
        waiting=sum(item.waiting for item in items),
        running=sum(item.running for item in items),
        busy_workers=sum(item.busy_workers for item in items),
        demand=sum(item.demand for item in items),
    )
