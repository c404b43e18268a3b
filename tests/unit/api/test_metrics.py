"""What Prometheus is told, read with its own parser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from farm.domain import metrics
from farm.errors import Unavailable
from farm.ports import WorkerStatus
from farm.service.tally import Tally
from tests.unit.api.conftest import World

JOB = dict[str, Any]
GIB = 1 << 30
WORKER = WorkerStatus(
    "w1",
    "host-a",
    7,
    ("gpu.24", "gpu.16", "gpu.0"),
    "NVIDIA L4",
    0,
    info={"engine_busy_s": 12.5, "other_busy_s": 1, "finished": 3, "memory_gib": 24, "memory_used_gib": 6.5},
)


def scrape(client: TestClient) -> dict[str, Metric]:
    """Families by name."""
    return {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of that name with these labels."""
    samples = [
        sample
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(samples) == 1, samples
    return float(samples[0].value)


def test_names_follow_the_conventions_of_prometheus(client: TestClient) -> None:
    client.get("/api/v1/jobs")
    for name, family in scrape(client).items():
        assert family.documentation.strip(), name
        if name.startswith("farm_"):
            assert (
                all(sample.name.endswith(("_total", "_created")) for sample in family.samples)
                == (family.type == "counter")
                or not family.samples
            )
            if family.type == "histogram":
                assert name.endswith("_seconds")
            assert not {"job", "instance", "task", "job_id", "task_id"} & {k for s in family.samples for k in s.labels}
    for metric in metrics.METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.name.endswith("_seconds" if metric.buckets else "_total")


def test_tasks_are_told_by_kind_state_and_state_of_their_job(world: World, request_of: Callable[..., JOB]) -> None:
    client = world.client()
    first, second = (client.post("/api/v1/jobs", json=request_of()).json()["id"] for _ in range(2))
    client.post(f"/api/v1/jobs/{second}/actions", json={"action": "pause"})
    found = scrape(client)
    ready = world.farm.status(first).counts
    tasks = sum(
        value(found, "farm_job_tasks", job_state="queued", kind=kind, state="queued") for kind in ("ingest", "plan")
    )
    assert tasks == sum(n for state, n in ready.items() if state.value == "queued") > 0
    assert value(found, "farm_job_tasks", job_state="paused", kind="ingest", state="queued") > 0
    assert value(found, "farm_jobs", state="paused") == 1


def test_the_demand_of_a_queue_is_what_waits_and_who_is_at_work(world: World, request_of: Callable[..., JOB]) -> None:
    client = world.client()
    client.post("/api/v1/jobs", json=request_of())
    cpu = replace(WORKER, id="c1", queues=("cpu",), device="cpu", info={})
    for worker in (WORKER, cpu, replace(cpu, id="c2")):
        world.ledger.beat(worker, 60)
    before = client.get("/api/v1/queues?queue=cpu").json()
    assert before["waiting"] == before["demand"] > 1
    assert before["running"] == 0
    leases = [world.ledger.claim("c1", ["cpu"], None, 60) for _ in range(2)]
    assert all(leases)
    after = client.get("/api/v1/queues?queue=cpu").json()
    # Two tasks of one worker: it is one worker that must not be ended.
    assert (after["running"], after["busy_workers"], after["waiting"]) == (2, 1, before["waiting"] - 2)
    assert after["demand"] == after["waiting"] + 1
    found = scrape(client)
    assert value(found, "farm_queue_demand", queue="cpu") == after["demand"]
    assert value(found, "farm_queue_tasks", queue="cpu", state="running") == 2
    assert value(found, "farm_queue_demand", queue="gpu.24") == 0


def test_tasks_of_a_paused_job_call_for_no_workers(world: World, request_of: Callable[..., JOB]) -> None:
    client = world.client()
    job = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    client.post(f"/api/v1/jobs/{job}/actions", json={"action": "pause"})
    assert client.get("/api/v1/queues").json()["demand"] == 0


def test_a_queue_that_nobody_could_serve_is_refused(client: TestClient) -> None:
    answer = client.get("/api/v1/queues?queue=gpu.25")
    assert answer.status_code == 422
    assert "gpu.24" in answer.json()["detail"]


def test_the_document_names_the_queues_that_may_be_asked_after(client: TestClient) -> None:
    (asked,) = client.get("/openapi.json").json()["paths"]["/api/v1/queues"]["get"]["parameters"]
    names = next(one["items"]["enum"] for one in asked["schema"]["anyOf"] if one.get("type") == "array")
    assert [client.get("/api/v1/queues", params={"queue": name}).status_code for name in names] == [200] * len(names)
    assert "cpu" in names


def test_a_worker_tells_of_its_gpu_as_long_as_it_lives(world: World) -> None:
    world.ledger.beat(WORKER, 60)
    found = scrape(world.client())
    assert value(found, "farm_worker_gpu_memory_used_bytes", worker="w1") == 6.5 * GIB
    assert value(found, "farm_worker_gpu_memory_bytes", worker="w1") == 24 * GIB
    assert value(found, "farm_worker_busy_seconds_total", worker="w1", part="engine") == 12.5
    assert value(found, "farm_worker_info", worker="w1", queue="gpu.24", device="NVIDIA L4") == 1


def test_what_workers_have_counted_is_told_after_they_are_gone(world: World) -> None:
    for seconds in (0.2, 7.0):
        worker = Tally("worker")
        worker.observe(metrics.CROP_SECONDS, "mask", value=seconds, times=3)
        worker.add(metrics.RETRIES, "oom")
        world.ledger.tally(worker.take())
    found = scrape(world.client())
    assert value(found, "farm_crop_seconds_count", type="mask") == 6
    assert value(found, "farm_crop_seconds_sum", type="mask") == pytest.approx(3 * 7.2)
    assert value(found, "farm_crop_seconds_bucket", type="mask", le="0.25") == 3
    assert value(found, "farm_crop_seconds_bucket", type="mask", le="+Inf") == 6
    assert value(found, "farm_retries_total", reason="oom") == 2


def test_requests_are_counted_by_route_never_by_address(client: TestClient) -> None:
    for path in ("/api/v1/jobs/one", "/api/v1/jobs/two", "/wp-login.php", "/etc/passwd"):
        client.get(path)
    found = scrape(client)
    route = "/api/v1/jobs/{job_id}"
    assert value(found, "farm_api_requests_total", method="GET", route=route, status="404") == 2
    assert value(found, "farm_api_requests_total", route="other", status="404") == 2
    assert value(found, "farm_api_request_seconds_count", route=route) == 2


def test_without_redis_the_process_still_tells_of_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, float]:
        raise Unavailable("Redis does not answer.")

    client = world.client()
    client.get("/healthz")
    assert value(scrape(client), "farm_ledger_up") == 1
    monkeypatch.setattr(world.ledger, "tallied", fail)
    found = scrape(client)
    assert value(found, "farm_ledger_up") == 0
    assert value(found, "farm_api_requests_total", route="/healthz", status="200") == 1
    assert "farm_jobs" not in found
