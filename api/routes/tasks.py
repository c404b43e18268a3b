"""Tasks of a job: what is ready, running, failed, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.context import Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.views import TaskPage, TaskView, task_view
from farm.domain.state import TaskState
from farm.ports import TaskFilter

router = APIRouter(tags=["tasks"], responses=RESPONSES)


@router.get("/jobs/{job_id}/tasks")
def tasks(
    job_id: JobId,
    tools: Tools,
    state: Annotated[list[TaskState] | None, Query(description="May be given several times.")] = None,
    layer: Annotated[str, Query(max_length=80, examples=["detail:face"])] = "",
    chunk: Annotated[int | None, Query(ge=0)] = None,
    cursor: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> TaskPage:
    """Tasks of the chunks in flight, and those that failed."""
    tools.farm.status(job_id)
    which = TaskFilter(states=tuple(state or ()), layer=layer, chunk=chunk)
    found = tools.farm.tasks(job_id, which, cursor, limit)
    return TaskPage(
        items=tuple(task_view(job_id, task) for task in found),
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/jobs/{job_id}/tasks/{task_id}")
def task(job_id: JobId, task_id: Annotated[str, Path(max_length=200)], tools: Tools) -> TaskView:
    """One task, with all its attempts."""
    return task_view(job_id, tools.farm.task(job_id, task_id))
