"""Event streams of those who may not come in any more."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

import pytest
from starlette.types import Message, Receive, Scope, Send

from api import listening
from api.listening import CHECK, Listening
from farm.ports import WorkerStatus
from tests.unit.api.conftest import KEY, World


async def speaker(scope: Scope, receive: Receive, send: Send) -> None:
    """Says five words and ends."""
    kind = scope["kind"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for number in range(5):
        await send({"type": "http.response.body", "body": f"{number}".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def heard(kind: str, allowed: int) -> tuple[str, int]:
    """What arrives of a stream whose listener may listen to so many words, and how often the answer was ended."""
    left = iter([True] * allowed)
    sent: list[Message] = []

    async def check() -> bool:
        return next(left, False)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "kind": kind, "state": {CHECK: check}}
    await Listening(speaker, every_s=0.0)(scope, receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    return b"".join(message["body"] for message in bodies).decode(), sum(not body["more_body"] for body in bodies)


@pytest.mark.parametrize("allowed", range(6))
def test_a_stream_ends_once_when_its_listener_may_not_listen_any_more(allowed: int) -> None:
    assert asyncio.run(heard("text/event-stream; charset=utf-8", allowed)) == ("01234"[:allowed], 1)


def test_what_is_no_stream_is_sent_to_its_end() -> None:
    assert asyncio.run(heard("video/mp4", 0)) == ("01234", 1)


def test_a_revoked_key_ends_the_streams_that_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening.Listening.__init__, "__defaults__", (0.0,))
    world = World(api_keys=f"root:{KEY}")
    root = world.client(key=KEY)
    root.post("/api/v1/users", json={"name": "ann"})
    made = root.post("/api/v1/keys", json={"user": "ann"}).json()
    let_in, count = Event(), world.app.state.throttle.request

    def counted(address: str, key: str = "") -> tuple[float, str]:
        if key == made["id"]:
            let_in.set()
        found: tuple[float, str] = count(address, key)
        return found

    monkeypatch.setattr(world.app.state.throttle, "request", counted)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(world.client(key=made["key"]).get, "/api/v1/events")
        assert let_in.wait(60)
        root.delete(f"/api/v1/keys/{made['id']}")
        # The stream speaks when there is news.
        for number in range(600):
            world.ledger.beat(worker(number), 60.0)
            if wait([stream], timeout=0.1).done:
                break
        assert stream.result(timeout=0).status_code == 200


def worker(number: int) -> WorkerStatus:
    """A worker that comes into sight."""
    return WorkerStatus(f"w{number}", "host", 1, ("cpu",), "cpu", seen=0, info={})
