"""How often somebody may ask: per key, per address, and for wrong keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from api.address import counted_as
from farm.adapters.counters import Counters

REMEMBERED = 10_000
"""Addresses that this process keeps as shut out; the oldest go first."""


@dataclass(frozen=True)
class Rates:
    """Requests in a minute; 0: any number."""

    per_key: int
    per_address: int
    wrong_keys: int
    """Tries with a wrong key, of one address."""


class Throttle:
    """Counts requests where all API processes see them. A good key's request costs no more than its own two counts."""

    def __init__(self, counters: Counters, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._rates = rates
        self._clock = clock
        self._out: dict[str, float] = {}
        """Address -> until when it is shut out, for its wrong keys."""

    def shut_out(self, address: str) -> float:
        """Seconds for which no key of this address is looked at; asks nobody."""
        until = self._out.get(counted_as(address))
        return 0.0 if until is None else max(0.0, until - self._clock())

    def wrong_key(self, address: str) -> float:
        """Count a wrong key; seconds for which the address is shut out now, 0.0 if it is not."""
        who = counted_as(address)
        wait = self._counters.wait("wrong-key", who, self._rates.wrong_keys)
        if wait:
            self._out.pop(who, None)
            self._out[who] = self._clock() + wait
            while len(self._out) > REMEMBERED:
                del self._out[next(iter(self._out))]
        return wait

    def request(self, address: str, key: str = "") -> tuple[float, str]:
        """Count a request; seconds to wait, 0.0 if it may go on, and which limit says so, in words."""
        wait = self._counters.wait("address", counted_as(address), self._rates.per_address)
        if wait:
            return wait, f"{self._rates.per_address:,} a minute from one address (FARM_RATE_PER_ADDRESS)"
        if key:
            wait = self._counters.wait("key", key, self._rates.per_key)
        return wait, f"{self._rates.per_key:,} a minute with one key (FARM_RATE_PER_KEY)"
