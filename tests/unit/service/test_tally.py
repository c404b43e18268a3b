"""What a process counts, and how it is told."""

from __future__ import annotations

from threading import Thread

import pytest

from farm.domain.metrics import CROP_SECONDS, METRICS, RETRIES, Metric
from farm.service.tally import Tally, series

SECONDS = Metric("farm_x_seconds", "For tests.", ("kind",), (0.1, 1, 10))


def parts(values: dict[str, float], metric: Metric = SECONDS) -> dict[tuple[str, ...], dict[str, float]]:
    return {one.labels: dict(one.parts) for one in series(metric, values)}


def test_a_value_on_a_bound_belongs_to_the_bucket_below_it() -> None:
    tally = Tally()
    for value in (0.1, 0.100001, 10, 10.5):
        tally.observe(SECONDS, "a", value=value)
    found = parts(tally.totals())["a",]
    assert {name: found[name] for name in ("0.1", "1", "10", "+Inf")} == {"0.1": 1, "1": 1, "10": 1, "+Inf": 1}
    assert found["sum"] == pytest.approx(20.700001)


def test_only_what_came_new_is_taken_and_what_could_not_be_told_is_taken_again() -> None:
    tally = Tally()
    tally.add(RETRIES, "oom")
    taken = tally.take()
    assert tally.take() == {}
    tally.add(RETRIES, "oom", by=2)
    tally.give_back(taken)
    assert tally.take() == tally.totals() == {"farm_retries_total|oom": 3}


def test_labels_are_told_apart_whatever_is_in_them() -> None:
    tally = Tally()
    tally.add(RETRIES, "a|b")
    assert parts(tally.totals(), RETRIES) == {("a/b",): {"": 1}}


def test_what_another_version_counted_is_left_out() -> None:
    values = {"farm_x_seconds|a|b|0.1": 1.0, "farm_x_seconds": 2.0, "farm_y|a|1": 3.0, "farm_x_seconds|a|1": 4.0}
    assert parts(values) == {("a",): {"1": 4}}


def test_nothing_is_lost_between_threads() -> None:
    tally, taken = Tally(), []

    def count() -> None:
        for _ in range(2000):
            tally.observe(CROP_SECONDS, "mask", value=0.2)
            taken.append(tally.take())

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.get("farm_crop_seconds|mask|0.25", 0) for one in taken) == 8000


def test_no_two_metrics_share_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
