"""What a job has made: a list to synchronize with, and the files themselves, in ranges if asked so."""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.context import Context, Tools
from api.digests import blocks
from api.outputs import OutputFile, Outputs, final_frames, known, output_file, single_files, still_so, token
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.shapes import Answer
from api.views import ROOT
from farm.domain import keys
from farm.domain.state import JOB_ENDED
from farm.errors import NotFound
from farm.ports import JobStatus
from farm.service.skeleton import chunks

router = APIRouter(tags=["outputs"], responses=RESPONSES)

_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_SHOWN = frozenset({"image/png", "image/webp", "video/mp4", "application/json", "application/zip"})
"""Kinds of files that are sent as what they are; all others as plain bytes."""

Direct = Annotated[bool, Query(description="Links straight to the store, valid for an hour, where it can make them.")]


class FilePage(Answer):
    """Files of a job by name."""

    items: tuple[OutputFile, ...]
    next_cursor: str | None


@router.get("/jobs/{job_id}/outputs")
def outputs(
    job_id: JobId,
    tools: Tools,
    since: Annotated[str, Query(max_length=10_000, description="`since` of an earlier answer.")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000, description="Frames, rounded up to whole chunks.")] = 1000,
    direct: Direct = False,
) -> Outputs:
    """Final frames with digests and links, while the job runs and after; and its other files."""
    status = tools.farm.status(job_id)
    job = tools.farm.document(job_id)
    before = still_so(job_id, known(since, chunks(job)), tools.blobs, time.time())
    frames, told, more = final_frames(job, tools.blobs, before.chunks, limit, direct)
    names = [] if more else single_files(job, tools.blobs)
    return Outputs(
        job=job_id,
        status=status.state,
        frames=tuple(frames),
        files=_files(tools, status, names, direct),
        since=token(before._replace(chunks=frozenset(told))),
        more=more,
    )


@router.get("/jobs/{job_id}/files")
def files(
    job_id: JobId,
    tools: Tools,
    folder: Annotated[str, Query(pattern=r"^[a-z0-9_-]{1,64}$", examples=["cropped_refined"])],
    cursor: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    direct: Direct = False,
) -> FilePage:
    """Files of one folder of the job: `cropped`, `cropped_refined`, `cropped_enhanced_alpha`,
    `cnet`, `preview`, `frames`."""
    status = tools.farm.status(job_id)
    prefix = keys.job(job_id, f"{folder}/")
    found = list(islice(tools.blobs.list(prefix, prefix + cursor if cursor else ""), limit))
    return FilePage(
        items=_files(tools, status, found, direct),
        next_cursor=found[-1].removeprefix(prefix) if len(found) == limit else None,
    )


@router.head("/jobs/{job_id}/outputs/{path:path}", include_in_schema=False)
@router.get("/jobs/{job_id}/outputs/{path:path}", response_class=Response)
def download(
    job_id: JobId, path: Annotated[str, Path(examples=["video.mp4"])], tools: Tools, request: Request
) -> Response:
    """One file: `frames/…`, `video.mp4`, `segs.json`, `manifest.json`, `cropped/…`. Ranges are honored."""
    name = keys.job(job_id, path)
    size = tools.blobs.size(name)
    if size is None:
        tools.farm.status(job_id)
        raise NotFound(f"Job {job_id} has no output {path!r}, or not yet. {ROOT}/jobs/{job_id}/outputs lists them.")
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    wanted = _range(request.headers.get("range", ""), size)
    if wanted == (0, 0):
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, end = wanted or (0, size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    body: Iterator[bytes] = iter(()) if request.method == "HEAD" else blocks(tools.blobs, name, start, end)
    media_type = mimetypes.guess_type(path, strict=False)[0] or ""
    return StreamingResponse(
        body,
        206 if wanted is not None else 200,
        headers=headers,
        media_type=media_type if media_type in _SHOWN else "application/octet-stream",
    )


def _files(tools: Context, status: JobStatus, names: Sequence[str], direct: bool) -> tuple[OutputFile, ...]:
    def digest(name: str, size: int) -> str:
        return tools.sha256(name, size, status.revision) if status.state in JOB_ENDED else ""

    return tuple(output_file(status.facts.id, name, digest, tools.blobs, direct) for name in names)


def _range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a single range; None for no range that we know, (0, 0) for one outside of the file."""
    match = _RANGE.match(text.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return (size - length, size) if length else (0, 0)
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    return (start, end) if start < end else (0, 0)
