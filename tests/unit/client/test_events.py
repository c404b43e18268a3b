"""Streams of events: put together from lines, gone on with after a break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from farm.client import events
from farm.client.ahttp import AsyncHttp
from farm.client.events import Event, Patience, Reader, listen, listen_async
from farm.client.http import Http, NotReached
from farm.errors import Unavailable


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["event: job.status", 'data: {"a": 1}', "id: 7", ""], [Event("job.status", {"a": 1}, "7")]),
        (["data: one", "data:two", ""], [Event("message", "one\ntwo")]),
        ([": still here", "", "id: 3", "", "data: 1", ""], [Event("message", 1, "3")]),
        (["id: 4", "data: 1", "", "data: 2", ""], [Event("message", 1, "4"), Event("message", 2, "4")]),
        (["event: x", "", "data: 1", ""], [Event("message", 1)]),
        (["retry: 10", "data", ""], [Event("message", "")]),
        (["data: cut off"], []),
    ],
)
def test_lines_become_events(lines: list[str], found: list[Event]) -> None:
    reader = Reader()
    assert [event for line in lines if (event := reader.feed(line)) is not None] == found


def test_an_event_that_was_cut_off_is_asked_for_again() -> None:
    reader = Reader("1")
    reader.begin()
    for line in ("id: 2", "data: heard", "", "id: 3", "data: cut"):
        reader.feed(line)
    assert reader.begin()["Last-Event-ID"] == "2"
    assert reader.feed("data: whole") is None
    assert reader.feed("") == Event("message", "whole", "2")


class Server:
    """Answers with one stream after another, and notes what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers.get("last-event-id", ""))
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body whose connection breaks."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"id: 2\ndata: 2\n\nid: 3\nda"
        raise httpx.ReadError("gone")

    async def __aiter__(self):  # type: ignore[no-untyped-def]  # an iterator of bytes
        for piece in self:
            yield piece


def answers() -> list[httpx.Response | Exception]:
    return [
        httpx.Response(200, text="id: 1\ndata: 1\n\n"),
        httpx.ConnectError("restarts"),
        httpx.Response(503, json={"detail": "starts"}),
        httpx.Response(200, stream=Broken()),
        httpx.Response(200, text="id: 3\ndata: 3\n\n"),
        httpx.Response(204),
    ]


ASKED = ["0", "1", "1", "1", "2", "3"]


def test_a_stream_goes_on_over_breaks_until_there_is_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FIRST_PAUSE_S", 0.001)
    server = Server(*answers())
    http = Http("http://farm", transport=httpx.MockTransport(server))
    assert [event.data for event in listen(http, "/events", {}, "0")] == [1, 2, 3]
    assert server.asked == ASKED


def test_so_it_does_for_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FIRST_PAUSE_S", 0.001)
    server = Server(*answers())

    async def heard() -> list[object]:
        http = AsyncHttp("http://farm", transport=httpx.MockTransport(server))
        return [event.data async for event in listen_async(http, "/events", {}, "0")]

    assert asyncio.run(heard()) == [1, 2, 3]
    assert server.asked == ASKED


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FIRST_PAUSE_S", 0.001)
    server = Server(*[httpx.ConnectError("gone")] * 100)
    http = Http("http://farm", transport=httpx.MockTransport(server))
    with pytest.raises(NotReached, match="farm up"):
        list(listen(http, "/events", {}, patience_s=0.01))


def test_pauses_grow_up_to_a_limit_and_begin_anew() -> None:
    patience, error = Patience(1e9), Unavailable("away")
    pauses = [patience.pause(error) for _ in range(20)]
    assert pauses[0] <= events.FIRST_PAUSE_S
    assert max(pauses) <= events.MOST_PAUSE_S
    assert max(pauses[10:]) > events.MOST_PAUSE_S / 4
    patience.heard()
    assert patience.pause(error) <= events.FIRST_PAUSE_S
