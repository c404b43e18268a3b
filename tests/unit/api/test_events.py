"""The stream of all events: nothing lost, nothing twice, and the truth where that cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import hub as hubs
from api.hub import Hub
from api.routes import events
from api.routes.events import Wanted
from farm.domain.events import EventPage
from farm.errors import Unavailable
from farm.ports import WorkerStatus
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]
Block = dict[str, str]


class Visitor:
    """A request of somebody who goes when told to."""

    gone = False

    async def is_disconnected(self) -> bool:
        return self.gone


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "WAIT_S", 0.02)
    monkeypatch.setattr(hubs, "GATHER_S", 0.0)
    monkeypatch.setattr(hubs, "AGAIN_S", 0.01)
    monkeypatch.setattr(events, "AGAIN_S", 0.01)


def block(text: str) -> Block:
    """A block of a stream by its fields, comments left out."""
    lines = (line.partition(": ") for line in text.strip().splitlines() if not line.startswith(":"))
    return {name: value for name, _, value in lines}


async def hear(world: World, hub: Hub, known: str, count: int, **wanted: Any) -> list[Block]:  # noqa: ANN401 - as Wanted takes
    """Listen until there are so many; the blocks with data."""
    visitor, heard = Visitor(), []
    context = world.app.state.context
    async for text in events.stream(hub, context, visitor, Wanted(**wanted), known):  # type: ignore[arg-type]  # all that is asked of a request
        heard += [found for part in text.split("\n\n") if (found := block(part)) and "data" in found]
        visitor.gone = len(heard) >= count
    return heard


def said(world: World, known: str, count: int, **wanted: Any) -> list[Block]:  # noqa: ANN401 - as Wanted takes
    """The next `count` events behind an id."""
    return asyncio.run(hear(world, Hub(world.ledger), known, count, **wanted))


def kinds(heard: list[Block]) -> list[str]:
    """Names of events."""
    return [one["event"] for one in heard]


def shout(world: World, count: int) -> list[str]:
    """Write some events; their ids."""
    return [world.ledger.announce("notice.sent", "", {"n": number}) for number in range(count)]


def test_an_event_is_told_with_id_kind_time_job_and_data(client: TestClient, world: World, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    (heard,) = said(world, world.ledger.events().floor, 1)
    body = json.loads(heard["data"])
    assert (heard["event"], heard["id"]) == ("job.submitted", body["id"])
    assert body["kind"] == "job.submitted"
    assert body["job"] == job
    assert body["data"] == {"name": "clip", "user": "local"}
    assert body["time"].endswith("+00:00")


def test_who_comes_for_the_first_time_is_greeted_with_where_the_log_stands(world: World) -> None:
    ids = shout(world, 3)
    (hello,) = said(world, "", 1)
    assert (hello["event"], hello["id"]) == ("hello", ids[-1])


@pytest.mark.parametrize("kept", [3, 5000], ids=["most of it from the log", "all of it from memory"])
def test_who_comes_back_is_told_exactly_what_was_missed(
    world: World, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(hubs, "KEPT", kept)
    monkeypatch.setattr(hubs, "PAGE", 7)
    ids = shout(world, 100)

    async def cut_again_and_again() -> list[str]:
        hub, heard = Hub(world.ledger), ids[:1]
        while len(heard) < 120:
            if len(heard) == 100:
                ids.extend(shout(world, 20))
            more = min(11, (100 if len(heard) < 100 else 120) - len(heard))
            found = await hear(world, hub, heard[-1], more)
            heard += [one["id"] for one in found]
        return heard

    assert asyncio.run(cut_again_and_again()) == ids


def test_news_reach_who_is_there(world: World) -> None:
    async def talk() -> list[str]:
        hub = Hub(world.ledger)
        first = (await asyncio.to_thread(world.ledger.events)).newest
        listening = [asyncio.create_task(hear(world, hub, first, 5)) for _ in range(20)]
        ids = []
        for _ in range(5):
            ids += await asyncio.to_thread(shout, world, 1)
            await asyncio.sleep(0.005)
        for heard in await asyncio.gather(*listening):
            assert [one["id"] for one in heard] == ids
        return ids

    assert len(asyncio.run(talk())) == 5


def test_a_hundred_listeners_are_one_reader_of_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    found = world.ledger.events

    def counted(after: str = "", limit: int = 500, wait_s: float = 0.0) -> EventPage:
        asked.append(after)
        return found(after, limit, wait_s)

    monkeypatch.setattr(world.ledger, "events", counted)
    ids = shout(world, 50)

    async def crowd() -> None:
        hub = Hub(world.ledger)
        await asyncio.gather(*(hear(world, hub, ids[0], 49) for _ in range(100)))

    asyncio.run(crowd())
    assert asked.count(ids[0]) == 1
    assert len(asked) < 10


def test_what_is_not_kept_any_more_is_told_with_how_things_stand(
    client: TestClient, world: World, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    world.ledger.beat(WorkerStatus(id="w", host="h", pid=1, queues=("cpu",), device="cpu", seen=0.0), 60)
    (first, *_) = shout(world, 10)
    world.ledger._log._kept = 4
    world.ledger.sweep(30)
    (reset, *rest) = said(world, first, 1)
    assert rest == []
    body = json.loads(reset["data"])
    assert reset["event"] == "reset"
    assert reset["id"] == world.ledger.events().newest
    assert [one["id"] for one in body["data"]["jobs"]] == [job]
    assert [one["id"] for one in body["data"]["workers"]] == ["w"]


@pytest.mark.parametrize("known", ["9999999999999-0", "?"], ids=["of a log that is gone", "no id at all"])
def test_an_id_that_the_log_does_not_know_is_told_of(world: World, known: str) -> None:
    shout(world, 3)
    assert kinds(said(world, known, 1)) == ["reset"]


def test_events_are_told_by_job_and_by_kind(client: TestClient, world: World, request_of: Make) -> None:
    floor = world.ledger.events().floor
    one, other = (client.post("/api/v1/jobs", json=request_of()).json()["id"] for _ in range(2))
    world.farm.act(other, "pause")
    world.farm.act(one, "cancel")
    assert kinds(said(world, floor, 3, job=one)) == ["job.submitted", "job.canceling", "job.canceled"]
    assert kinds(said(world, floor, 1, kinds=frozenset({"job.paused"}))) == ["job.paused"]


def test_a_stream_outlives_an_outage_of_redis(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, found, outages = shout(world, 3), world.ledger.events, iter(range(4))

    def away(after: str = "", limit: int = 500, wait_s: float = 0.0) -> EventPage:
        if next(outages, None) is not None:
            raise Unavailable("Redis is away.")
        return found(after, limit, wait_s)

    monkeypatch.setattr(world.ledger, "events", away)
    assert [one["id"] for one in said(world, ids[0], 2)] == ids[1:]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=yesterday", "not the id of an event"),
        ("since=1-99999999999999999999", "not the id of an event"),
        ("kinds=job.exploded", "no events 'job.exploded'"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(client: TestClient, query: str, words: str) -> None:
    answer = client.get(f"/api/v1/events?{query}")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_events_of_a_job_that_is_not_there_are_not_found(client: TestClient) -> None:
    assert client.get("/api/v1/events?job=nobody").status_code == 404
