"""What a job's progress says of speed and of the time that is left."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from farm.cli.watch import Progressing
from farm.client.answers import Chunks, Eta, Frames, JobAnswer
from farm.domain.state import JobState


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _job(done: int, eta: float | None = None) -> JobAnswer:
    return JobAnswer(
        id="j",
        status=JobState.ACTIVE,
        frames=Frames(total=150, done=done),
        chunks=Chunks(total=10),
        eta=None if eta is None else Eta(seconds=eta),
    )


def _drawn(progress: Progressing) -> str:
    console = Console(file=StringIO(), width=120)
    with console.capture() as capture:
        console.print(progress)
    return capture.get()


def test_chunks_that_come_minutes_apart_have_a_speed_in_between() -> None:
    clock = _Clock()
    progress = Progressing(clock)
    for second in range(450):
        clock.now = float(second)
        progress.update(_job(16 * (second // 160)))
    assert 3.5 < progress.speed() * 60 < 6
    assert "/min" in _drawn(progress)


def test_a_fast_job_is_measured_over_seconds() -> None:
    clock = _Clock()
    progress = Progressing(clock)
    for second in range(120):
        clock.now = float(second)
        progress.update(_job(second // 2 if second < 60 else 30 + 2 * (second - 60)))
    assert 1.9 < progress.speed() < 2.1
    assert "2.0/s" in _drawn(progress)


def test_the_lines_of_a_log_say_how_long_it_will_take() -> None:
    progress = Progressing(_Clock())
    progress.update(_job(16, eta=200))
    assert "16/150 frames, ETA 3 min 20 s" in progress.line()
    assert "/s" not in _drawn(progress), "nothing is known yet"
