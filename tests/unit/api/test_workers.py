"""Workers over HTTP: who is there, and that one should end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.ports import Drain, WorkerStatus
from tests.unit.api.conftest import KEY, World

HERE = "/api/v1/workers"


def alive(world: World, *names: str) -> None:
    for name in names:
        world.ledger.beat(WorkerStatus(name, "host", 1, ("cpu",), "cpu", seen=0), 3600)


def test_a_worker_is_asked_to_end_and_the_list_shows_who_asked() -> None:
    world = World(api_keys=f"ann:{KEY}")
    alive(world, "w1", "w2")
    with world.client(key=KEY) as client:
        asked = client.post(f"{HERE}/w1/drain", json={"reason": "a new driver", "grace_s": 60})
        assert asked.status_code == 200
        listed = {worker["id"]: worker for worker in client.get(HERE).json()["items"]}
    assert listed["w1"] == asked.json()
    assert listed["w1"]["draining"]
    assert {**listed["w1"]["drain"], "since": 0} == {
        "actor": "ann",
        "reason": "a new driver",
        "since": 0,
        "grace_s": 60,
    }
    assert (listed["w2"]["draining"], listed["w2"]["drain"]) == (False, None)


def test_the_wish_needs_no_body_and_is_taken_back(client: TestClient, world: World) -> None:
    alive(world, "w1")
    assert client.post(f"{HERE}/w1/drain").json()["drain"]["actor"] == "local"
    assert world.ledger.claim("w1", ("cpu",), None, 15) is None
    assert client.post(f"{HERE}/w1/undrain").json()["drain"] is None
    assert client.post(f"{HERE}/w1/undrain").status_code == 200


def test_a_worker_that_its_machine_told_to_end_is_draining_by_nobodys_wish(client: TestClient, world: World) -> None:
    world.ledger.beat(WorkerStatus("w1", "host", 1, ("cpu",), "cpu", seen=0, info={"draining": True}), 3600)
    (worker,) = client.get(HERE).json()["items"]
    assert (worker["draining"], worker["drain"]) == (True, None)


@pytest.mark.parametrize("verb", ["drain", "undrain"])
def test_a_worker_that_is_not_there_is_not_found(client: TestClient, verb: str) -> None:
    answer = client.post(f"{HERE}/nobody/{verb}")
    assert answer.status_code == 404
    assert "farm workers" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{"grace_s": -1}, {"grace_s": "soon"}, {"reason": "x" * 501}, {"when": "now"}])
def test_a_wish_that_makes_no_sense_is_refused(client: TestClient, world: World, body: dict[str, object]) -> None:
    alive(world, "w1")
    assert client.post(f"{HERE}/w1/drain", json=body).status_code == 422
    assert world.ledger.workers()[0].drain is None


def test_a_job_whose_workers_all_leave_says_so(
    client: TestClient, world: World, request_of: Callable[..., dict[str, Any]]
) -> None:
    alive(world, "w1")
    world.ledger.drain("w1", Drain())
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    reason = client.get(f"/api/v1/jobs/{job}").json()["waiting_reason"]
    assert "are draining: w1" in reason
    assert "farm worker undrain w1" in reason
