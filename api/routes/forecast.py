"""What a job would do, without submitting it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from api.auth import User
from api.context import Tools
from api.problems import RESPONSES
from api.roles import needs
from api.routes.jobs import Request_
from farm.domain.forecast import Forecast
from farm.domain.job import JobRequest
from farm.domain.people import Role
from farm.errors import NotFound, Rejected, Unavailable
from farm.service.meant import meant

router = APIRouter(tags=["jobs"], responses=RESPONSES)

LINES = "application/x-ndjson"


@router.post("/jobs/plan", response_model=Forecast, response_class=StreamingResponse)
@needs(Role.ARTIST)
def plan(
    request: Request_,
    tools: Tools,
    user: User,
    accept: Annotated[str, Header(description=f"`{LINES}`: how far it is, line by line, the forecast last.")] = "",
) -> StreamingResponse:
    """What a job would do, had it been submitted now: which of its tasks would run, which are done already, and how
    long GPUs would be busy. Takes what `POST /jobs` takes, and makes no job.

    A long clip is planned for minutes; empty lines before the answer say that it goes on.
    """
    if tools.foresee is None:
        raise Unavailable("This API was started without what plans jobs. Start it with `farm api` or `farm up`.")
    try:
        asked = meant(request, tools.farm.documents)
        job = tools.farm.validate(asked, user)
        like = None if isinstance(request, JobRequest) else tools.farm.document(request.like)
    except NotFound as error:
        raise Rejected(str(error)) from error  # this address is there; what the body refers to is not
    by_line = LINES in accept
    found = tools.foresee(job, like)

    def lines() -> Iterator[str]:
        for part in found:
            if isinstance(part, Forecast):
                yield part.model_dump_json() + "\n"
            else:
                yield json.dumps({"chunk": part}) + "\n" if by_line else "\n"

    return StreamingResponse(lines(), media_type=LINES if by_line else "application/json")
