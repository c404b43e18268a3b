"""Calls side by side: in order, not too many, and nothing after a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.e2e.farm_under_test import until
from workers.steps.ordered import in_order


def test_results_come_in_the_order_of_the_items_whichever_ends_first() -> None:
    last = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert last.wait(60)
        if item == 3:
            last.set()
        return item * 10

    assert list(in_order(work, range(8), at_once=4)) == [item * 10 for item in range(8)]


def test_no_more_items_are_taken_than_may_be_at_work_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), at_once=3)
    assert [next(results), len(taken)] == [0, 4]
    assert [next(results), len(taken)] == [1, 5]
    results.close()  # type: ignore[attr-defined]  # a generator


def test_an_error_comes_in_its_place_and_what_had_begun_has_ended() -> None:
    running: set[int] = set()
    ended: list[int] = []

    def work(item: int) -> int:
        running.add(item)
        if item == 2:
            until("others have begun", lambda: len(running) >= 4)
            raise ValueError(f"{item} is bad")
        ended.append(item)
        return item

    results = in_order(work, range(100), at_once=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="2 is bad"):
        next(results)
    assert sorted(ended) == sorted(running - {2})
    assert max(running) < 10
