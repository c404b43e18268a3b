"""What a farm of processes tells Prometheus."""

from __future__ import annotations

import time

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.scrape import registry
from farm.domain.detailer import JobType
from farm.service.tally import Tally
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.shots import Shot, hand_in, request

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(farm: FarmUnderTest) -> Samples:
    """Samples by name and labels."""
    text = generate_latest(registry(farm.farm, Tally("api"))).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of that name that have these labels."""
    return sum(v for (known, own), v in samples.items() if known == name and labels.items() <= dict(own).items())


@pytest.mark.slow
def test_a_job_leaves_its_marks_in_the_farm_s_counts(farm: FarmUnderTest, shot: Shot) -> None:
    alive = farm.folder / "alive"
    farm.workers(1, alive_file=alive, fake_seconds=0.01)
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    status = farm.wait(job)
    frames = status.facts.frames
    seen = until("all is told", lambda: _all_told(farm, frames))
    assert value(seen, "farm_frames_finished_total") == frames
    tasks = value(seen, "farm_task_seconds_count")
    assert tasks == value(seen, "farm_attempts_total", outcome="ok") == value(seen, "farm_worker_finished_tasks_total")
    assert value(seen, "farm_task_wait_seconds_count") == tasks
    detail = value(seen, "farm_task_seconds_count", kind="detail")
    for stage in ("load", "engine", "store"):
        assert value(seen, "farm_detail_stage_seconds_count", stage=stage) == detail > 0
    assert value(seen, "farm_crop_seconds_count", type="mask") >= detail
    assert value(seen, "farm_crop_seconds_sum", type="mask") >= 0.01 * value(seen, "farm_crop_seconds_count")
    assert value(seen, "farm_worker_busy_seconds_total", part="engine") > 0
    for direction in ("up", "down"):
        assert value(seen, "farm_store_bytes_total", process="worker", direction=direction) > 0
    assert value(seen, "farm_ledger_operation_seconds_count", process="worker", verb="finish") >= tasks
    assert value(seen, "farm_queue_demand") == 0
    assert value(seen, "farm_job_tasks", job_state="ended", state="completed") == tasks
    assert time.time() - alive.stat().st_mtime < 3600


def _all_told(farm: FarmUnderTest, frames: int) -> Samples | None:
    """A scrape in which the worker's latest counts are: it tells of them with its next sign of life."""
    found = scrape(farm)
    tasks = value(found, "farm_worker_finished_tasks_total")
    told = value(found, "farm_task_seconds_count")
    return found if told == tasks and value(found, "farm_frames_finished_total") == frames else None
