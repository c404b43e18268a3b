"""Progress reaches the ledger at its beginning, at its end, and at a bounded rate in between."""

from __future__ import annotations

import pytest

from farm.errors import Canceled
from workers.progress import Progress


def test_the_first_and_the_last_step_are_reported_and_few_in_between() -> None:
    now, reported = [0.0], list[int]()
    progress = Progress(lambda step, _: reported.append(step), every_s=0.2, clock=lambda: now[0])
    for step in range(1, 101):
        progress(step, 100)
        now[0] += 0.01
    assert reported == [1, 21, 41, 61, 81, 100]


def test_slow_steps_are_all_reported() -> None:
    now, reported = [0.0], list[int]()
    progress = Progress(lambda step, _: reported.append(step), every_s=0.2, clock=lambda: now[0])
    for step in range(1, 6):
        progress(step, 5)
        now[0] += 0.5
    assert reported == [1, 2, 3, 4, 5]


def test_what_the_ledger_says_reaches_the_step() -> None:
    def report(step: int, steps: int) -> None:
        raise Canceled("enough")

    with pytest.raises(Canceled):
        Progress(report)(1, 10)
