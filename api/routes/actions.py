"""What people decide about a job: cancel, pause, resume, approve, retry, eat, unblock, recover, priority."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import User
from api.context import Tools
from api.problems import RESPONSES
from api.recorder import Record
from api.roles import needs
from api.routes.jobs import JobId
from api.shapes import Answer, Asked
from api.views import JobView, job_view
from farm.domain import keys
from farm.domain.numbers import WHOLE
from farm.domain.people import Role
from farm.domain.state import TASK_ENDED, TaskState
from farm.errors import Rejected
from farm.ports import JobStatus, TaskFilter
from farm.service.eat import Meant
from farm.service.farm import Farm
from farm.service.gc import remove_job
from farm.service.rebuild import recover_all

router = APIRouter(tags=["jobs"], responses=RESPONSES)


class Which(Asked):
    """Which tasks are meant; what is left out means all."""

    states: tuple[TaskState, ...] = ()
    layer: Annotated[str, Field(max_length=80, examples=["detail:face"])] = ""
    chunk: Annotated[int, Field(ge=0), WHOLE] | None = None
    tasks: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    frame: Annotated[int, WHOLE] | None = None
    """By its number; `eat` only."""


class Action(Asked):
    """A decision about a job."""

    action: Literal["cancel", "pause", "resume", "approve", "retry", "eat", "unblock", "recover"]
    """`approve` lets a job go on whose first chunks were looked at. `retry` tries failed and canceled tasks again,
    makes again what was eaten, and reopens an ended job; finished tasks are left alone. `eat` gives up what failed: the
    frames keep the input's pixels there, a frame that cannot be read is left out. `unblock` gives tasks of the job to
    workers again that failed too many. `recover` rebuilds the job's place in Redis from the store."""
    reason: Annotated[str, Field(max_length=500)] = ""
    """Kept with the job, for those who wonder later."""
    filter: Which = Which()
    """`retry`: all of it. `eat`: `tasks`, or `chunk`, or `frame`."""
    worker: Annotated[str, Field(max_length=200)] = ""
    """`unblock`: only this one."""


class Done(Answer):
    """What an action led to."""

    affected: int
    """Tasks that go on (retry, eat), blocks that are gone (unblock), tasks that had not ended (the others)."""
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
@needs(Role.ARTIST, own_job=True)
def act(job_id: JobId, action: Action, tools: Tools, user: User, record: Record) -> Done:
    """Cancel, pause, resume, approve, retry, eat, unblock or recover a job. Finished frames are never removed."""
    details = action.model_dump(mode="json", exclude_defaults=True, exclude={"action", "reason"})
    with record.change(f"job.{action.action}", job=job_id, reason=action.reason, **details):
        return _act(job_id, action, tools.farm, user)


def _act(job_id: str, action: Action, farm: Farm, user: str) -> Done:
    if action.action == "retry":
        which = action.filter
        wanted = TaskFilter(states=which.states, layer=which.layer, chunk=which.chunk, tasks=which.tasks)
        affected = farm.retry(job_id, wanted, action.reason, user)
        return Done(affected=affected, job=job_view(farm.status(job_id)))
    if action.action == "eat":
        affected = farm.eat(job_id, _meal(action.filter), action.reason, user)
        return Done(affected=affected, job=job_view(farm.status(job_id)))
    if action.action == "unblock":
        affected = farm.unblock(job_id, action.worker, action.reason, user)
        return Done(affected=affected, job=job_view(farm.status(job_id)))
    if action.action == "recover":
        status = farm.recover(job_id)
        return Done(affected=_open_tasks(status), job=job_view(status))
    before = farm.status(job_id)
    return Done(affected=_open_tasks(before), job=job_view(farm.act(job_id, action.action, action.reason, user)))


@router.delete("/jobs/{job_id}", status_code=204)
@needs(Role.ARTIST, own_job=True)
def delete(
    job_id: JobId,
    tools: Tools,
    record: Record,
    reason: Annotated[str, Query(max_length=500, description="Why; kept in the audit.")] = "",
) -> None:
    """Remove a job that has ended, with its frames and video. What other jobs may share (patches, ingested frames,
    uploads) stays until an operator collects it (`farm gc`)."""
    with record.change("job.delete", job=job_id, reason=reason):
        remove_job(job_id, tools.blobs, tools.farm.ledger)
        tools.farm.documents.forget(keys.job_doc(job_id))


class Change(Asked):
    """What may be changed of a job that was submitted; what is left out stays."""

    priority: Annotated[int, Field(ge=0, le=100), WHOLE] | None = None
    """Larger is served first."""
    max_workers: Annotated[int, Field(ge=0, le=100_000), WHOLE] | None = None
    """Workers at work on it at the same time, at most; 0: any number. Those that have begun a task finish it."""
    reason: Annotated[str, Field(max_length=500)] = ""


@router.patch("/jobs/{job_id}")
@needs(Role.ARTIST, own_job=True)
def change(job_id: JobId, change: Change, tools: Tools, user: User, record: Record) -> JobView:
    """Change a job's priority, or how many workers it may have, while it runs."""
    if change.priority is None and change.max_workers is None:
        raise Rejected("Nothing to change was given. Send `priority`, `max_workers` or both.")
    details = change.model_dump(exclude_none=True, exclude={"reason"})
    with record.change("job.adjust", job=job_id, reason=change.reason, **details):
        return job_view(tools.farm.adjust(job_id, change.priority, change.max_workers, change.reason, user))


@router.post("/jobs:recover")
@needs(Role.ADMIN)
def recover(
    tools: Tools,
    record: Record,
    reason: Annotated[str, Query(max_length=500, description="Why; kept in the audit.")] = "",
) -> Recovered:
    """Rebuild every job's place in Redis from the store, after Redis lost its data. Those that are there stay so."""
    with record.change("farm.recover", reason=reason):
        found = recover_all(tools.farm)
    return Recovered(jobs=found.jobs, recovered=found.recovered, failed=found.failed)


def _meal(which: Which) -> Meant:
    if which.states or which.layer:
        raise Rejected("`eat` takes no `states` and no `layer`: name tasks by their ids, a `frame` or a `chunk`.")
    return Meant(tasks=which.tasks, frame=which.frame, chunk=which.chunk)


def _open_tasks(status: JobStatus) -> int:
    return sum(count for state, count in status.counts.items() if state not in TASK_ENDED)
