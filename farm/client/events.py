"""Server-sent events: read line by line, gone on with where a connection broke off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from farm.client.ahttp import AsyncHttp
from farm.client.http import Http, NotReached
from farm.errors import Unavailable

PATIENCE_S = 300.0
"""Seconds for which a stream that broke off is asked for again."""
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 5.0
"""Seconds between two tries: the first pause, doubled with each, and the longest one."""


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    event: str
    """What kind: `job.status`, `workers` …"""
    data: Any
    """Its JSON, or its text where that is none."""
    id: str = ""
    """Where a stream goes on from, if this was the last that was heard."""


@dataclass
class Reader:
    """Puts the lines of a stream together to events, and remembers the last one that was heard.

    Source: the WHATWG's HTML standard, "Interpreting an event stream".
    """

    last_id: str = ""
    _id: str = ""
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def begin(self) -> dict[str, str]:
        """A connection is made (anew): the headers of its request. What was heard in part is forgotten."""
        self._id, self._event, self._data = self.last_id, "", []
        return {"Accept": "text/event-stream", **({"Last-Event-ID": self.last_id} if self.last_id else {})}

    def feed(self, line: str) -> Event | None:
        """Take in a line; the event that it completes, if it does."""
        if not line:
            return self._completed()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _completed(self) -> Event | None:
        self.last_id = self._id
        event, data, self._event, self._data = self._event, self._data, "", []
        if not data:
            return None
        text = "\n".join(data)
        try:
            return Event(event or "message", json.loads(text), self.last_id)
        except ValueError:
            return Event(event or "message", text, self.last_id)


class Patience:
    """How long to wait before a stream is asked for again, and when to give up."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tries = 0
        self._since: float | None = None

    def heard(self) -> None:
        """Something came: all is well."""
        self._tries, self._since = 0, None

    def pause(self, error: Unavailable) -> float:
        """Seconds to wait now. Raises the error once patience is at its end."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._patience_s:
            raise error
        self._tries += 1
        pause = min(MOST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._tries - 1, 10))
        return pause * random.uniform(0.5, 1.0)


def listen(
    http: Http, path: str, params: dict[str, Any], last_id: str = "", patience_s: float = PATIENCE_S
) -> Iterator[Event]:
    """Events of a stream, over any number of connections, until the farm says that there will be no more.

    Raises:
        Rejected: the farm refuses the stream.
        Unavailable: it has not answered for `patience_s` seconds.
    """
    reader, patience = Reader(last_id), Patience(patience_s)
    while True:
        try:
            response = http.stream(path, reader.begin(), params)
            try:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                for line in response.iter_lines():
                    patience.heard()
                    event = reader.feed(line)
                    if event is not None:
                        yield event
            finally:
                response.close()
            # The farm has ended the stream: it is asked whether there is more, and says so with no content.
            error: Unavailable = broken(http.url, "it ended the stream")
        except httpx.TransportError as broke:
            error = broken(http.url, str(broke) or type(broke).__name__)
        except Unavailable as away:
            error = away
        time.sleep(patience.pause(error))


async def listen_async(
    http: AsyncHttp, path: str, params: dict[str, Any], last_id: str = "", patience_s: float = PATIENCE_S
) -> AsyncGenerator[Event, None]:
    """The same for coroutines."""
    reader, patience = Reader(last_id), Patience(patience_s)
    while True:
        try:
            response = await http.stream(path, reader.begin(), params)
            try:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                async for line in response.aiter_lines():
                    patience.heard()
                    event = reader.feed(line)
                    if event is not None:
                        yield event
            finally:
                await response.aclose()
            error: Unavailable = broken(http.url, "it ended the stream")
        except httpx.TransportError as broke:
            error = broken(http.url, str(broke) or type(broke).__name__)
        except Unavailable as away:
            error = away
        await asyncio.sleep(patience.pause(error))


def broken(url: str, why: str) -> NotReached:
    """What is said where a stream does not go on."""
    return NotReached(url, why)
