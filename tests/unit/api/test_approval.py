"""Approval and notices over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.domain.notices import Attempted, Delivery
from farm.service.notices import FarmWide, Outbox
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


def submitted(client: TestClient, body: dict[str, Any]) -> str:
    """A job's id."""
    answer = client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def render_first(world: World) -> None:
    """Make what is to be looked at."""
    while lease := world.ledger.claim("w", ["cpu", "gpu.0"], None, 15):
        ended = world.ledger.finish(lease, "x", (), 10 if lease.kind == "paste" else 0)
        if ended.chunk_ended:
            world.farm.advance(lease.job)


@pytest.mark.parametrize("way", ["approve", "actions"])
def test_a_job_that_waits_is_approved(client: TestClient, world: World, request_of: Make, way: str) -> None:
    job = submitted(client, request_of(chunk=10, approve_every=2))
    render_first(world)
    shown = client.get(f"/api/v1/jobs/{job}").json()
    assert shown["status"] == "awaiting-approval"
    assert "Look at their frames; then approve" in shown["waiting_reason"]
    assert sum(shown["counts"].values()) == shown["tasks"]
    body = {"action": "approve"} if way == "actions" else None
    answer = client.post(f"/api/v1/jobs/{job}/{way}", json=body)
    assert answer.status_code == 200, answer.text
    assert client.get(f"/api/v1/jobs/{job}").json()["status"] == "active"
    render_first(world)
    assert client.get(f"/api/v1/jobs/{job}").json()["chunks"]["done"] == 4


def test_a_job_that_is_rejected_is_canceled(client: TestClient, world: World, request_of: Make) -> None:
    job = submitted(client, request_of(chunk=10, approve_every=2))
    render_first(world)
    answer = client.post(f"/api/v1/jobs/{job}/reject", json={"reason": "too much"}).json()
    assert (answer["status"], answer["activity"]) == ("canceled", "canceled by local: too much")


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_job_that_asks_for_nothing_is_neither_approved_nor_rejected(
    client: TestClient, request_of: Make, verdict: str
) -> None:
    job = submitted(client, request_of())
    answer = client.post(f"/api/v1/jobs/{job}/{verdict}")
    assert answer.status_code == 409
    assert "asks for no approval" in answer.json()["detail"]
    assert client.post(f"/api/v1/jobs/nobody/{verdict}").status_code == 404


def test_one_chunk_alone_cannot_be_asked_for(client: TestClient, request_of: Make) -> None:
    assert client.post("/api/v1/jobs", json=request_of(approve_every=1)).status_code == 422


def test_a_job_tells_of_its_notices_and_never_of_addresses(client: TestClient, world: World, request_of: Make) -> None:
    hook = {"url": "https://hooks.example/a/path/that/is/secret", "secret": "sixteen or more!", "kinds": ["job"]}
    job = submitted(client, request_of(webhook=hook))
    address = f"/api/v1/jobs/{job}/notices"
    assert client.get(address).json() == {"sent": 0, "dead": 0, "waiting": 0, "latest": []}
    outbox = Outbox(world.blobs, world.ledger, world.farm.documents, FarmWide())
    outbox.collect(1.0)
    assert client.get(address).json()["waiting"] == 1
    (delivery,) = outbox.waiting().values()
    outbox.settle(delivery.after(Attempted(at=2.0, error="away")))
    (told,) = client.get(address).json()["latest"]
    assert (told["kind"], told["to"], told["state"]) == ("job.submitted", "https://hooks.example/…", "waiting")
    assert told["attempts"][0]["error"] == "away"
    assert told["next_attempt"].startswith("1970-01-01T00:00:07")
    answers = [client.get(f"/api/v1/jobs/{job}{path}").text for path in ("", "/notices", "/outputs", "/trace")]
    answers.append(client.get(f"/api/v1/jobs/{job}/outputs/job.json").text)
    assert not any("is/secret" in text or "sixteen" in text for text in answers)
    world.farm.act(job, "cancel")
    client.delete(f"/api/v1/jobs/{job}")
    assert list(world.blobs.list("secrets/")) == []


def test_the_farms_own_notices_are_told(client: TestClient, world: World) -> None:
    outbox = Outbox(world.blobs, world.ledger, world.farm.documents, FarmWide())
    values = {"id": "1", "kind": "worker.left", "event": "1-0", "time": 1.0, "data": {}, "by": "webhook", "to": "x"}
    dead = Delivery.model_validate(values).after(Attempted(at=1.0, error="gone"), hopeless=True)
    outbox.settle(dead)
    assert client.get("/api/v1/notices").json()["dead"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook": {"url": "ftp://x"}},
        {"webhook": {"url": "https://x", "secret": "tooshort"}},
        {"webhook": {"url": "https://x", "kinds": ["nothing"]}},
        {"webhook": {"url": "https://x", "more": 1}},
        {"notify": ["nobody"]},
        {"notify": ["a@x.org"] * 11},
    ],
)
def test_notices_that_cannot_be_are_refused(client: TestClient, request_of: Make, changes: dict[str, Any]) -> None:
    answer = client.post("/api/v1/jobs", json=request_of(**changes))
    assert answer.status_code == 422
    assert "tooshort" not in answer.text
