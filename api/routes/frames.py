"""Frames of a job: how each stands, and pictures of it before and after."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from api.context import Context, Tools
from api.frames import FrameReader, FrameView
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.shapes import Answer
from farm.adapters.pictures import decode_rgb, encode_png
from farm.adapters.sheets import contact_sheet

router = APIRouter(tags=["frames"], responses=RESPONSES)

Number = Annotated[int, Path(description="The frame's number, as the user counts.")]
Variation = Annotated[int, Query(ge=0, le=99, description="Which one, of a job with `batch_size` above 1.")]

PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}
COMPARE_WIDTH = 1920
"""Pixels of each half of a comparison at the most."""


class FramePage(Answer):
    """Frames in order."""

    items: tuple[FrameView, ...]
    next_cursor: str | None


@router.get("/jobs/{job_id}/frames")
def frames(
    job_id: JobId,
    tools: Tools,
    cursor: Annotated[int | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> FramePage:
    """The frames that the job details, in order."""
    tools.farm.status(job_id)
    reader = FrameReader(tools.farm, job_id)
    first = reader.job.start if cursor is None else max(reader.job.start, cursor)
    items = tuple(reader.frames(first, limit))
    after = first + len(items)
    return FramePage(items=items, next_cursor=str(after) if items and after < reader.job.end else None)


@router.get("/jobs/{job_id}/frames/{number}")
def frame(job_id: JobId, number: Number, tools: Tools) -> FrameView:
    """One frame: its state, its segments, and links to its pictures as far as there are any."""
    reader = FrameReader(tools.farm, job_id)
    return reader.frame(reader.position(number))


@router.get("/jobs/{job_id}/frames/{number}/input", response_class=Response, responses=PNG)
def input_picture(job_id: JobId, number: Number, tools: Tools) -> Response:
    """The frame as it was handed in, decoded."""
    reader = FrameReader(tools.farm, job_id)
    return _png(tools.blobs.get(reader.input_blob(reader.position(number))))


@router.get("/jobs/{job_id}/frames/{number}/final", response_class=Response, responses=PNG)
def final_picture(job_id: JobId, number: Number, tools: Tools, variation: Variation = 0) -> Response:
    """The frame as it was detailed."""
    reader = FrameReader(tools.farm, job_id)
    return _png(tools.blobs.get(reader.final_blob(reader.position(number), variation)))


@router.get("/jobs/{job_id}/frames/{number}/compare", response_class=Response, responses=PNG)
def compare(job_id: JobId, number: Number, tools: Tools, variation: Variation = 0) -> Response:
    """Before and after, side by side."""
    reader = FrameReader(tools.farm, job_id)
    position = reader.position(number)
    final = reader.final_blob(position, variation)
    return _png(_compared(tools, reader.input_blob(position), final))


def _compared(tools: Context, before: str, after: str) -> bytes:
    pictures = [decode_rgb(tools.blobs.get(name), tools.limits.max_pixels) for name in (before, after)]
    return encode_png(contact_sheet([pictures], ("before", "after"), COMPARE_WIDTH))


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})
