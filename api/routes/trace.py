"""What happened to a job: every attempt at its tasks."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from api.context import Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId
from farm.domain.trace import chrome
from farm.service.attempts import attempts_of

router = APIRouter(tags=["tasks"], responses=RESPONSES)


@router.get("/jobs/{job_id}/attempts", response_class=StreamingResponse)
def attempts(job_id: JobId, tools: Tools) -> StreamingResponse:
    """Every attempt at the job's tasks that has ended, a line of JSON each: `task`, `worker`, `started`, `ended`,
    `outcome`, `error`, and of detail tasks what `took` how long."""
    tools.farm.document(job_id)
    found = attempts_of(job_id, tools.farm.ledger, tools.blobs)
    lines = (attempt.model_dump_json(exclude_defaults=True) + "\n" for attempt in found)
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.get("/jobs/{job_id}/trace")
def trace(job_id: JobId, tools: Tools) -> Response:
    """The same as a timeline in Chrome's trace event format, to be opened at ui.perfetto.dev: per worker a track for
    downloads, one for the GPU, one for uploads; the share of the time that GPUs were busy is in `otherData`."""
    tools.farm.document(job_id)
    found = chrome(job_id, list(attempts_of(job_id, tools.farm.ledger, tools.blobs)))
    headers = {"Content-Disposition": f'attachment; filename="{job_id}-trace.json"'}
    return Response(json.dumps(found), media_type="application/json", headers=headers)
