"""Logs of attempts in the store, below their job: they go with it."""

from __future__ import annotations

from farm.domain import keys
from farm.domain.task_log import TaskLog
from farm.errors import NotFound
from farm.ports import Blobs

SHOWN = 20
"""Attempts of a task whose logs are read, the last ones."""


def keep_log(job: str, log: TaskLog, fence: str, blobs: Blobs) -> None:
    """Store the log of an attempt that has ended; `fence` tells it from all others."""
    name = keys.task_log(job, log.task, f"{log.ended.replace(':', '')}-{fence}")
    blobs.put(name, log.model_dump_json().encode(), "application/json")


def logs_of(job: str, task: str, blobs: Blobs, limit: int = SHOWN) -> list[TaskLog]:
    """Logs of the last attempts at a task that were kept, in order; empty where there are none."""
    found = []
    for name in list(blobs.list(keys.task_log(job, task, "")))[-limit:]:
        try:
            found.append(TaskLog.model_validate_json(blobs.get(name)))
        except NotFound:
            continue  # removed with its job in this moment
    return found
