"""Bad input is refused at the door: what was seen, what is needed, what to change."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.unit.adapters.test_media import huge_png, png, zipped
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


def refused(client: TestClient, body: dict[str, Any], status: int = 422) -> str:
    """Submit, expect a problem; its text."""
    answer = client.post("/api/v1/jobs", json=body)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"].startswith("urn:farm:problem:")
    assert problem["instance"] == "/api/v1/jobs"
    return str(problem["detail"])


def test_a_clip_that_was_never_uploaded(client: TestClient, request_of: Make) -> None:
    text = refused(client, {**request_of(), "input": {"uri": "upload:nothing"}})
    assert text == "There is no upload 'nothing'. Upload the file first and use the `uri` of the answer."


def test_an_address_that_the_farm_cannot_read(client: TestClient, request_of: Make) -> None:
    assert "POST /api/v1/uploads" in refused(client, {**request_of(), "input": {"uri": "/etc/passwd"}})


def test_a_prefix_without_pictures(client: TestClient, request_of: Make, world: World) -> None:
    text = refused(client, {**request_of(), "input": {"uri": "s3://bucket/clip"}})
    assert "does not end in a slash" in text


def test_a_mask_of_another_size(client: TestClient, request_of: Make, uploaded: Callable[..., str]) -> None:
    body = request_of(segments=[{"name": "face", "mask": uploaded((255,), width=9)}])
    text = refused(client, body)
    assert re.search(r"the mask .* is 9x6 px, the clip .* is 8x6 px\. Scale the mask to the clip's size\.", text)


def test_masks_of_another_count(client: TestClient, request_of: Make, uploaded: Callable[..., str]) -> None:
    text = refused(client, request_of(segments=[{"name": "face", "mask": uploaded((255, 254, 253))}]))
    assert "has 3 frames; it needs 1 (for all frames) or 40 (one per frame of the clip)" in text


def test_an_empty_mask(client: TestClient, request_of: Make, uploaded: Callable[..., str]) -> None:
    text = refused(client, request_of(segments=[{"name": "face", "mask": uploaded((0,))}]))
    assert "is empty: no pixel is white" in text


@pytest.mark.parametrize("frames", ["0-5", "30-41", "1000"])
def test_a_range_outside_of_the_clip(client: TestClient, request_of: Make, frames: str) -> None:
    body = request_of()
    body["input"]["frames"] = frames
    assert re.search(r"has frames 1 to 40 \(40 of them\).*Choose a range inside", refused(client, body))


@pytest.mark.parametrize("frames", ["a-b", "1-10:2", "5-3"])
def test_a_range_that_is_none(client: TestClient, request_of: Make, frames: str) -> None:
    body = request_of()
    body["input"]["frames"] = frames
    assert refused(client, body).startswith(f"`frames` is '{frames}'")


def test_an_unknown_sampler(client: TestClient, request_of: Make) -> None:
    text = refused(client, request_of(detailer={"sampler_name": "eulr"}))
    assert "eulr" in text
    assert "euler" in text.replace("eulr", "")


def test_an_unknown_model(client: TestClient, request_of: Make) -> None:
    text = refused(client, request_of(model="sdxl"))
    assert text.startswith("There is no model 'sdxl' on this farm; it has: demo.")


@pytest.mark.parametrize(
    ("detailer", "field", "message"),
    [
        ({"denoise": 2}, "detailer.denoise", "`detailer.denoise` is 2; it must be at most 1."),
        ({"steps": 0}, "detailer.steps", "`detailer.steps` is 0; it must be at least 1."),
        ({"steps": 2.5}, "detailer.steps", "`detailer.steps` is 2.5; it must be a whole number."),
        ({"cfg": "x"}, "detailer.cfg", '`detailer.cfg` is "x"; it must be a number.'),
        ({"stesp": 3}, "detailer.stesp", "There is no field `detailer.stesp`. Did you mean `steps`?"),
        (
            {"noise": "pink"},
            "detailer.noise",
            "`detailer.noise` is \"pink\"; it must be one of 'independent' or 'shared'.",
        ),
    ],
)
def test_a_parameter_out_of_range(
    client: TestClient, request_of: Make, detailer: dict[str, Any], field: str, message: str
) -> None:
    answer = client.post("/api/v1/jobs", json=request_of(detailer=detailer))
    assert answer.json()["errors"] == [{"field": field, "message": message}]
    assert answer.json()["detail"] == message


def test_every_fault_is_told_at_once(client: TestClient, request_of: Make) -> None:
    body = request_of(priority=101, segments=[])
    del body["input"]
    answer = client.post("/api/v1/jobs", json=body).json()
    assert [fault["field"] for fault in answer["errors"]] == ["input", "segments", "priority"]
    assert answer["errors"][0]["message"] == "`input` is missing. Add it."
    assert answer["errors"][1]["message"] == "`segments` has 0 entries; it must have at least 1."
    assert answer["detail"].endswith("And 2 more, see `errors`.")


def test_a_segment_without_a_mask(client: TestClient, request_of: Make) -> None:
    text = refused(client, request_of(segments=[{"name": "face"}]))
    assert text == "`segments.0`: segment 'face' needs one of `mask`, `segs` and `detect`, and only one."


def test_a_method_that_a_path_does_not_have_is_told(client: TestClient) -> None:
    answer = client.patch("/api/v1/jobs")
    assert answer.status_code == 405
    assert answer.json()["detail"] == "PATCH is not possible at /api/v1/jobs. /openapi.json lists what is."


def test_json_under_another_name_is_told(client: TestClient) -> None:
    answer = client.post("/api/v1/jobs", content=b"{}", headers={"Content-Type": "text/plain"})
    assert "Send JSON with `Content-Type: application/json`" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[1]"])
def test_a_body_that_is_no_job(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"", 422, "'clip.mp4' is empty, 0 bytes"),
        (b"hello, I am text", 422, "'clip.mp4' is text, beginning with 'hello, I am text'"),
        (huge_png(), 413, "The picture is 30000x30000, 900,000,000 pixels"),
        (png()[:12], 422, "Not one picture of 'clip.mp4' can be read"),
    ],
    ids=["empty", "text", "huge", "cut"],
)
def test_a_file_that_is_no_clip(client: TestClient, data: bytes, status: int, text: str) -> None:
    answer = client.post("/api/v1/uploads", params={"name": "clip.mp4"}, content=data)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert text in answer.json()["detail"]


def test_a_zip_that_points_outside(client: TestClient, tmp_path: Path) -> None:
    data = zipped(tmp_path, {"../0001.png": png()}).read_bytes()
    answer = client.post("/api/v1/uploads", params={"name": "clip.zip"}, content=data)
    assert answer.status_code == 422
    assert "its member '../0001.png' points outside of it" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"/api/v1/jobs/nothing{rest}"
            for rest in ("", "/tasks", "/tasks/plan.0", "/outputs", "/frames", "/frames/1")
        ),
        *("/api/v1/uploads/nothing", "/api/v1/models/nothing", "/nowhere"),
    ],
)
def test_what_is_not_there_is_a_problem_document(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"]


def test_a_path_that_climbs_out_of_a_job_is_refused(client: TestClient, request_of: Make, world: World) -> None:
    job = client.post("/api/v1/jobs", json=request_of()).json()
    world.blobs.put("secret", b"no")
    for path in ("..%2f..%2fsecret", "%2e%2e/%2e%2e/secret", "frames//x", "frames/%00"):
        answer = client.get(f"/api/v1/jobs/{job['id']}/outputs/{path}")
        assert answer.status_code in {400, 404}, path
        assert answer.content != b"no"


def test_a_mistake_of_the_farm_tells_nothing_of_its_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret password")

    monkeypatch.setattr(world.farm, "workers", fail)
    answer = world.client().get("/api/v1/workers")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
