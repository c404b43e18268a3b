"""Counts of the moment that all API processes share: requests in a minute, bytes in a day. They lie in Redis, are lost
with it, and nobody waits for them: where it does not answer, nothing counts and nobody is refused."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from farm.adapters.redis_address import RedisAddress

log = structlog.get_logger(__name__)

ANSWER_S = 0.5
"""Seconds for which a count is waited for."""
AWAY_S = 5.0
"""Seconds for which Redis is left alone after it did not answer: one request in so many is slower, not all."""
_T = TypeVar("_T")


class Counters:
    """Counts by name. Safe for threads and, on Redis, for processes. Never raises for a server's failure."""

    def __init__(self, storage: MemoryStorage | RedisStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._clock = clock
        self._away_until = -math.inf

    @classmethod
    def in_memory(cls) -> Counters:
        """Of this process alone."""
        return cls(MemoryStorage())

    @classmethod
    def on_redis(cls, url: str, prefix: str = "farm:counts") -> Counters:
        """Shared by all that name the same server. No request is made yet.

        Args:
            url: as of the ledger.   prefix: begins every key.
        """
        redis = RedisAddress.read(url).client(
            socket_connect_timeout=ANSWER_S, socket_timeout=ANSWER_S, retry=Retry(NoBackoff(), 1)
        )
        # The storage reads no more of the address than its scheme when it is given the connections.
        return cls(RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=prefix))

    def wait(self, what: str, who: str, per_minute: int) -> float:
        """Count one more of `what` by `who`, in a sliding minute.

        Args:
            per_minute: how many there may be; 0: any number.
        Returns:
            0.0, or the seconds to wait, at least 1: there were as many, and this one is not counted.
        """
        if not per_minute:
            return 0.0
        item = RateLimitItemPerMinute(per_minute, namespace=what)

        def count() -> float:
            if self._window.hit(item, who):
                return 0.0
            return max(1.0, self._window.get_window_stats(item, who).reset_time - time.time())

        return self._ask(count, 0.0)

    def add(self, name: str, amount: int, keep_s: int) -> int:
        """Add to a count that is kept for `keep_s` seconds from its first time on; what it is now."""
        return self._ask(lambda: self._storage.incr(name, keep_s, amount=amount), amount)

    def total(self, name: str) -> int:
        """A count; 0 if there is none."""
        return self._ask(lambda: self._storage.get(name), 0)

    def _ask(self, question: Callable[[], _T], otherwise: _T) -> _T:
        if self._clock() < self._away_until:
            return otherwise
        try:
            return question()
        except RedisError as error:
            self._away_until = self._clock() + AWAY_S
            log.warning("counts_are_off", seconds=AWAY_S, error=str(error))
            return otherwise
