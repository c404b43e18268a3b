from __future__ import annotations

import pytest

from workers.speed import Speed


def test_a_worker_that_has_done_nothing_has_no_speed() -> None:
    assert Speed().per_s == 0


def test_the_latest_tasks_count_most() -> None:
    speed = Speed()
    speed.note(100, 1.0)
    assert speed.per_s == 100
    for _ in range(30):
        speed.note(100, 0.5)
    assert speed.per_s == pytest.approx(200, rel=0.01)


def test_what_took_no_time_says_nothing() -> None:
    speed = Speed()
    speed.note(100, 0.0)
    assert speed.per_s == 0
