"""What is logged while a worker is at a task, put aside attempt by attempt, and stored where one ends badly."""

from __future__ import annotations

import json
import logging
import socket
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from farm.domain.state import FREE_OUTCOMES, Outcome
from farm.domain.task_log import BYTES_MAX, LINES_MAX, TaskLog
from farm.errors import FarmError
from farm.ports import Blobs, Lease
from farm.service.task_logs import keep_log

log = structlog.get_logger()

Which = Literal["failed", "all", "none"]
OPEN_MAX = 64
"""Attempts whose lines are held at once; a worker has a handful."""
EXCEPTION_MAX = 8000
"""Characters of a traceback that are kept, the last ones."""
QUIET = FREE_OUTCOMES | {Outcome.CANCELED}
"""Ends that are nobody's fault: there is nothing to look for."""


class Lines:
    """The last lines of one attempt."""

    def __init__(self) -> None:
        self._lines: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def add(self, event: dict[str, Any]) -> None:
        """Take in a line; the first ones make room."""
        size = len(json.dumps(event))
        with self._lock:
            self._lines.append((event, size))
            self._bytes += size
            while len(self._lines) > LINES_MAX or self._bytes > BYTES_MAX:
                self._bytes -= self._lines.popleft()[1]
                self._left_out += 1

    def told(self) -> tuple[tuple[dict[str, Any], ...], int]:
        """The lines, and how many were left out before them."""
        with self._lock:
            return tuple(event for event, _ in self._lines), self._left_out


_CURRENT: ContextVar[Lines | None] = ContextVar("attempt_lines", default=None)


class AttemptLogs:
    """Logs of the attempts of this process. Safe for threads."""

    def __init__(self, blobs: Blobs, which: Which = "failed") -> None:
        """
        Args:
            which: attempts whose log is stored.
        """
        self._blobs = blobs
        self._which = which
        self._open: OrderedDict[str, Lines] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, lease: Lease) -> Iterator[None]:
        """What this thread logs in here belongs to that attempt."""
        with self._lock:
            lines = self._open.get(lease.fence)
            if lines is None:
                lines = self._open[lease.fence] = Lines()
                lines.add(_first_line(lease))
            while len(self._open) > OPEN_MAX:
                self._open.popitem(last=False)
        token = _CURRENT.set(lines)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def close(self, lease: Lease, outcome: Outcome) -> None:
        """An attempt has ended: its log is stored, or forgotten. Failures to store it are told and harm nothing."""
        with self._lock:
            lines = self._open.pop(lease.fence, None)
        wanted = self._which == "all" or (self._which == "failed" and outcome is not Outcome.OK)
        if lines is None or not wanted or outcome in QUIET:
            return
        told, left_out = lines.told()
        kept = TaskLog(
            task=lease.task,
            worker=lease.worker,
            host=socket.gethostname(),
            attempt=lease.attempt,
            outcome=outcome.value,
            ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
            left_out=left_out,
            lines=told,
        )
        try:
            keep_log(lease.job, kept, lease.fence, self._blobs)
        except FarmError as error:
            log.warning("task_log_not_kept", job=lease.job, task=lease.task, error=str(error))


def _first_line(lease: Lease) -> dict[str, Any]:
    """What every log begins with: when, and which attempt at what."""
    said = {"kind": lease.kind, "queue": lease.queue, "attempt": lease.attempt, "fence": lease.fence}
    return {"level": "info", "timestamp": datetime.now(UTC).isoformat(), "event": "begins", **said}


def noted(_logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog's: puts each event aside for the attempt that its thread is at."""
    lines = _CURRENT.get()
    if lines is not None:
        lines.add(plain(event, level))
    return event


def plain(event: MutableMapping[str, Any], level: str) -> dict[str, Any]:
    """An event as JSON: what is none of its own kinds is written out."""
    raised = event.get("exc_info")
    made = {name: _value(value) for name, value in event.items() if name != "exc_info"}
    if isinstance(raised, BaseException) and "exception" not in made:
        made["exception"] = "".join(traceback.format_exception(raised))
    if "exception" in made:
        made["exception"] = str(made["exception"])[-EXCEPTION_MAX:]
    return {"level": level, **made}


def _value(value: object) -> Any:  # noqa: ANN401 - any JSON
    if value is None or isinstance(value, bool | int | float | str):
        return value[:EXCEPTION_MAX] if isinstance(value, str) else value
    return repr(value)[:EXCEPTION_MAX]


class _Others(logging.Handler):
    """Warnings of libraries, which log by the standard way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record aside for the attempt that its thread is at."""
        lines = _CURRENT.get()
        if lines is not None:
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            said = {"timestamp": at, "event": record.getMessage(), "logger": record.name}
            lines.add(plain({**said, "exc_info": (record.exc_info or (None, None))[1]}, record.levelname.lower()))


def install() -> None:
    """Have everything that this process logs from now on be looked at; how it is written stays as it is."""
    processors = list(structlog.get_config()["processors"])
    if noted not in processors:
        structlog.configure(processors=[*processors[:-1], noted, processors[-1]])
    root = logging.getLogger()
    if not any(isinstance(handler, _Others) for handler in root.handlers):
        root.addHandler(_Others(logging.WARNING))
