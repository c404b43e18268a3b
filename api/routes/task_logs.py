"""What workers said while they were at a task."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.context import Tools
from api.problems import RESPONSES
from api.routes.jobs import JobId
from api.shapes import Answer
from farm.domain.task_log import TaskLog
from farm.service.task_logs import logs_of

router = APIRouter(tags=["tasks"], responses=RESPONSES)


class TaskLogs(Answer):
    """Logs of attempts, in the order in which they ended."""

    items: tuple[TaskLog, ...]
    """The last 20; empty where none was kept."""


@router.get("/jobs/{job_id}/tasks/{task_id}/log")
def task_log(
    job_id: JobId,
    task_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$", examples=["detail.3.0"])],
    tools: Tools,
) -> TaskLogs:
    """The last log lines of attempts at a task that ended badly (of all with FARM_TASK_LOGS=all), also after their
    workers and the task's row are gone. They go with the job."""
    tools.farm.document(job_id)
    return TaskLogs(items=tuple(logs_of(job_id, task_id, tools.blobs)))
