"""The log of events of the ledger in memory; the twin of `redis_ledger/log.py`."""

from collections.abc import Mapping
from threading import Condition, RLock
from typing import Any

from farm.adapters.ledger_rules import EVENTS_KEPT_S, milliseconds
from farm.domain.events import Event, EventPage, position


class MemoryLog:
    """What happened, in order; bounded by `trim`."""

    def __init__(self, lock: RLock, kept: int) -> None:
        """
        Args:
            lock: of the ledger: what is told is told in the same moment as it is done.
            kept: events at the most.
        """
        self._news = Condition(lock)
        self._kept = kept
        self._events: list[Event] = []
        self._floor = (0, 0)
        self._last = (0, 0)

    def tell(self, now: int, kind: str, job: str, data: Mapping[str, Any]) -> str:
        """Write an event; its id. What is empty in `data` is left out.

        Args:
            now: server time in milliseconds.
        """
        with self._news:
            same = now <= self._last[0]
            self._last = (self._last[0], self._last[1] + 1) if same else (now, 0)
            told = {name: value for name, value in data.items() if value not in ("", None)}
            self._events.append(Event(_text(self._last), now / 1000, kind, job, told))
            self._news.notify_all()
            return self._events[-1].id

    def page(self, after: str, limit: int, wait_s: float) -> EventPage:
        """What came after an id; where that is nothing, wait for it a while. Raises Rejected."""
        with self._news:
            page = self._page(after, limit)
            if page.events or not wait_s or not page.knows(after or page.floor):
                return page
            self._news.wait(wait_s)
            return self._page(after, limit)

    def _page(self, after: str, limit: int) -> EventPage:
        at = position(after) if after else self._floor
        found = tuple(event for event in self._events if position(event.id) > at)[:limit]
        return EventPage(found, _text(self._floor), _text(max(self._last, self._floor)))

    def trim(self, now: int) -> None:
        """Keep it bounded, in number and in age."""
        oldest = (now - milliseconds(EVENTS_KEPT_S)) / 1000
        old = sum(event.at < oldest for event in self._events)
        extra = max(old, len(self._events) - self._kept)
        if extra > 0:
            self._floor = position(self._events[extra - 1].id)
            del self._events[:extra]


def _text(at: tuple[int, int]) -> str:
    return f"{at[0]}-{at[1]}"
