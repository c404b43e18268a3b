"""Jobs: submit, try out, list, watch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Discriminator, Tag

from api.auth import User
from api.context import Context, Tools
from api.problems import RESPONSES
from api.quotas import Allowance, Allowed
from api.recorder import Record, Recorder
from api.roles import needs
from api.shapes import Answer
from api.views import ROOT, JobPage, JobView, job_view
from farm.domain.job import Job, JobRequest
from farm.domain.like import LikeRequest
from farm.domain.people import Role
from farm.domain.state import JOB_ENDED, JobState
from farm.errors import NotFound, Rejected
from farm.ports import JobStatus
from farm.service.skeleton import chunks

router = APIRouter(tags=["jobs"], responses=RESPONSES)

POLL_S = 0.25
"""Seconds between two looks at the ledger while a client waits for a change."""
SCANNED = 1000
"""Jobs that one call looks at to find those of one status."""

EXAMPLE = {
    "name": "shot 010, faces",
    "type": "animatediff",
    "input": {"uri": "upload:3f5e…", "frames": "60-91"},
    "segments": [{"name": "face", "mask": "upload:91ab…", "prompt": "a detailed face", "denoise": 0.35}],
    "detailer": {"steps": 12, "cfg": 1.0, "crop_factor": 1.5, "max_size": 384, "size_multiple": 64},
    "model": "demo",
}

JobId = Annotated[str, Path(description="The job's `id`.", pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$")]
LIKE = {"like": "20260102-030405-ab12", "set": {"segments.face.prompt": "a smile"}, "frames": "5000-5099"}


def _form(body: object) -> str:
    """Which of the two forms of a request a body has."""
    return "like" if isinstance(body, LikeRequest) or (isinstance(body, dict) and "like" in body) else "job"


Request_ = Annotated[
    Annotated[JobRequest, Tag("job")] | Annotated[LikeRequest, Tag("like")],
    Discriminator(_form),
    Body(openapi_examples={"one mask": {"value": EXAMPLE}, "as another job, with changes": {"value": LIKE}}),
]


class Validated(Answer):
    """What a submission would become."""

    document: Job
    frames: int
    chunks: int
    warnings: tuple[str, ...]


@router.post("/jobs", status_code=202)
@needs(Role.ARTIST)
def submit(
    request: Request_,
    tools: Tools,
    response: Response,
    record: Record,
    allowance: Allowed,
    idempotency_key: Annotated[str, Header(max_length=200, description="The same key: the same job, once.")] = "",
) -> JobView:
    """Submit a job. It is checked now, against what was uploaded, and refused if it cannot run."""
    try:
        with _admission(record, allowance) as admit:
            status = tools.farm.submit(request, record.by.actor, idempotency_key, admit)
    except NotFound as error:
        raise Rejected(str(error)) from error  # this address is there; what the body refers to is not
    response.headers["Location"] = f"{ROOT}/jobs/{status.facts.id}"
    return job_view(status, tools.farm.document(status.facts.id))


@contextmanager
def _admission(record: Recorder, allowance: Allowance) -> Iterator[Callable[[Job], None]]:
    """While a job is submitted: has it fit its user's quota, and be in the audit, before anything of it is written."""
    with allowance.submitting() as fit, ExitStack() as recorded:

        def admit(job: Job) -> None:
            fit(job)
            recorded.enter_context(record.change("job.submit", job=job.id, name=job.name, frames=job.frames))

        yield admit


@router.post("/jobs:validate")
@needs(Role.ARTIST)
def validate(request: Request_, tools: Tools, user: User) -> Validated:
    """Check a job as `POST /jobs` does, and submit nothing."""
    try:
        job = tools.farm.validate(request, user)
    except NotFound as error:
        raise Rejected(str(error)) from error
    return Validated(document=job, frames=job.frames, chunks=chunks(job), warnings=job.warnings)


@router.get("/jobs")
def jobs(
    tools: Tools,
    status: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    cursor: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobPage:
    """Jobs, newest first."""
    found: list[JobStatus] = []
    seen, after = 0, cursor
    while len(found) < limit and seen < SCANNED:
        page = tools.farm.jobs(after, limit)
        for job in page:
            seen, after = seen + 1, job.facts.id
            if status is None or job.state is status:
                found.append(job)
            if len(found) == limit:
                break
        if len(page) < limit:
            more = len(found) == limit and after != page[-1].facts.id if page else False
            return _page(found, after if more else None)
    return _page(found, after)


@router.get("/jobs/{job_id}", response_model=JobView)
async def job(
    job_id: JobId,
    tools: Tools,
    request: Request,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change.")] = 0,
    since: Annotated[int | None, Query(description="Wait until `revision` is another than this.")] = None,
) -> Response:
    """One job: its state, counts per task state, frames, and when it will be done.

    Cheap to poll: answers 304 to the ETag of a revision that is still current. With `wait` and `since` the answer
    comes as soon as the job changed.
    """
    status = await _changed(tools, job_id, wait, since)
    etag = f'W/"{job_id}-{status.revision}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    document = await run_in_threadpool(tools.farm.document, job_id)
    waiting = await run_in_threadpool(tools.farm.why_waiting, status)
    view = job_view(status, document, waiting)
    return Response(view.model_dump_json(), media_type="application/json", headers=headers)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, response_model=None)
async def events(
    job_id: JobId,
    tools: Tools,
    request: Request,
    last_event_id: Annotated[str, Header(max_length=40, description="Sent by browsers that were cut off.")] = "",
) -> Response:
    """The job's changes as server-sent events (`job.status`), until it has ended.

    Each carries the whole status, and its id is the job's revision: a client that sends it back as `Last-Event-ID` is
    told what is new since, and 204 (do not ask again) if the job has ended and there is nothing new.
    """
    status = await run_in_threadpool(tools.farm.status, job_id)
    known = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else None
    if status.state in JOB_ENDED and status.revision == known:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(tools, job_id, request, known), media_type="text/event-stream", headers=headers)


async def _events(tools: Context, job_id: str, request: Request, known: int | None) -> AsyncIterator[str]:
    while not await request.is_disconnected():
        status = await _changed(tools, job_id, 15, known)
        if status.revision == known:
            yield ": still here\n\n"
            continue
        known = status.revision
        body: Any = json.loads(job_view(status).model_dump_json(exclude={"document"}))
        yield f"id: {known}\nevent: job.status\ndata: {json.dumps(body)}\n\n"
        if status.state in JOB_ENDED:
            return


async def _changed(tools: Context, job_id: str, wait: float, since: int | None) -> JobStatus:
    """The job's status, as soon as its revision is another than `since`, after `wait` seconds at the latest."""
    until = time.monotonic() + wait
    status = await run_in_threadpool(tools.farm.status, job_id)
    while status.revision == since and status.state not in JOB_ENDED and time.monotonic() < until:
        await asyncio.sleep(POLL_S)
        status = await run_in_threadpool(tools.farm.status, job_id)
    return status


def _page(found: list[JobStatus], cursor: str | None) -> JobPage:
    return JobPage(items=tuple(job_view(status) for status in found), next_cursor=cursor)
