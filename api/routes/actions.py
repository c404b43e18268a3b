"""What people decide about a job: cancel, pause, resume, retry, recover."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from api.auth import User
from api.context import Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.shapes import Answer, Asked
from api.views import JobView, job_view
from farm.domain import keys
from farm.domain.state import TASK_ENDED, TaskState
from farm.ports import JobStatus, TaskFilter
from farm.service.gc import remove_job
from farm.service.rebuild import recover_all

router = APIRouter(tags=["jobs"], responses=RESPONSES)


class Which(Asked):
    """Which tasks are meant; what is left out means all."""

    states: tuple[TaskState, ...] = ()
    layer: Annotated[str, Field(max_length=80, examples=["detail:face"])] = ""
    chunk: Annotated[int, Field(ge=0)] | None = None
    tasks: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()


class Action(Asked):
    """A decision about a job."""

    action: Literal["cancel", "pause", "resume", "retry", "recover"]
    """`retry` tries failed and canceled tasks again and reopens an ended job; finished ones are left alone. `recover`
    rebuilds the job's place in Redis from the store."""
    reason: Annotated[str, Field(max_length=500)] = ""
    """Kept with the job, for those who wonder later."""
    filter: Which = Which()
    """`retry` only."""


class Done(Answer):
    """What an action led to."""

    affected: int
    """Tasks that were reset (retry) or had not ended (the others)."""
    job: JobView


class Recovered(Answer):
    """What became of the store's jobs."""

    jobs: tuple[str, ...]
    """Those that Redis has now."""
    recovered: tuple[str, ...]
    """Of them, those that it had lost."""
    failed: tuple[str, ...]
    """Those that could not be read, and why."""


@router.post("/jobs/{job_id}/actions")
def act(job_id: JobId, action: Action, tools: Tools, user: User) -> Done:
    """Cancel, pause, resume, retry or recover a job. Finished frames are never removed."""
    farm = tools.farm
    if action.action == "retry":
        which = action.filter
        wanted = TaskFilter(states=which.states, layer=which.layer, chunk=which.chunk, tasks=which.tasks)
        affected = farm.retry(job_id, wanted, action.reason, user)
        return Done(affected=affected, job=job_view(farm.status(job_id)))
    if action.action == "recover":
        status = farm.recover(job_id)
        return Done(affected=_open_tasks(status), job=job_view(status))
    before = farm.status(job_id)
    return Done(affected=_open_tasks(before), job=job_view(farm.act(job_id, action.action, action.reason, user)))


@router.delete("/jobs/{job_id}", status_code=204)
def delete(job_id: JobId, tools: Tools) -> None:
    """Remove a job that has ended, with its frames and video. What other jobs may share (patches, ingested frames,
    uploads) stays until an operator collects it (`farm gc`)."""
    remove_job(job_id, tools.blobs, tools.farm.ledger)
    tools.farm.documents.forget(keys.job_doc(job_id))


@router.post("/jobs:recover")
def recover(tools: Tools) -> Recovered:
    """Rebuild every job's place in Redis from the store, after Redis lost its data. Those that are there stay so."""
    found = recover_all(tools.farm)
    return Recovered(jobs=found.jobs, recovered=found.recovered, failed=found.failed)


def _open_tasks(status: JobStatus) -> int:
    return sum(count for state, count in status.counts.items() if state not in TASK_ENDED)
