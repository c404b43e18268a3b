"""Streams for pages that stay open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.routes import feed
from farm.ports import WorkerStatus
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]
Event = dict[str, str]


class Visitor:
    """A request of somebody who goes after so many looks."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    async def is_disconnected(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_S", 0.0)


def told(world: World, known: str = "", looks: int = 1, between: Callable[[], object] = lambda: None) -> list[Event]:
    """The events of some looks; `between` happens after the first event."""

    async def listen() -> list[Event]:
        found = []
        async for text in feed.changes(feed.Feed(world.farm), Visitor(looks), 50, known):  # type: ignore[arg-type]  # all that is asked of a request
            if text.startswith(":"):
                continue
            found.append(dict(line.split(": ", 1) for line in text.strip().splitlines()))
            if len(found) == 1:
                between()
        return found

    return asyncio.run(listen())


def test_a_new_visitor_is_told_all_and_the_newest_job_last(client: TestClient, world: World, request_of: Make) -> None:
    ids = [client.post("/api/v1/jobs", json=request_of()).json()["id"] for _ in range(2)]
    events = told(world)
    assert [event["event"] for event in events] == ["workers", "job.status", "job.status"]
    assert [json.loads(event["data"])["id"] for event in events[1:]] == ids
    assert ["id" in event for event in events] == [False, False, True]


def test_only_what_changed_is_told_again(client: TestClient, world: World, request_of: Make) -> None:
    job, _ = (client.post("/api/v1/jobs", json=request_of()).json()["id"] for _ in range(2))
    events = told(world, looks=3, between=lambda: world.farm.act(job, "pause"))
    assert len(events) == 4
    assert json.loads(events[-1]["data"])["status"] == "paused"


def test_who_comes_back_and_has_missed_nothing_is_told_nothing(
    client: TestClient, world: World, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    last = told(world)[-1]["id"]
    assert told(world, known=last, looks=2) == []
    world.farm.act(job, "pause")
    missed = told(world, known=last)
    assert [json.loads(event["data"])["status"] for event in missed if event["event"] == "job.status"] == ["paused"]


def test_a_hundred_visitors_are_one_look_at_the_ledger(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_S", 60.0)
    looks: list[int] = []
    found = world.farm.jobs

    def counted(after: str = "", limit: int = 100) -> Any:  # noqa: ANN401 - what the farm answers
        looks.append(limit)
        return found(after, limit)

    monkeypatch.setattr(world.farm, "jobs", counted)
    one = feed.Feed(world.farm)

    async def visit() -> None:
        await asyncio.gather(*(one.look(50) for _ in range(100)))

    asyncio.run(visit())
    assert looks == [50]


def test_a_worker_that_only_gave_a_sign_of_life_is_no_news(world: World) -> None:
    worker = WorkerStatus(id="w", host="h", pid=1, queues=("cpu",), device="cpu", seen=0.0)
    world.ledger.beat(worker, 60)
    events = told(world, looks=3, between=lambda: world.ledger.beat(worker, 60))
    assert [[one["id"] for one in json.loads(event["data"])] for event in events] == [["w"]]


def test_a_job_that_has_ended_is_not_asked_for_again_and_again(
    client: TestClient, world: World, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    world.farm.act(job, "cancel")
    address = f"/api/v1/jobs/{job}/events"
    text = client.get(address).text
    last = dict(line.split(": ", 1) for line in text.strip().splitlines())["id"]
    assert client.get(address, headers={"Last-Event-ID": last}).status_code == 204
    assert client.get(address, headers={"Last-Event-ID": "0"}).status_code == 200
    assert client.get(address, headers={"Last-Event-ID": "no number"}).status_code == 200


def test_forms_are_told_the_names_of_samplers(client: TestClient) -> None:
    found = client.get("/api/v1/samplers").json()
    assert "euler" in found["sampler_name"]
    assert "karras" in found["scheduler"]
