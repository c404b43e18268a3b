"""Jobs over HTTP: submit, look, wait, decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from farm.domain.forecast import Forecast, GpuEstimate
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


def test_a_job_is_accepted_with_its_address(client: TestClient, request_of: Make) -> None:
    answer = client.post("/api/v1/jobs", json=request_of(name="shot 010"))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert (job["name"], job["status"]) == ("shot 010", "queued")
    assert job["frames"] == {"total": 40, "done": 0, "contiguous_done": 0}
    assert job["document"]["chunk"] == 16


def test_counts_hold_every_state_and_sum_to_the_tasks(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    assert set(job["counts"]) >= {"depend", "queued", "active", "completed", "failed", "eaten", "canceled"}
    assert sum(job["counts"].values()) == job["tasks"] > 0


def test_the_same_idempotency_key_is_the_same_job(client: TestClient, request_of: Make) -> None:
    body, headers = request_of(), {"Idempotency-Key": "k1"}
    first = client.post("/api/v1/jobs", json=body, headers=headers)
    again = client.post("/api/v1/jobs", json=body, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.status_code == 202
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1


def test_an_idempotency_key_with_another_body_is_a_conflict(client: TestClient, request_of: Make) -> None:
    body, headers = request_of(), {"Idempotency-Key": "k1"}
    client.post("/api/v1/jobs", json=body, headers=headers)
    answer = client.post("/api/v1/jobs", json={**body, "name": "other"}, headers=headers)
    assert answer.status_code == 409
    assert "Use a new key for a new job" in answer.json()["detail"]


def test_a_dry_run_submits_nothing(client: TestClient, request_of: Make, world: World) -> None:
    answer = client.post("/api/v1/jobs:validate", json=request_of()).json()
    assert (answer["frames"], answer["chunks"]) == (40, 3)
    assert client.get("/api/v1/jobs").json()["items"] == []
    assert list(world.blobs.list("jobs/")) == []


def test_an_unchanged_job_is_not_sent_again(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    first = client.get(job["links"]["self"])
    same = client.get(job["links"]["self"], headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    client.post(job["links"]["actions"], json={"action": "pause"})
    changed = client.get(job["links"]["self"], headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.json()["status"] == "paused"


def test_waiting_for_a_change_that_has_happened_takes_no_time(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    answer = client.get(job["links"]["self"], params={"wait": 60, "since": job["revision"] - 1})
    assert answer.json()["revision"] == job["revision"]


def test_waiting_ends_when_the_time_is_over(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    answer = client.get(job["links"]["self"], params={"wait": 0.3, "since": job["revision"]})
    assert answer.json()["revision"] == job["revision"]


def test_actions_tell_what_they_affected(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    paused = client.post(job["links"]["actions"], json={"action": "pause", "reason": "lunch"}).json()
    assert (paused["job"]["status"], paused["affected"]) == ("paused", job["tasks"])
    assert "paused" in paused["job"]["waiting_reason"]
    assert client.post(job["links"]["actions"], json={"action": "resume"}).json()["job"]["status"] == "queued"
    canceled = client.post(job["links"]["actions"], json={"action": "cancel"}).json()
    assert canceled["job"]["status"] == "canceled"
    again = client.post(job["links"]["actions"], json={"action": "retry"}).json()
    assert again["affected"] > 0
    assert again["job"]["status"] in {"active", "queued"}


def test_pausing_a_canceled_job_is_a_conflict(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    client.post(job["links"]["actions"], json={"action": "cancel"})
    answer = client.post(job["links"]["actions"], json={"action": "pause"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"


def test_jobs_are_listed_newest_first_page_by_page(client: TestClient, request_of: Make) -> None:
    body = request_of()
    made = [client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get("/api/v1/jobs", params={"limit": 2, "cursor": cursor}).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


def test_jobs_of_one_state_are_found_behind_others(client: TestClient, request_of: Make) -> None:
    body = request_of()
    made = [client.post("/api/v1/jobs", json=body).json() for _ in range(5)]
    client.post(made[1]["links"]["actions"], json={"action": "cancel"})
    page = client.get("/api/v1/jobs", params={"status": "canceled", "limit": 1}).json()
    assert [job["id"] for job in page["items"]] == [made[1]["id"]]


def test_tasks_are_listed_by_state_and_layer(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    ready = client.get(job["links"]["tasks"], params={"state": "queued"}).json()["items"]
    assert {task["layer"] for task in ready} == {"ingest"}
    assert client.get(ready[0]["links"]["self"]).json()["id"] == ready[0]["id"]
    plans = client.get(job["links"]["tasks"], params={"layer": "plan", "limit": 2}).json()
    assert [task["kind"] for task in plans["items"]] == ["plan", "plan"]
    assert plans["next_cursor"] == plans["items"][-1]["id"]


def test_a_ledger_that_lost_everything_is_rebuilt(client: TestClient, request_of: Make, world: World) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    world.ledger.forget(job["id"])
    assert client.get(job["links"]["self"]).status_code == 404
    assert client.post("/api/v1/jobs:recover").json()["jobs"] == [job["id"]]
    assert client.get(job["links"]["self"]).json()["frames"]["total"] == 40


def test_events_end_with_the_job(client: TestClient, request_of: Make) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    client.post(job["links"]["actions"], json={"action": "cancel"})
    answer = client.get(job["links"]["events"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: job.status" in answer.text
    assert '"status": "canceled"' in answer.text


def test_a_job_like_another_is_submitted_with_what_changes_and_where(
    client: TestClient, request_of: Callable[..., dict[str, Any]], world: World
) -> None:
    world.add_model("ab" * 32)
    first = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    asked = {"like": first, "set": {"segments.face.prompt": "a smile"}, "frames": "10-19"}
    made = client.post("/api/v1/jobs", json=asked)
    assert made.status_code == 202, made.text
    document = made.json()["document"]
    assert document["sources"][0]["detailer"]["prompt"] == ""
    assert [(r["start"], r["end"], r["source"]["detailer"]["prompt"]) for r in document["ranges"]] == [
        (9, 19, "a smile")
    ]


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"like": "nobody"}, 422, "There is no job 'nobody'"),
        ({"set": {"segments.face.promt": "x"}}, 422, "near it are: prompt"),
        ({"set": {"model": "x"}, "frames": "1-2"}, 422, "cannot differ between the frames"),
        ({"sets": {}}, 422, "There is no field `sets`. Did you mean `set`?"),
        ({"frames": 7}, 422, "`frames` is 7; it must be text"),
    ],
)
def test_a_job_like_another_that_cannot_be_is_refused(
    client: TestClient, request_of: Callable[..., dict[str, Any]], asked: dict[str, Any], status: int, said: str
) -> None:
    first = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    refused = client.post("/api/v1/jobs:validate", json={"like": first, **asked})
    assert refused.status_code == status
    assert said in refused.json()["detail"]


def test_a_plan_is_one_json_answer_or_lines_and_refuses_what_a_submission_would(
    world: World, request_of: Callable[..., dict[str, Any]]
) -> None:
    last = Forecast(frames=40, chunks=3, tasks={}, crops={}, gpu=GpuEstimate(basis="none"))
    app = create_app(world.farm, world.blobs, world.settings, lambda _job, _like: iter([1, 2, 3, last]))
    with TestClient(app, base_url="http://127.0.0.1:8750", client=("127.0.0.1", 50_000)) as client:
        asked = request_of()
        assert client.post("/api/v1/jobs/plan", json=asked).json()["chunks"] == 3
        lines = client.post("/api/v1/jobs/plan", json=asked, headers={"Accept": "application/x-ndjson"}).text
        assert [json.loads(line).get("chunk") for line in lines.splitlines()] == [1, 2, 3, None]
        assert client.post("/api/v1/jobs/plan", json={**asked, "segments": []}).status_code == 422
        assert client.post("/api/v1/jobs/plan", json={"like": "nobody"}).status_code == 422
        assert client.get("/api/v1/jobs").json()["items"] == []


def test_an_api_without_a_planner_says_how_to_start_one(
    client: TestClient, request_of: Callable[..., dict[str, Any]]
) -> None:
    refused = client.post("/api/v1/jobs/plan", json=request_of())
    assert refused.status_code == 503
    assert "farm api" in refused.json()["detail"]


def test_a_trace_is_there_for_every_job_and_for_no_other_id(
    client: TestClient, request_of: Callable[..., dict[str, Any]]
) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    assert client.get(f"/api/v1/jobs/{job}/attempts").text == ""
    assert client.get(f"/api/v1/jobs/{job}/trace").json()["traceEvents"] == []
    for what in ("attempts", "trace"):
        assert client.get(f"/api/v1/jobs/nobody/{what}").status_code == 404
