"""What a worker said while it was at a task, kept for those who wonder why an attempt ended badly."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

LINES_MAX = 200
"""Lines of one attempt that are kept, the last ones."""
BYTES_MAX = 64 << 10
"""Bytes of one attempt's lines, as JSON, that are kept at the most."""


class TaskLog(BaseModel):
    """The log of one attempt, by the worker that made it."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    task: str
    worker: str
    host: str = ""
    attempt: int
    """From 1; attempts that do not count against the job's `max_attempts` have the number of the next one."""
    outcome: str
    """How it ended: `ok`, `error`, `oom`, `timeout`, `stuck` …"""
    ended: str
    """UTC by the worker's clock, ISO 8601."""
    left_out: int = 0
    """Lines before the first one here that were not kept."""
    lines: tuple[dict[str, Any], ...] = ()
    """Events in order: `timestamp`, `level`, `event`, and what belongs to it; `exception` where Python raised one."""
