"""What happens on the farm, as it happens: a stream that can be left and taken up again without a gap."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.context import Context, Tools
from api.hub import Hub, Told
from api.problems import RESPONSES
from api.views import job_view, worker_view
from farm.domain.events import known_kinds, position
from farm.errors import FarmError, NotFound, Rejected

log = structlog.get_logger(__name__)
router = APIRouter(tags=["events"], responses=RESPONSES)

QUIET_S = 15.0
"""Seconds without news after which the stream says that it is still there, and where it stands."""
AGAIN_S = 1.0
"""Seconds until a stream tries again to read what Redis did not give."""
SNAPSHOT_JOBS = 100
"""Newest jobs that a snapshot tells of."""
RECONNECT_MS = 1000
"""What browsers are asked to wait before they come back."""

GONE = "What came after the event that you know is not kept any more: here is how things stand now."


@dataclass(frozen=True)
class Wanted:
    """Which events a listener is told."""

    job: str = ""
    """"": all jobs, and what is no job's."""
    kinds: frozenset[str] = frozenset()
    """Empty: all."""

    def __contains__(self, told: object) -> bool:
        return (
            isinstance(told, Told)
            and (not self.job or told.job == self.job)
            and (not self.kinds or told.kind in self.kinds)
        )


@router.get("/events", response_class=StreamingResponse)
async def events(
    tools: Tools,
    request: Request,
    job: Annotated[str, Query(max_length=64, description="Only this job's.")] = "",
    kinds: Annotated[
        str, Query(max_length=2000, description="Only these, with commas; `job` means all that begin with `job.`.")
    ] = "",
    since: Annotated[
        str, Query(max_length=60, description="Id of the last event that you have; `0`: all that are kept.")
    ] = "",
    last_event_id: Annotated[str, Header(max_length=100, description="The same, as browsers send it.")] = "",
) -> StreamingResponse:
    """Every event as server-sent events: `id`, `event` (its kind) and `data` (JSON: id, time, kind, job, data).

    Ids grow. Send the last one that you have as `Last-Event-ID` or `since`, and you are told exactly what you missed,
    over any cut and any restart of the API. Where that is not kept any more, a `reset` event tells you so, with the
    jobs and workers as they stand now. Without an id the stream begins now, with `hello`, whose id is where it stands.
    """
    chosen = tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    wanted = Wanted(job, frozenset(known_kinds(chosen)))
    if job:
        await run_in_threadpool(tools.farm.status, job)
    hub: Hub = request.app.state.hub
    known = await _known(hub, last_event_id, since)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        stream(hub, tools, request, wanted, known), media_type="text/event-stream", headers=headers
    )


async def _known(hub: Hub, header: str, since: str) -> str:
    """What the listener knows: an id; "" for one who comes for the first time; `?` for an id that is none of ours."""
    if not header and not since:
        await hub.newest()  # refuses where Redis does not answer
        return ""
    given = header or since
    if given == "0":
        return await hub.floor()
    try:
        position(given)
    except Rejected:
        if header:
            return "?"
        raise
    await hub.newest()
    return given


async def stream(hub: Hub, tools: Context, request: Request, wanted: Wanted, known: str) -> AsyncIterator[str]:
    """What the stream says, until the client has gone."""
    hub.join()
    try:
        yield f"retry: {RECONNECT_MS}\n\n"
        if known in ("", "?"):
            first, known = known, await hub.newest()
            yield _own("hello", known, {}) if not first else await _reset(tools, wanted, known)
        async for text in _tell(hub, tools, request, wanted, known):
            yield text
    finally:
        hub.leave()


async def _tell(hub: Hub, tools: Context, request: Request, wanted: Wanted, known: str) -> AsyncIterator[str]:
    while not await request.is_disconnected():
        news = hub.news()
        try:
            batch = await hub.behind(known)
            if batch.lost:
                known = batch.upto
                yield await _reset(tools, wanted, known)
                continue
        except FarmError as error:
            # The stream outlives an outage of Redis: the position is all that matters.
            log.warning("events_not_told", error=str(error))
            yield ": Redis does not answer\n\n"
            await hub.wait(news, AGAIN_S)
            continue
        found = "".join(told.text for told in batch.events if told in wanted)
        moved, known = batch.upto != known, batch.upto
        if found:
            yield found
        if not moved and not await hub.wait(news, QUIET_S):
            # The id without data: a browser keeps it, and comes back with it.
            yield f": still here\nid: {known}\n\n"


async def _reset(tools: Context, wanted: Wanted, known: str) -> str:
    data = await run_in_threadpool(_snapshot, tools, wanted)
    return _own("reset", known, {"reason": GONE, **data}, wanted.job)


def _own(kind: str, event_id: str, data: Mapping[str, Any], job: str = "") -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    body = {"id": event_id, "time": time, "kind": kind, "job": job, "data": data}
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"


def _snapshot(tools: Context, wanted: Wanted) -> dict[str, Any]:
    """Jobs and workers as they stand; of one job, that one."""
    try:
        jobs = (tools.farm.status(wanted.job),) if wanted.job else tools.farm.jobs("", SNAPSHOT_JOBS)
    except NotFound:
        jobs = ()
    workers = () if wanted.job else tools.farm.workers()
    return {
        "jobs": [job_view(job).model_dump(mode="json", exclude={"document"}) for job in jobs],
        "workers": [worker_view(worker).model_dump(mode="json") for worker in workers],
    }
