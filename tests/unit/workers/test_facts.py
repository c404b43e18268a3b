"""What a worker tells of itself."""

from __future__ import annotations

from dataclasses import replace

from farm.ports import Lease
from workers.facts import LATELY, Busy, WorkerFacts

DETAIL = Lease("job", "detail.0.0", "detail", "gpu.0", 0, "detail:face", "key", 1, "a-1", "w")


def test_a_new_worker_has_finished_nothing_and_has_no_speed() -> None:
    assert WorkerFacts().info() == {"finished": 0}


def test_speed_and_model_are_those_of_the_latest_detail_tasks() -> None:
    facts = WorkerFacts()
    facts.count(DETAIL, 100.0, "old")
    for _ in range(LATELY):
        facts.count(DETAIL, 2.0, "new")
    facts.count(replace(DETAIL, kind="paste"), 50.0, "another")
    assert facts.info() == {"finished": LATELY + 2, "seconds_per_task": 2.0, "models": ["new"]}


def test_time_at_work_counts_what_is_under_way_and_nothing_twice() -> None:
    now = [10.0]
    busy = Busy(lambda: now[0])
    with busy.at_work():
        now[0] += 2
        with busy.at_work():
            now[0] += 1
            assert busy.seconds == 3
        now[0] += 1
    now[0] += 100
    assert busy.seconds == 4
