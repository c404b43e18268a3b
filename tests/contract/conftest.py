"""Fixtures of the contract tests: one suite, held against the twin in memory and the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.redis_ledger import RedisLedger
from tests.contract.ledger_world import HandClock, World


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty ledger of each kind, its clock in the test's hand."""
    clock = HandClock()
    if request.param == "memory":
        yield World(MemoryLedger(clock), clock)
        return
    ledger = RedisLedger(request.getfixturevalue("redis_url"), clock=clock)
    yield World(ledger, clock)
    ledger.close()
