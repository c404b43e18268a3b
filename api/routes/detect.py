"""Find faces (or what another detector finds) in one frame: for a person who waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api.auth import User
from api.context import Context, Tools
from api.problems import RESPONSES
from api.roles import needs
from api.shapes import Answer, Asked
from api.views import ROOT
from farm.adapters.media import admit_pictures
from farm.adapters.pictures import encode_png
from farm.detail.box import make_crop_region
from farm.domain import keys
from farm.domain.detailer import Detailer
from farm.domain.detection import DetectRequest
from farm.domain.job import JobRequest
from farm.domain.numbers import NUMBER, WHOLE
from farm.domain.people import Role
from farm.domain.segment import SegEntry, SegsDocument
from farm.domain.state import JOB_ENDED, JobState
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import JobStatus, TaskFilter
from farm.service.gc import remove_job

router = APIRouter(tags=["detect"], responses=RESPONSES)

POLL_S = 0.1
"""Seconds between two looks at the job."""
TIDY_S = 1.0
"""Seconds to wait for the last word of a job's worker."""
PRIORITY = 100
"""Somebody waits."""


class FindRequest(DetectRequest, Asked):
    """What to find, and where. Besides this, all that a segment's `detect` has; of one frame, tracks say nothing."""

    uri: Annotated[str, Field(max_length=2000, examples=["upload:3f5e…"])]
    """Of the clip."""
    frame: Annotated[int, Field(ge=-(2**53), le=2**53), WHOLE] | None = None
    """Number of the frame, as the clip counts; the first one if left out."""
    crop_factor: Annotated[float, Field(ge=1, le=100), NUMBER] = Detailer().crop_factor
    """Side of the crop over side of the box."""
    drop_size: Annotated[int, Field(ge=1, le=16384), WHOLE] = int(Detailer().drop_size)
    """Pixels; what is no larger is dropped."""
    wait: Annotated[float, Field(ge=0, le=60), NUMBER] = 20
    """Seconds to wait for a worker."""


class FoundSeg(Answer):
    """One thing that was found, in pixels of the frame."""

    bbox: tuple[float, float, float, float]
    """x1, y1, x2, y2 of the thing itself."""
    crop_region: tuple[int, int, int, int]
    """x1, y1, x2, y2 of what would be cut out."""
    label: str
    confidence: float
    dilation: int
    """Pixels by which the filled bbox is grown, where there is no `mask`."""
    mask: str | None = None
    """PNG of the crop region's size, base64, of detectors that tell more than boxes."""


class Found(Answer):
    """What was found, from left to right; or the job that is still at it."""

    status: JobState
    frame: int
    width: int
    height: int
    """Of the frame, pixels."""
    segs: tuple[FoundSeg, ...] | None
    """None: not known yet."""
    job: str | None = None
    """The job that goes on, if it had not ended in time; its SEGS document is `links.segs` once it has."""
    links: Mapping[str, str] = {}


@router.post("/detect", responses={202: {"model": Found, "description": "No worker has looked yet."}})
@needs(Role.ARTIST)
async def detect(asked: FindRequest, tools: Tools, user: User, response: Response) -> Found:
    """Have a worker look at one frame, and wait for what it finds: boxes to draw and to correct.

    It runs as a job of type `detect` on a single picture, before all others, and is gone when it is answered. The same
    frame is not looked at twice. If no worker has answered after `wait` seconds, the answer is 202 and names the job.
    """
    number, job_id = await run_in_threadpool(_submitted, asked, tools, user)
    until = time.monotonic() + asked.wait
    while (status := await run_in_threadpool(tools.farm.status, job_id)).state not in JOB_ENDED:
        if time.monotonic() >= until:
            response.status_code = 202
            return _later(tools, job_id, number, status)
        await asyncio.sleep(POLL_S)
    return await run_in_threadpool(_answer, tools, job_id, number, status, asked.crop_factor)


def _submitted(asked: FindRequest, tools: Context, user: str) -> tuple[int, str]:
    """The frame's number, and the job that looks at it."""
    try:
        clip = tools.farm.media(asked.uri)
        number = clip.first_number if asked.frame is None else asked.frame
        # A worker would decode, store and look up a whole run of frames for this one.
        picture = encode_png(tools.stills.frame(clip, number))
        still = admit_pictures([(f"{number}.png", picture)], clip.name, tools.blobs, tools.limits)
        own = {"uri", "frame", "wait", "crop_factor", "drop_size"}
        segment = {
            "name": "found",
            "detect": asked.model_dump(exclude=own),
            "crop_factor": asked.crop_factor,
            "drop_size": asked.drop_size,
        }
        request = {
            "type": "detect",
            "name": f"{clip.name}, frame {number}",
            "input": {"uri": f"upload:{still.id}"},
            "segments": [segment],
            "priority": PRIORITY,
        }
        return number, tools.farm.submit(JobRequest.model_validate(request), user).facts.id
    except NotFound as error:
        raise Rejected(str(error)) from error  # this address is there; what the body refers to is not


def _later(tools: Context, job_id: str, number: int, status: JobStatus) -> Found:
    clip = tools.farm.document(job_id).input
    here = f"{ROOT}/jobs/{job_id}"
    links = {"job": here, "segs": f"{here}/outputs/segs.json"}
    size = {"width": clip.width, "height": clip.height}
    return Found(status=status.state, frame=number, segs=None, job=job_id, links=links, **size)


def _answer(tools: Context, job_id: str, number: int, status: JobStatus, crop_factor: float) -> Found:
    clip = tools.farm.document(job_id).input
    if status.state is not JobState.COMPLETED:
        failed = tools.farm.tasks(job_id, TaskFilter(states=(), layer=""))
        reasons = dict.fromkeys(task.error for task in failed if task.error)
        raise Conflict(f"Frame {number} could not be looked at: {'; '.join(reasons) or status.activity}")
    document = SegsDocument.model_validate(json.loads(tools.blobs.get(keys.segs(job_id))))
    _tidy(tools, job_id)
    entries = [entry for found in document.frames.values() for entry in found]
    entries.sort(key=lambda entry: (entry.bbox[0], entry.bbox[1]))
    segs = tuple(_found(entry, clip.width, clip.height, crop_factor) for entry in entries)
    return Found(status=status.state, frame=number, width=clip.width, height=clip.height, segs=segs)


def _tidy(tools: Context, job_id: str) -> None:
    """Remove a job that was answered, once its worker has written down the last of it; else it stays."""
    until = time.monotonic() + TIDY_S
    while not tools.blobs.exists(keys.attempts(job_id, "end-0000.json")):
        if time.monotonic() >= until:
            return
        time.sleep(POLL_S)
    remove_job(job_id, tools.blobs, tools.farm.ledger)
    tools.farm.documents.forget(keys.job_doc(job_id))


def _found(entry: SegEntry, width: int, height: int, crop_factor: float) -> FoundSeg:
    region = entry.crop_region or (*make_crop_region(width, height, entry.bbox, crop_factor),)
    return FoundSeg(
        bbox=entry.bbox,
        crop_region=region,
        label=entry.label,
        confidence=entry.confidence,
        dilation=entry.dilation,
        mask=entry.mask if isinstance(entry.mask, str) else None,
    )
