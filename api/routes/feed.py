"""The list of jobs and of workers as they stand, as a stream for pages that stay open; what happens is told by
`/events`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.context import Tools
from api.problems import RESPONSES
from api.views import JobView, WorkerView, job_view, worker_view
from farm.service.farm import Farm

router = APIRouter(tags=["jobs"], responses=RESPONSES)

LOOK_S = 0.7
"""Seconds between two looks at the ledger."""
QUIET_S = 15.0
"""Seconds without news after which the stream says that it is still there."""

LastEventId = Annotated[str, Header(max_length=100, description="Sent by browsers that were cut off.")]


@router.get("/feed", response_class=StreamingResponse)
async def feed(
    tools: Tools,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200, description="How many of the newest jobs.")] = 50,
    last_event_id: LastEventId = "",
) -> StreamingResponse:
    """Changes of the newest jobs (`job.status`) and of the workers (`workers`) as server-sent events.

    An event carries the whole of what changed, so a client that was cut off has missed nothing once it has the next
    one: the id names all that it has been told, and is sent back as `Last-Event-ID`. If all is still so, nothing is
    repeated; else everything is told once.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    await run_in_threadpool(tools.farm.ledger.ping)
    stream = changes(request.app.state.feed, request, limit, last_event_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


class Feed:
    """Looks at the ledger for all streams of this process: a hundred visitors cost what one does."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._lock = asyncio.Lock()
        self._looks: dict[int, tuple[float, dict[str, str]]] = {}

    async def look(self, limit: int) -> dict[str, str]:
        """The newest `limit` jobs, newest first, and the workers, each as its JSON; not older than `LOOK_S`."""
        async with self._lock:
            at, found = self._looks.get(limit, (float("-inf"), {}))
            if time.monotonic() - at >= LOOK_S:
                found = await run_in_threadpool(_look, self._farm, limit)
                self._looks[limit] = time.monotonic(), found
            return found


async def changes(feed: Feed, request: Request, limit: int, known: str) -> AsyncIterator[str]:
    """What the stream says, event by event, until the client has gone; `known` is the id of what it knows already."""
    told: dict[str, str] = {}
    said, first = time.monotonic(), True
    while not await request.is_disconnected():
        now = await feed.look(limit)
        mark = _mark(now)
        if first and mark == known:
            told = dict(now)
        first = False
        news = [name for name, text in now.items() if told.get(name) != text]
        for name in reversed(news):  # the newest job last: a client puts each on top
            told[name] = now[name]
            event = "workers" if name == "workers" else "job.status"
            # Only the last one of a look stands for all of it.
            mark_line = f"id: {mark}\n" if name == news[0] else ""
            yield f"{mark_line}event: {event}\ndata: {now[name]}\n\n"
        if news:
            said = time.monotonic()
        elif time.monotonic() - said > QUIET_S:
            said = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def _look(farm: Farm, limit: int) -> dict[str, str]:
    jobs: dict[str, JobView] = {status.facts.id: job_view(status) for status in farm.jobs("", limit)}
    # When a worker was last seen is no news.
    workers: list[WorkerView] = [worker_view(worker).model_copy(update={"seen": ""}) for worker in farm.workers()]
    texts = {name: view.model_dump_json(exclude={"document"}) for name, view in jobs.items()}
    return {**texts, "workers": f"[{','.join(worker.model_dump_json() for worker in workers)}]"}


def _mark(now: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(now.values()).encode()).hexdigest()[:32]
