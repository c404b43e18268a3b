"""Eating, unblocking, priority and limits over HTTP; why a job waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from farm.domain.state import Outcome
from farm.ports import Lease, NewTask, WorkerStatus
from farm.service.waiting import ENGINE
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


def beat(world: World, worker: str, *queues: str, **info: object) -> None:
    """A worker that is alive."""
    world.ledger.beat(WorkerStatus(worker, "host", 1, queues, "cpu", seen=0, info=info), 3600)


def submitted(client: TestClient, request_of: Make) -> dict[str, Any]:
    """A job that nobody has begun."""
    job: dict[str, Any] = client.post("/api/v1/jobs", json=request_of(chunk=8)).json()
    return job


def claim(world: World, worker: str = "w1") -> Lease:
    """The next task."""
    lease = world.ledger.claim(worker, ["cpu"], None, 100.0)
    assert lease is not None
    return lease


def failed_plan(world: World) -> str:
    """A plan that failed for good, since a frame cannot be read; its id."""
    while (lease := claim(world)).kind == "ingest":
        world.ledger.finish(lease, "ingested")
    world.ledger.fail(lease, Outcome.ERROR, "Frame 3 of the input cannot be read", None)
    return lease.task


def test_what_failed_is_eaten(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    plan = failed_plan(world)
    done = client.post(job["links"]["actions"], json={"action": "eat", "filter": {"tasks": [plan]}, "reason": "well"})
    assert done.status_code == 200
    assert done.json()["affected"] > 0
    again = client.post(job["links"]["actions"], json={"action": "eat", "filter": {"tasks": [plan]}})
    assert again.status_code == 409
    assert "is queued" in again.json()["detail"]


def test_what_cannot_be_eaten_is_refused_in_words(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    failed_plan(world)
    for which, code, said in [
        ({}, 422, "Say what to eat"),
        ({"frame": 1, "chunk": 0}, 422, "Say what to eat"),
        ({"states": ["failed"]}, 422, "takes no"),
        ({"frame": 999}, 404, "no frame 999"),
        ({"chunk": 99}, 404, "no chunk 99"),
        ({"chunk": 3}, 409, "No detail task of chunk 3"),
        ({"tasks": ["paste.0"]}, 409, "was not run"),
        ({"tasks": ["nothing.0"]}, 404, "no task"),
    ]:
        answer = client.post(job["links"]["actions"], json={"action": "eat", "filter": which})
        assert (answer.status_code, said in answer.json()["detail"]) == (code, True), answer.json()


def test_a_blocked_worker_is_shown_and_unblocked(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    beat(world, "w1", "cpu")
    beat(world, "w2", "cpu")
    for _ in range(3):
        world.ledger.fail(claim(world), Outcome.ERROR, "broken", 100.0)
    found = client.get(job["links"]["self"]).json()
    assert [(block["worker"], block["kind"], len(block["tasks"])) for block in found["blocked"]] == [
        ("w1", "ingest", 3)
    ]
    assert any("w1" in note for note in found["notes"])
    listed = {worker["id"]: worker["blocked"] for worker in client.get("/api/v1/workers").json()["items"]}
    assert listed == {"w1": [f"{job['id']}/ingest"], "w2": []}
    done = client.post(job["links"]["actions"], json={"action": "unblock", "worker": "w1"}).json()
    assert (done["affected"], done["job"]["blocked"]) == (1, [])


def test_a_job_says_that_all_workers_are_blocked(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    beat(world, "w1", "cpu")
    for _ in range(3):
        world.ledger.fail(claim(world), Outcome.ERROR, "broken", 100.0)
    said = client.get(job["links"]["self"]).json()["waiting_reason"]
    assert "All workers that could run its ingest tasks are blocked" in said
    assert "farm job unblock" in said


def test_a_job_says_that_nobody_serves_its_queue(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    beat(world, "w1", "gpu.0")
    assert "No worker that is alive serves the queue cpu" in client.get(job["links"]["self"]).json()["waiting_reason"]


def test_a_job_says_that_no_worker_runs_its_engine(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    beat(world, "w1", "cpu", "gpu.0", **{ENGINE: "other/2"})
    while (lease := claim(world)).kind != "plan":
        world.ledger.finish(lease, "x")
    queue = world.farm.document(job["id"]).gpu_queue
    detail = NewTask(f"detail.{lease.chunk}.0", "detail", queue, lease.chunk, feeds=(f"patched.{lease.chunk}",))
    world.ledger.finish(lease, "plan", [detail])
    said = client.get(job["links"]["self"]).json()["waiting_reason"]
    assert "runs the engine 'fake/1'" in said
    assert "w1 runs other/2" in said


def test_priority_and_workers_are_changed_while_it_runs(client: TestClient, request_of: Make, world: World) -> None:
    job = submitted(client, request_of)
    changed = client.patch(job["links"]["self"], json={"priority": 80, "max_workers": 2, "reason": "a deadline"})
    assert changed.status_code == 200
    assert (changed.json()["priority"], changed.json()["max_workers"]) == (80, 2)
    assert "a deadline" in changed.json()["activity"]
    assert client.patch(job["links"]["self"], json={}).status_code == 422
    assert client.patch(job["links"]["self"], json={"priority": 101}).status_code == 422
    assert client.patch("/api/v1/jobs/nothing", json={"priority": 1}).status_code == 404
    world.ledger.forget(job["id"])
    client.post("/api/v1/jobs:recover")
    found = client.get(job["links"]["self"]).json()
    assert (found["priority"], found["max_workers"]) == (80, 2), "decisions outlive the ledger"
