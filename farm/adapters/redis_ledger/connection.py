"""The way to Redis: one client, its timeouts, and every failure in the farm's words."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as NoConnection,
)
from redis.exceptions import (
    TimeoutError as TookTooLong,
)
from redis.retry import Retry
from tenacity import Retrying, retry_if_exception, wait_random_exponential

from farm.adapters.redis_address import RedisAddress
from farm.errors import Unavailable

CONNECT_S = 5.0
"""Seconds until a connection must stand."""
ANSWER_S = 10.0
"""Seconds until a command must be answered; the longest script takes milliseconds."""
CHECK_S = 25
"""Seconds of silence after which a connection is tried before it is used: firewalls forget idle ones."""
PAUSE_MAX_S = 5.0
"""Seconds; the longest pause between two tries of a patient ledger."""

Observe = Callable[[str, float, bool], None]
"""Told of a verb, the seconds until its answer, and whether it was one."""

_LATER = re.compile(r"(?:^|-)(?:LOADING|MASTERDOWN|MISCONF|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS)\b")
"""Error codes of a server that will do better later, in an answer or in a script's error."""

_FOLDER = Path(__file__).parent
_PRELUDE = ("base", "moves", "attempts", "resets")
_FEWER = {
    **dict.fromkeys(("alive", "announce", "beat", "events", "leave", "remember", "workers"), 1),
    **dict.fromkeys(("act", "adjust", "claim", "create", "forget", "ready"), 2),
    **dict.fromkeys(("extend", "fail", "finish", "progress", "renew", "sweep"), 3),
}
"""Verbs that do not stand on all parts of the prelude, and on how many: what is in front of a script runs each time."""


class WrongPassword(Unavailable):
    """Redis does not let us in; waiting does not help."""


class Connection:
    """Runs scripts and commands; short outages are ridden out for `patience_s`."""

    def __init__(
        self,
        url: str,
        prefix: str,
        patience_s: float,
        answer_s: float,
        clock: Callable[[], float] | None,
        observe: Observe | None = None,
    ) -> None:
        self.prefix = prefix
        self._answer_s = answer_s
        self.patience_s = patience_s
        """Seconds for which an outage is ridden out; may be changed at any time, calls under way heed it."""
        self.shared = False
        """Whether all calls during an outage share that time, instead of each having its own."""
        self._away_since: float | None = None
        self._clock = clock
        self._observe = observe or _nobody
        address = RedisAddress.read(url)
        self._where = address.where
        self.redis: Redis = address.client(
            decode_responses=True,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=answer_s,
            socket_keepalive=True,
            health_check_interval=CHECK_S,
            # Once, at once: a pooled connection may be one that a restarted server does not know any more.
            # Every verb may be sent twice; longer patience is `patience_s`.
            retry=Retry(NoBackoff(), 1),
        )
        parts = [(_FOLDER / f"{name}.lua").read_text() for name in _PRELUDE]
        self._scripts = {
            path.stem: self.redis.register_script("\n".join([*parts[: _FEWER.get(path.stem)], path.read_text()]))
            for path in _FOLDER.glob("*.lua")
            if path.stem not in _PRELUDE
        }

    def run(self, verb: str, *args: str | float) -> Any:  # noqa: ANN401 - what a script returns
        """Run a verb's script, atomically. Raises Unavailable."""
        now = "" if self._clock is None else str(round(self._clock() * 1000))
        script = self._scripts[verb]
        return self.ask(lambda: script(args=[self.prefix, now, *args]), verb)

    def together(self, fill: Callable[[Pipeline], object]) -> list[Any]:
        """Commands that are run in one transaction; `fill` queues them. Raises Unavailable."""

        def question() -> list[Any]:
            # Filled anew for each try: a pipeline is empty after it was sent.
            with self.redis.pipeline(transaction=True) as pipe:
                fill(pipe)
                return pipe.execute()

        return list(self.ask(question))

    def ask(self, question: Callable[[], Any], verb: str = "read") -> Any:  # noqa: ANN401 - what a command returns
        """Put a question to the server. Raises Unavailable, after `patience_s` of trying."""
        try:
            # First without what rides out an outage: to set that up costs as much as half of a question.
            return self._ask_once(question, verb)
        except Unavailable as error:
            if not self.patience_s or not _may_pass(error):
                raise
        tries = Retrying(
            stop=lambda state: self._waited(state.seconds_since_start or 0) >= self.patience_s,
            wait=wait_random_exponential(multiplier=0.1, max=PAUSE_MAX_S),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        return tries(self._ask_once, question, verb)

    def _waited(self, here: float) -> float:
        """Seconds for which an outage was ridden out, in this call or in all."""
        since = self._away_since
        return time.monotonic() - since if self.shared and since is not None else here

    def _ask_once(self, question: Callable[[], Any], verb: str) -> Any:  # noqa: ANN401 - as above
        began = time.monotonic()
        try:
            answer = question()
        except RedisError as error:
            self._observe(verb, time.monotonic() - began, False)
            self._away_since = self._away_since or time.monotonic()
            failure = _in_our_words(error, self._where, self._answer_s)
            if failure is None:
                raise
            raise failure from error
        self._away_since = None
        self._observe(verb, time.monotonic() - began, True)
        return answer

    def close(self) -> None:
        """Give the connections back."""
        self.redis.close()


def _nobody(verb: str, seconds: float, answered: bool) -> None:
    """Nobody wants to know."""


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and not isinstance(error, WrongPassword)


def _in_our_words(error: RedisError, where: str, answer_s: float) -> Unavailable | None:
    """The farm's error for one of Redis's; None for a fault of our own."""
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return WrongPassword(
            f"Redis at {where} refuses our password or user: {error}. Check the user and password in FARM_REDIS_URL."
        )
    if isinstance(error, TookTooLong):
        return Unavailable(
            f"Redis at {where} did not answer within {answer_s:g} s. Check that the server is not overloaded, "
            f"swapping or stopped (`redis-cli --latency`), and the network to it."
        )
    if isinstance(error, BusyLoadingError):
        return Unavailable(f"Redis at {where} is loading its data after a start. Wait; it answers when it is done.")
    if isinstance(error, NoConnection):
        return Unavailable(
            f"Redis at {where} cannot be reached: {str(error).rstrip('.')}. Check that it runs, and the host and port "
            f"in FARM_REDIS_URL."
        )
    text = str(error)
    if isinstance(error, ReadOnlyError) or "READONLY" in text:
        return Unavailable(
            f"Redis at {where} is a read-only replica. If a failover is under way, wait; else let FARM_REDIS_URL name "
            f"the primary."
        )
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in text:
        return Unavailable(
            f"Redis at {where} has reached its maxmemory and takes nothing new. Give it more (`CONFIG SET maxmemory`), "
            f"or remove old jobs."
        )
    if isinstance(error, ResponseError) and _LATER.search(text):
        return Unavailable(f"Redis at {where} cannot serve us now: {text}. Look into its log.")
    return None


def whole_ms(seconds: float) -> int:
    """Milliseconds, at least 1 for anything above 0: Redis refuses a time to live of 0."""
    return max(1, math.ceil(seconds * 1000)) if seconds > 0 else 0
