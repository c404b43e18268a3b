"""Small pictures for people: frames before and after, the last one that was made, frames of an upload."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from api.context import Context, Tools
from api.frames import FrameReader
from api.problems import RESPONSES
from api.routes.frames import Number, Variation
from api.routes.jobs import JobId
from api.routes.uploads import UploadId
from farm.adapters.pictures import decode_rgb
from farm.adapters.stills import preview
from farm.errors import NotFound
from farm.service.approval import first_chunks

router = APIRouter(tags=["frames"], responses=RESPONSES)

LOOK_BACK = 256
"""Chunks behind the newest one among which the last finished one is looked for."""
WEBP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}
}
FOR_A_DAY = "private, max-age=86400"
ASK_AGAIN = "private, no-cache"

Width = Annotated[int, Query(ge=16, le=2048, description="Pixels at the most; pictures are never scaled up.")]
Of = Annotated[Literal["input", "final"], Query(description="Before or after.")]


@router.get("/jobs/{job_id}/frames/{number}/preview", response_class=Response, responses=WEBP)
def frame_preview(
    job_id: JobId,
    number: Number,
    tools: Tools,
    request: Request,
    of: Of = "final",
    width: Width = 320,
    variation: Variation = 0,
) -> Response:
    """The frame before or after, scaled down."""
    reader = FrameReader(tools.farm, job_id)
    position = reader.position(number)
    blob = reader.input_blob(position) if of == "input" else reader.final_blob(position, variation)
    # An input is named by its pixels; a final frame may be made anew under its name.
    mark = blob if of == "input" else reader.frame(position).sha256 or ""
    return _small(tools, request, blob, mark, width, FOR_A_DAY if of == "input" else ASK_AGAIN)


@router.get("/jobs/{job_id}/last-rendered", response_class=Response, responses=WEBP)
def last_rendered(job_id: JobId, tools: Tools, request: Request, width: Width = 320) -> Response:
    """The last frame of the newest chunk that is finished, scaled down."""
    status = tools.farm.status(job_id)
    first = max(0, status.chunks_opened - LOOK_BACK)
    looked_at = first_chunks(tools.farm.document(job_id)) if status.trial else ()
    states = tools.farm.ledger.chunk_states(job_id, [*range(first, status.chunks_opened), *looked_at])
    done = [index for index, state in states.items() if state == "done"]
    frames = [one for one in _record(tools, job_id, max(done)) if one["variation"] == 0] if done else []
    if not frames:
        raise NotFound(f"No frame of job {job_id} is finished yet. Ask again later.")
    return _small(tools, request, frames[-1]["object"], frames[-1]["sha256"], width, ASK_AGAIN)


@router.get("/uploads/{upload_id}/preview", response_class=Response, responses=WEBP)
def upload_preview(
    upload_id: UploadId,
    tools: Tools,
    number: Annotated[int | None, Query(description="The frame's number; the first one if left out.")] = None,
    width: Width = 1280,
) -> Response:
    """A frame of what was uploaded, scaled down: what masks are drawn on."""
    media = tools.farm.media(f"upload:{upload_id}")
    pixels = tools.stills.frame(media, media.first_number if number is None else number)
    return Response(preview(pixels, width), media_type="image/webp", headers={"Cache-Control": FOR_A_DAY})


def _record(tools: Context, job_id: str, chunk: int) -> list[dict[str, Any]]:
    record = FrameReader(tools.farm, job_id).chunk(chunk).record
    return list(record["frames"]) if record is not None else []


def _small(tools: Context, request: Request, blob: str, mark: str, width: int, caching: str) -> Response:
    etag = f'"{mark[-64:].replace("/", "-")}-{width}"'
    headers = {"ETag": etag, "Cache-Control": caching}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    pixels = decode_rgb(tools.blobs.get(blob), tools.limits.max_pixels)
    return Response(preview(pixels, width), media_type="image/webp", headers=headers)
