"""POST /comfy: a workflow in, a request out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.unit.api.conftest import World
from tests.unit.comfy.flows import flow

MASKED = {"models": {"dreamshaper_8.safetensors": "demo"}}


def test_a_workflow_becomes_a_request_that_can_be_submitted(client: TestClient, uploaded: Callable[..., str]) -> None:
    clip, mask = uploaded(range(10, 14)), uploaded((255,))
    asked = {"workflow": flow(), "frames": clip, "masks": {"6": mask}, "range": "1-2", "name": "faces", **MASKED}
    answer = client.post("/api/v1/comfy", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {one["node"] for one in found["carried"]} == set(flow())
    assert found["request"]["input"] == {"uri": clip, "frames": "1-2"}
    assert "priority" not in found["request"]
    submitted = client.post("/api/v1/jobs", json=found["request"])
    assert submitted.status_code == 202, submitted.text
    assert submitted.json()["frames"]["total"] == 2


def test_everything_that_cannot_be_carried_is_told_with_its_place(client: TestClient) -> None:
    asked = {"workflow": flow("cannot_model_patch"), "frames": "upload:x", **MASKED}
    answer = client.post("/api/v1/comfy", json=asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:farm:problem:cannot-carry"
    fields = [fault["field"] for fault in problem["errors"]]
    assert fields == ["workflow.20", "workflow.21", "workflow.7.inputs.sampler_name", "workflow.7.inputs.seed"]


def test_a_saved_workflow_is_refused_with_how_to_export_it(client: TestClient) -> None:
    answer = client.post("/api/v1/comfy", json={"workflow": {"nodes": [], "links": []}, "frames": "upload:x"})
    assert answer.status_code == 422
    assert "Export (API)" in answer.json()["detail"]


def test_a_file_that_was_not_handed_in_is_asked_for(client: TestClient) -> None:
    answer = client.post("/api/v1/comfy", json={"workflow": flow(), "frames": "upload:x", **MASKED})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["workflow.6.inputs.image"]


def test_without_a_key_nothing_is_translated() -> None:
    with World(api_keys="one:a-long-key-of-user-one").client() as client:
        assert client.post("/api/v1/comfy", json={"workflow": flow(), "frames": "x"}).status_code == 401


NODE = '{"workflow": {"ID": {"class_type": "MaskDetailerPipe", "inputs": {"image": VALUE}}}, "frames": "x"}'


@pytest.mark.parametrize(
    "body",
    [
        NODE.replace("MaskDetailerPipe", r"\ud800"),
        NODE.replace("ID", r"\ud800").replace("VALUE", "1"),
        NODE.replace("VALUE", r'"\ud800"'),
        NODE.replace("image", r"\ud800").replace("VALUE", "1"),
        NODE.replace("image", "steps").replace("VALUE", "1e999"),
        NODE.replace("VALUE", "[" * 5000 + "]" * 5000),
        NODE.replace("VALUE", "9" * 5000),
        NODE.replace("VALUE", "1").replace('"frames"', '"masks": {"' + "n" * 4097 + '": "x"}, "frames"'),
    ],
    ids=["class", "id", "value", "input", "endless", "deep", "long", "mask"],
)
def test_no_body_gives_a_fault_of_the_servers(client: TestClient, body: str) -> None:
    answer = client.post("/api/v1/comfy", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
