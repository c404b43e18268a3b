"""A job's progress, live on a terminal, as lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from farm.cli.faults import CANCELED, COMPLETED, FAILED, TIMED_OUT, TO_APPROVE
from farm.cli.show import notes, span, state
from farm.client import Farm
from farm.client.answers import JobAnswer
from farm.client.bars import OnBytes
from farm.domain.state import JobState, TaskState

SPEED_OVER_S = 20.0
"""Seconds over which speed is measured, at least."""
SPEED_OVER_CHANGES = 3
"""Times that frames came, over which speed is measured, at least: a chunk's frames come all at once, and on a CPU that
may be minutes after the last ones."""
LINE_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""
FAULTS = 3
"""Failed tasks whose error is told at a job's end."""
END_CODES = {
    JobState.COMPLETED: COMPLETED,
    JobState.FAILED: FAILED,
    JobState.CANCELED: CANCELED,
    JobState.AWAITING_APPROVAL: TO_APPROVE,
}


class Progressing:
    """What is drawn of a job that goes on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._seen: deque[tuple[float, int]] = deque()
        self.job: JobAnswer | None = None

    def update(self, job: JobAnswer) -> None:
        """Take in what the job is now."""
        now = self._clock()
        self.job = job
        if not self._seen or job.frames.done != self._seen[-1][1]:
            self._seen.append((now, job.frames.done))
        while len(self._seen) > SPEED_OVER_CHANGES + 1 and now - self._seen[1][0] > SPEED_OVER_S:
            self._seen.popleft()

    def speed(self) -> float:
        """Frames per second of late."""
        if len(self._seen) < 2:
            return 0.0
        (then, before), (_, after) = self._seen[0], self._seen[-1]
        passed = self._clock() - then
        return max(0.0, (after - before) / passed) if passed > 0 else 0.0

    def __rich__(self) -> RenderableType:
        job = self.job
        if job is None:
            return Text("…")
        head = Table.grid(padding=(0, 1))
        head.add_row(
            state(job.status),
            ProgressBar(total=max(job.frames.total, 1), completed=job.frames.done, width=32),
            f"{job.frames.done}/{job.frames.total} frames",
            _pace(self.speed()),
            _eta(job),
            Text(span(self._clock() - self._begun), "dim"),
        )
        counts = Text("tasks  ", "dim")
        for name in TaskState:
            if job.counts.get(name):
                counts.append_text(state(name)).append(f" {job.counts[name]}  ")
        counts.append(f"workers {job.workers_active}", "dim")
        return Group(head, counts, Text(job.waiting_reason or job.activity, "dim", overflow="ellipsis", no_wrap=True))

    def line(self) -> str:
        """The same in one line of plain text."""
        job = self.job
        if job is None:
            return ""
        counts = " ".join(f"{name}={job.counts[name]}" for name in TaskState if job.counts.get(name))
        told = (f"{job.id} {job.status} {job.frames.done}/{job.frames.total} frames", _eta(job), counts)
        return ", ".join(filter(None, told)) + f"; {job.activity}"


def _pace(speed: float) -> str:
    if speed <= 0:
        return ""
    return f"{speed:.1f}/s" if speed >= 1 else f"{speed * 60:.1f}/min"


def _eta(job: JobAnswer) -> str:
    return f"ETA {span(job.eta.seconds)}" if job.eta and not job.has_ended else ""


def follow(farm: Farm, job_id: str, timeout_s: float | None = None, *, quiet: bool = False) -> JobAnswer | None:
    """Show a job's progress until it has ended; None if it had not in time."""
    console, drawn = notes(), Progressing()
    if quiet:
        return farm.follow(job_id, drawn.update, timeout_s)
    if not console.is_terminal:
        return farm.follow(job_id, _lines(console, drawn), timeout_s)
    with Live(drawn, console=console, refresh_per_second=4):
        return farm.follow(job_id, drawn.update, timeout_s)


def until_decided(farm: Farm, job_id: str, timeout_s: float | None = None) -> JobAnswer | None:
    """Wait in silence until a job has ended, or cannot go on without a person's word; None if neither came in time."""
    try:
        return farm.follow(job_id, _stop_at_a_question, timeout_s)
    except _AskedFor as asked:
        return asked.job


class _AskedFor(Exception):
    """A job waits for approval: nobody waits any longer for its end."""

    def __init__(self, job: JobAnswer) -> None:
        super().__init__(job.id)
        self.job = job


def _stop_at_a_question(job: JobAnswer) -> None:
    if job.status is JobState.AWAITING_APPROVAL:
        raise _AskedFor(job)


def end(farm: Farm, job: JobAnswer | None, job_id: str) -> int:
    """Say how a job ended, and why if badly; the exit code."""
    console = notes()
    if job is None:
        console.print(f"Job {job_id} has not ended yet; it goes on. See it with: farm job watch {job_id}")
        return TIMED_OUT
    console.print(f"Job {job_id}", state(job.status), f"{job.frames.done} of {job.frames.total} frames.")
    if job.status is JobState.AWAITING_APPROVAL:
        console.print(f"Look at what is done; then: farm job approve {job_id}, or farm job reject {job_id}")
    if job.status is JobState.FAILED:
        failed = farm.tasks(job_id, states=[TaskState.FAILED], limit=200)
        for text in dict.fromkeys(f"{task.id}: {task.error}" for task in failed[:FAULTS] if task.error):
            console.print(text, markup=False, style="red")
        console.print(f"Finished frames are kept. Once the cause is gone: farm job retry {job_id}")
    return END_CODES.get(job.status, FAILED)


@contextmanager
def transfer(what: str) -> Iterator[OnBytes]:
    """A bar for bytes on their way; nothing where there is no terminal."""
    console = notes()
    columns = (TextColumn("{task.description}"), BarColumn(32), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _lines(console: Console, drawn: Progressing) -> Callable[[JobAnswer], None]:
    last: list[tuple[float, JobState]] = []

    def tell(job: JobAnswer) -> None:
        drawn.update(job)
        now = time.monotonic()
        if not last or job.status is not last[0][1] or now - last[0][0] >= LINE_EVERY_S or job.has_ended:
            last[:] = [(now, job.status)]
            console.print(drawn.line(), markup=False, soft_wrap=True)

    return tell
