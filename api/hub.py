"""The log of events, read once for all streams of this process: a hundred listeners cost what one does.

A listener has a position in the log, nothing else. What lies behind it is taken from the newest events in memory or,
further back, from the log itself; so a slow listener holds nobody up, and nothing is lost or told twice.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections import OrderedDict
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from farm.domain.events import Event, EventPage, position
from farm.errors import FarmError
from farm.ports import Ledger

log = structlog.get_logger(__name__)

KEPT = 5000
"""Newest events that are kept in memory."""
PAGE = 500
"""Events that are read at once."""
PAGES = 16
"""Full pages further back that are kept: who was cut off together comes back together, and asks for the same."""
WAIT_S = 1.0
"""Seconds for which one reading waits for news."""
GATHER_S = 0.05
"""Seconds in which news are gathered before listeners are woken."""
AGAIN_S = 1.0
"""Seconds until Redis is asked again after it did not answer."""

Position = tuple[int, int]


class Told(NamedTuple):
    """An event as it is sent, made once for all."""

    at: Position
    id: str
    job: str
    kind: str
    text: str


class Batch(NamedTuple):
    """What lies behind a position."""

    events: tuple[Told, ...]
    upto: str
    """The position after them."""
    lost: bool = False
    """The log cannot tell what came after the position that was asked for; `upto` is where it stands now."""


class Hub:
    """Reads the log as long as somebody listens."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: list[Told] = []
        self._from: Position = (0, 0)
        self._to: Position = (0, 0)
        """`_kept` holds all events behind `_from` up to `_to`."""
        self._to_id = ""
        self._news = asyncio.Event()
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Task[EventPage]] = {}
        self._pages: OrderedDict[str, Batch] = OrderedDict()

    def join(self) -> None:
        """A listener has come."""
        self._listeners += 1
        self._keep_reading()

    def _keep_reading(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_task(self._read())

    def leave(self) -> None:
        """A listener has gone; without any nothing is read."""
        self._listeners -= 1

    async def newest(self) -> str:
        """Where the log stands now. Raises Unavailable."""
        return (await asyncio.to_thread(self._ledger.events, "", 1)).newest

    async def floor(self) -> str:
        """The position of who knows nothing yet. Raises Unavailable."""
        return (await asyncio.to_thread(self._ledger.events, "", 1)).floor

    async def behind(self, known: str) -> Batch:
        """What lies behind a position, as much as is sent at once. Raises Unavailable."""
        at = position(known)
        if self._to_id and self._from <= at <= self._to:
            first = bisect_right(self._kept, at, key=lambda told: told.at)
            found = tuple(self._kept[first : first + PAGE])
            return Batch(found, found[-1].id if len(found) == PAGE else self._to_id)
        if known in self._pages:
            self._pages.move_to_end(known)
            return self._pages[known]
        return await self._further_back(known)

    async def _further_back(self, known: str) -> Batch:
        if known not in self._asked:
            asked = asyncio.to_thread(self._ledger.events, known, PAGE)
            self._asked[known] = asyncio.get_running_loop().create_task(asked)
        try:
            # One who goes must not take the answer from those who wait for it too.
            page = await asyncio.shield(self._asked[known])
        finally:
            if known in self._asked and self._asked[known].done():
                del self._asked[known]
        if not page.knows(known):
            return Batch((), page.newest, lost=True)
        found = tuple(map(told, page.events))
        batch = Batch(found, found[-1].id if found else known)
        if len(found) == PAGE:
            self._pages[known] = batch
            while len(self._pages) > PAGES:
                self._pages.popitem(last=False)
        return batch

    def news(self) -> asyncio.Event:
        """What is set when something is read after this call: take it before you look, wait for it afterwards."""
        return self._news

    async def wait(self, news: asyncio.Event, timeout_s: float) -> bool:
        """Return when there is news, True, or after `timeout_s` seconds, False."""
        self._keep_reading()
        try:
            await asyncio.wait_for(news.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        self._to_id = ""
        while self._listeners > 0:
            try:
                page = await asyncio.to_thread(self._ledger.events, self._to_id, PAGE if self._to_id else 1, WAIT_S)
            except FarmError as error:
                log.warning("events_not_read", error=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            if self._take(page):
                # A new one for those who wait from now on.
                self._news.set()
                self._news = asyncio.Event()
                await asyncio.sleep(GATHER_S)
        self._to_id = ""
        self._kept.clear()
        self._pages.clear()

    def _take(self, page: EventPage) -> bool:
        """Keep what was read; whether it is news to somebody."""
        if not self._to_id or not page.knows(self._to_id):
            # The first look, or a log that was wiped or cut: every listener finds out by its own position.
            self._kept.clear()
            self._pages.clear()
            self._to_id = page.newest
            self._from = self._to = position(page.newest)
            return True
        if not page.events:
            return False
        self._kept += map(told, page.events)
        self._to_id, self._to = self._kept[-1].id, self._kept[-1].at
        extra = len(self._kept) - KEPT
        if extra > 0:
            self._from = self._kept[extra - 1].at
            del self._kept[:extra]
        return True


def told(event: Event) -> Told:
    """An event as it is sent."""
    body = {
        "id": event.id,
        "time": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
        "kind": event.kind,
        "job": event.job,
        "data": dict(event.data),
    }
    text = f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"
    return Told(position(event.id), event.id, event.job, event.kind, text)
