"""The log of events on Redis: a stream that the scripts write as they change things, and that a sweep trims."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farm.adapters.ledger_rules import milliseconds
from farm.adapters.redis_ledger.connection import Connection
from farm.domain.events import Event, EventPage, position

LONGEST_WAIT_S = 2.0
"""Seconds for which one command waits: well below the time in which Redis must answer."""


class Log:
    """The part of the ledger that tells what happened."""

    _connection: Connection
    _run: Callable[..., Any]

    def events(self, after: str = "", limit: int = 500, wait_s: float = 0.0) -> EventPage:
        """What came after an id; where that is nothing, wait for it a while. Raises Rejected."""
        if after:
            position(after)
        page = self._page(after, limit)
        if page.events or not wait_s or not page.knows(after or page.floor):
            return page
        wait = milliseconds(min(wait_s, LONGEST_WAIT_S))
        redis, name = self._connection.redis, f"{self._connection.prefix}events"
        # Only woken by it: the floor must be read in the same moment as the events.
        if not self._connection.ask(lambda: redis.xread({name: after or page.floor}, count=1, block=wait)):
            return page
        return self._page(after, limit)

    def _page(self, after: str, limit: int) -> EventPage:
        floor, newest, found = self._run("events", after, limit)
        return EventPage(tuple(_event(*entry) for entry in found), floor, newest)

    def announce(self, kind: str, job: str, data: Mapping[str, object]) -> str:
        """Write an event; its id."""
        return str(self._run("announce", job, kind, json.dumps(data)))

    def bookmark(self, name: str) -> str:
        """What was last kept under a name, or ""."""
        redis, key = self._connection.redis, self._bookmark(name)
        return str(self._connection.ask(lambda: redis.get(key)) or "")

    def keep_bookmark(self, name: str, value: str) -> None:
        """Keep a short text under a name."""
        redis, key = self._connection.redis, self._bookmark(name)
        self._connection.ask(lambda: redis.set(key, value))

    def _bookmark(self, name: str) -> str:
        return f"{self._connection.prefix}bookmark:{name}"


def _event(event_id: str, fields: Sequence[str]) -> Event:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    return Event(event_id, int(values["at"]) / 1000, values["kind"], values["job"], json.loads(values["data"]))
