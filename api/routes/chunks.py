"""The map of a job's chunks."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.chunk_map import ChunkMap, chunk_map
from api.context import Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId

router = APIRouter(tags=["frames"], responses=RESPONSES)


@router.get("/jobs/{job_id}/chunks", response_model=ChunkMap)
def chunks(job_id: JobId, tools: Tools, request: Request) -> Response:
    """Every chunk's state, and that of every segment in it, in a few hundred bytes for any length of clip."""
    etag = f'W/"{job_id}-{tools.farm.status(job_id).revision}-map"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    job = tools.farm.document(job_id)
    pictures = tools.farm.documents.media(job.input.id).pictures if job.input.kind == "pictures" else ()
    found = chunk_map(job, tools.farm.ledger, [picture.number for picture in pictures[job.start : job.end]])
    return Response(found.model_dump_json(), media_type="application/json", headers=headers)
