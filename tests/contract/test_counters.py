"""Counts of the moment: in this process, and on a real Redis that processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
import structlog

from farm.adapters.counters import Counters


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def counters(request: pytest.FixtureRequest) -> Iterator[Counters]:
    """Counts that begin at nothing."""
    if request.param == "memory":
        yield Counters.in_memory()
    else:
        yield Counters.on_redis(request.getfixturevalue("redis_url"))


def test_so_many_a_minute_and_then_a_wait_of_at_most_that(counters: Counters) -> None:
    waits = [counters.wait("key", "ann", 3) for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert all(1.0 <= wait <= 61.0 for wait in waits[3:])


def test_each_name_of_each_kind_is_counted_by_itself(counters: Counters) -> None:
    assert counters.wait("key", "ann", 1) == 0.0
    assert counters.wait("key", "bob", 1) == 0.0
    assert counters.wait("address", "ann", 1) == 0.0
    assert counters.wait("key", "ann", 1) > 0.0


def test_zero_is_any_number(counters: Counters) -> None:
    assert [counters.wait("key", "ann", 0) for _ in range(9)] == [0.0] * 9


def test_amounts_add_up_and_may_be_taken_back(counters: Counters) -> None:
    assert (counters.add("uploads:ann", 5, 60), counters.add("uploads:ann", 7, 60)) == (5, 12)
    assert counters.add("uploads:ann", -7, 60) == 5
    assert (counters.total("uploads:ann"), counters.total("uploads:bob")) == (5, 0)


@pytest.mark.servers
def test_processes_of_one_redis_count_together(redis_url: str) -> None:
    first, second = Counters.on_redis(redis_url), Counters.on_redis(redis_url)
    assert [first.wait("key", "ann", 2), second.wait("key", "ann", 2)] == [0.0, 0.0]
    assert first.wait("key", "ann", 2) > 0.0
    assert second.wait("key", "ann", 2) > 0.0


@pytest.mark.servers
def test_every_count_is_forgotten_by_itself(redis_url: str) -> None:
    counters = Counters.on_redis(redis_url)
    counters.wait("key", "ann", 2)
    counters.add("uploads:ann", 5, 60)
    with redis.Redis.from_url(redis_url) as client:
        names = list(client.scan_iter("farm:counts*"))
        assert len(names) >= 2
        assert all(client.ttl(name) > 0 for name in names)


def test_nobody_is_refused_while_redis_is_away_and_it_is_not_asked_each_time() -> None:
    now = [0.0]
    counters = Counters.on_redis("redis://127.0.0.1:9")
    counters._clock = lambda: now[0]
    with structlog.testing.capture_logs() as logs:
        assert [counters.wait("key", "ann", 1) for _ in range(9)] == [0.0] * 9
        assert (counters.add("uploads:ann", 5, 60), counters.total("uploads:ann")) == (5, 0)
        assert [line["event"] for line in logs] == ["counts_are_off"]
        now[0] += 6.0
        assert counters.wait("key", "ann", 1) == 0.0
    assert len(logs) == 2
