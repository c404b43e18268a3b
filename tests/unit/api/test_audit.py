"""Every change that a person makes over HTTP is in the audit; a walk over all routes holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.roles import READING
from farm.adapters.memory_blobs import MemoryBlobs
from farm.errors import Unavailable
from farm.ports import WorkerStatus
from tests.unit.api.conftest import KEY, World
from tests.unit.api.routes_of import routes_of

AUDIT = "/api/v1/audit"
Make = Callable[..., dict[str, Any]]

RECORDED = {
    "POST /jobs": "job.submit",
    "POST /jobs/{job_id}/actions": "job.pause",
    "POST /jobs/{job_id}/approve": "job.approve",
    "POST /jobs/{job_id}/reject": "job.reject",
    "PATCH /jobs/{job_id}": "job.adjust",
    "DELETE /jobs/{job_id}": "job.delete",
    "POST /jobs:recover": "farm.recover",
    "PUT /models/{name}": "model.add",
    "POST /workers/{worker_id:path}/drain": "worker.drain",
    "POST /workers/{worker_id:path}/undrain": "worker.undrain",
    "POST /users": "user.add",
    "PATCH /users/{name}": "user.set",
    "DELETE /users/{name}": "user.remove",
    "POST /keys": "key.create",
    "DELETE /keys/{key_id}": "key.revoke",
}
"""Routes that change what others see -> what they are in the audit; `test_each_change_is_recorded` makes each."""
NOT_RECORDED = {
    "POST /uploads": "bytes by their content: nobody sees them before a job names them",
    "POST /uploads/collections": "as uploads",
    "PUT /uploads/blobs/{sha256}": "as uploads",
    "PUT /uploads/parts/{sha256}": "as uploads",
    "POST /uploads/whole": "as uploads",
    "POST /uploads/whole/check": "a question",
    "PUT /models/blobs/{sha256}": "as uploads: the model's name is what is recorded",
    "POST /uploads/check": "a question",
    "POST /models/check": "a question",
    "POST /comfy": "a question",
    "POST /detect": "a question: the job that looks is gone when it is answered",
    "POST /jobs:validate": "a question",
    "POST /jobs/plan": "a question",
    "POST /session": "one browser's own",
    "DELETE /session": "one browser's own",
}


class Flaky(MemoryBlobs):
    """A store that takes no audit."""

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        if name.startswith("audit/"):
            raise Unavailable("The store does not answer.")
        super().put(name, data, content_type)


@pytest.fixture
def world() -> World:
    return World(api_keys=f"ann:artist:{KEY},root:a-long-key-of-the-admin")


@pytest.fixture
def client(world: World) -> TestClient:
    return world.client(host="10.0.0.9", key=KEY)


@pytest.fixture
def root(world: World) -> TestClient:
    return world.client(host="10.0.0.1", key="a-long-key-of-the-admin")


def entries(root: TestClient, **which: str) -> list[dict[str, Any]]:
    """The audit, newest first."""
    found: list[dict[str, Any]] = root.get(AUDIT, params=which).json()["items"]
    return found


def test_every_route_that_changes_something_is_recorded_or_says_why_not(world: World) -> None:
    changing = {route.name for route in routes_of(world.app) if route.method not in READING}
    unknown = changing - RECORDED.keys() - NOT_RECORDED.keys()
    assert not unknown, f"in neither list: {sorted(unknown)}. Record with `with record.change(...)` (api/recorder.py)."
    assert changing == RECORDED.keys() | NOT_RECORDED.keys()


def test_each_change_is_recorded_with_actor_role_address_and_reason(
    root: TestClient, client: TestClient, world: World, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    path = f"/api/v1/jobs/{job}"
    client.put("/api/v1/models/new?reason=why", json={"hash": "0" * 64})
    client.patch(path, json={"priority": 80, "reason": "why"})
    client.post(f"{path}/actions", json={"action": "pause", "reason": "why"})
    root.post(f"{path}/actions", json={"action": "cancel", "reason": "why"})
    client.delete(f"{path}?reason=why")
    asks = client.post("/api/v1/jobs", json=request_of(approve_every=2)).json()["id"]
    client.post(f"/api/v1/jobs/{asks}/approve", json={"reason": "why"})
    client.post(f"/api/v1/jobs/{asks}/reject", json={"reason": "why"})
    root.post("/api/v1/jobs:recover?reason=why")
    world.ledger.beat(WorkerStatus("w1", "host", 1, ("cpu",), "cpu", seen=0), 3600)
    root.post("/api/v1/workers/w1/drain", json={"reason": "why"})
    root.post("/api/v1/workers/w1/undrain?reason=why")
    root.post("/api/v1/users", json={"name": "bob", "reason": "why"})
    root.patch("/api/v1/users/bob", json={"role": "viewer", "reason": "why"})
    key = root.post("/api/v1/keys", json={"user": "bob", "reason": "why"}).json()["id"]
    root.delete(f"/api/v1/keys/{key}?reason=why")
    root.delete("/api/v1/users/bob?reason=why")
    found = entries(root)
    assert {entry["action"] for entry in found} == {*RECORDED.values(), "job.cancel"}
    by = {entry["action"]: entry for entry in found}
    submitted, adjusted, canceled = found[-1], by["job.adjust"], by["job.cancel"]
    assert (submitted["actor"], submitted["role"], submitted["address"]) == ("ann", "artist", "10.0.0.9")
    assert submitted["job"] == job
    assert adjusted["details"] == {"priority": 80}
    assert (canceled["actor"], canceled["role"], canceled["address"]) == ("root", "admin", "10.0.0.1")
    assert {entry["reason"] for entry in found if entry["action"] != "job.submit"} == {"why"}
    assert by["key.create"]["target"] == key
    assert by["user.set"]["details"] == {"role": "viewer"}


def test_a_jobs_story_outlives_the_job_and_redis(
    root: TestClient, client: TestClient, world: World, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    client.post(f"/api/v1/jobs/{job}/actions", json={"action": "cancel", "reason": "a new cut"})
    client.delete(f"/api/v1/jobs/{job}")
    again = World(api_keys=f"ann:artist:{KEY}")
    again.blobs.__dict__.update(world.blobs.__dict__)
    found = again.client(key=KEY).get(f"/api/v1/jobs/{job}/audit").json()["items"]
    assert [(entry["action"], entry["reason"]) for entry in found] == [
        ("job.delete", ""),
        ("job.cancel", "a new cut"),
        ("job.submit", ""),
    ]
    assert again.client(key=KEY).get("/api/v1/jobs/none/audit").status_code == 404


def test_only_admins_read_the_farms_audit_and_see_addresses(
    root: TestClient, client: TestClient, request_of: Make
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    assert client.get(AUDIT).status_code == 403
    mine, theirs = (each.get(f"/api/v1/jobs/{job}/audit").json()["items"][0] for each in (client, root))
    assert (mine["address"], mine["key"]) == ("", "")
    assert theirs["address"] == "10.0.0.9"
    assert theirs["key"].startswith("ann#")
    assert KEY not in str(theirs)


def test_what_was_refused_is_recorded_as_refused(root: TestClient, client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    answer = client.delete(f"/api/v1/jobs/{job}")
    assert answer.status_code == 409
    (entry,) = entries(root, action="job.delete")
    assert (entry["outcome"], entry["error"]) == ("refused", answer.json()["detail"])


def test_who_may_not_is_in_no_audit(root: TestClient, client: TestClient) -> None:
    assert client.post("/api/v1/users", json={"name": "mallory", "role": "admin"}).status_code == 403
    assert entries(root) == []


def test_pages_go_on_where_the_last_one_ended(root: TestClient, client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    for priority in range(5):
        client.patch(f"/api/v1/jobs/{job}", json={"priority": priority})
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = root.get(AUDIT, params={"cursor": cursor, "limit": 2, "action": "job.adjust"}).json()
        seen += [entry["details"]["priority"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "which", [{"cursor": "../x"}, {"since": "2026-01-01T00:00:00"}, {"since": "soon"}, {"until": "0.5"}, {"limit": "0"}]
)
def test_a_question_that_makes_no_sense_is_refused(root: TestClient, which: dict[str, str]) -> None:
    assert root.get(AUDIT, params=which).status_code == 422


def test_where_the_audit_cannot_be_written_nothing_is_changed(
    client: TestClient, world: World, request_of: Make
) -> None:
    body = request_of()
    job = client.post("/api/v1/jobs", json=body).json()
    world.blobs.__class__ = Flaky
    for answer in (
        client.post(job["links"]["actions"], json={"action": "cancel"}),
        client.patch(job["links"]["self"], json={"priority": 99}),
        client.post("/api/v1/jobs", json=body),
    ):
        assert answer.status_code == 503
    after = client.get(job["links"]["self"]).json()
    assert (after["status"], after["priority"]) == ("queued", 50)
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1
