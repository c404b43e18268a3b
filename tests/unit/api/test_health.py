"""What machines and browsers ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.errors import Unavailable
from tests.unit.api.conftest import World


def test_the_process_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
    assert client.get("/version").json()["api"] == "v1"


def test_a_dead_ledger_is_told_with_a_time_to_try_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Unavailable("Redis does not answer at redis://127.0.0.1. Check that it runs.")

    monkeypatch.setattr(world.ledger, "ping", fail)
    client = world.client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "Check that it runs" in answer.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_metrics_count_jobs_and_tasks_by_state(client: TestClient, request_of: Callable[..., dict[str, Any]]) -> None:
    client.post("/api/v1/jobs", json=request_of())
    text = client.get("/metrics").text
    assert 'farm_jobs{state="queued"} 1.0' in text
    assert 'farm_jobs{state="failed"} 0.0' in text
    assert 'farm_tasks{state="queued"} ' in text
    assert "farm_workers 0.0" in text


def test_every_answer_tells_browsers_to_be_careful(client: TestClient) -> None:
    for path in ("/", "/api/v1/jobs", "/nowhere"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"


def test_the_openapi_document_describes_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "/api/v1/jobs/{job_id}/frames/{number}/compare" in document["paths"]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            assert operation.get("description"), f"{verb} {path}"
    shapes = document["components"]["schemas"]
    assert shapes["JobView"]["properties"]["revision"]["description"].startswith("Grows with every change")
    assert shapes["Action"]["additionalProperties"] is False


def test_a_json_body_over_the_limit_is_refused(client: TestClient) -> None:
    headers = {"Content-Length": str(1 << 30), "Content-Type": "application/json"}
    answer = client.post("/api/v1/jobs", content=b"{}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
