"""Bars that tell how far an upload, a job or a download is; on a terminal and in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from farm.client.answers import JobAnswer

OnBytes = Callable[[int, int], None]
"""Told of progress: bytes that are there, and bytes in all."""
OnJob = Callable[[JobAnswer], None]
"""Told of each change of a job."""


@contextmanager
def byte_bar(shown: bool, what: str, told: OnBytes) -> Iterator[OnBytes]:
    """A bar for bytes; `told` hears of them besides. Nothing is drawn where `shown` is False."""
    if not shown:
        yield told
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(what, total=None)

        def both(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)
            told(done, total)

        yield both


@contextmanager
def frame_bar(shown: bool, told: OnJob) -> Iterator[OnJob]:
    """A bar for a job's frames; `told` hears of every change besides. Nothing is drawn where `shown` is False."""
    if not shown:
        yield told
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("job", total=None)

        def both(job: JobAnswer) -> None:
            said = f"{job.name or job.id}: {job.status}"
            bars.update(bar, description=said, completed=job.frames.done, total=job.frames.total)
            told(job)

        yield both
