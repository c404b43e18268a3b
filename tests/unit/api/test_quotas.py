"""How much of the farm a user may have at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.domain.state import JobState
from tests.unit.adapters.test_media import png
from tests.unit.api.conftest import KEY, World

JOBS, ME, UPLOADS = "/api/v1/jobs", "/api/v1/me", "/api/v1/uploads"
BOB = "a-long-key-of-user-two"
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def world() -> World:
    """Two jobs, 100 frames and 4,000 bytes a day for each user."""
    keys = f"ann:artist:{KEY},bob:artist:{BOB},root:a-long-key-of-the-admin"
    return World(api_keys=keys, quota_jobs=2, quota_frames=100, quota_upload_bytes=4000)


@pytest.fixture
def client(world: World) -> TestClient:
    return world.client(key=KEY)


def refused(answer: Any, *said: str) -> None:  # noqa: ANN401 - a response of either client
    """A quota says no, and what, and what to do."""
    assert answer.status_code == 403, answer.text
    assert answer.json()["type"] == "urn:farm:problem:quota-exceeded"
    for words in (*said, "ask an admin for more (farm user set ann --"):
        assert words in answer.json()["detail"]


def test_a_job_too_many_is_refused_until_another_has_ended(client: TestClient, world: World, request_of: Make) -> None:
    first, _ = (client.post(JOBS, json=request_of()).json() for _ in range(2))
    before = list(world.blobs.list("jobs/"))
    refused(client.post(JOBS, json=request_of()), "2 jobs that have not ended, of 2 at once")
    assert list(world.blobs.list("jobs/")) == before
    assert client.get(ME).json()["use"] == {"jobs": 2, "frames": 80, "upload_bytes": 0}
    assert world.client(key=BOB).post(JOBS, json=request_of()).status_code == 202
    client.post(first["links"]["actions"], json={"action": "cancel"})
    assert world.ledger.status(first["id"]).state is JobState.CANCELED
    assert client.post(JOBS, json=request_of()).status_code == 202


def test_frames_too_many_are_refused(client: TestClient, world: World, request_of: Make) -> None:
    admin = world.client(key="a-long-key-of-the-admin")
    admin.post("/api/v1/users", json={"name": "ann", "quota": {"jobs": 0}})
    assert [client.post(JOBS, json=request_of()).status_code for _ in range(2)] == [202, 202]
    refused(client.post(JOBS, json=request_of()), "has 80 frames", "of 100 at once", "this job has 40")
    small = request_of()
    small["input"]["frames"] = "1-20"
    assert client.post(JOBS, json=small).status_code == 202


def test_a_users_own_quota_wins_over_the_farms_also_for_an_owner_of_an_environments_key(
    client: TestClient, world: World, request_of: Make
) -> None:
    admin = world.client(key="a-long-key-of-the-admin")
    admin.post("/api/v1/users", json={"name": "ann", "role": "artist", "quota": {"jobs": 1}})
    assert client.get(ME).json()["quota"] == {"jobs": 1, "frames": 100, "upload_bytes": 4000}
    assert client.post(JOBS, json=request_of()).status_code == 202
    refused(client.post(JOBS, json=request_of()), "of 1 at once")
    admin.patch("/api/v1/users/ann", json={"quota": {"jobs": 0, "frames": 0}})
    assert [client.post(JOBS, json=request_of()).status_code for _ in range(3)] == [202] * 3


def test_a_submission_that_is_repeated_is_no_second_job(client: TestClient, request_of: Make) -> None:
    body = request_of()
    for _ in range(3):
        assert client.post(JOBS, json=body, headers={"Idempotency-Key": "k"}).status_code == 202
    assert client.get(ME).json()["use"]["jobs"] == 1
    client.post(JOBS, json=request_of())
    assert client.post(JOBS, json=body, headers={"Idempotency-Key": "k"}).status_code == 202
    refused(client.post(JOBS, json=body, headers={"Idempotency-Key": "l"}))


def test_what_is_tried_out_needs_no_quota(client: TestClient, request_of: Make) -> None:
    for _ in range(2):
        client.post(JOBS, json=request_of())
    assert client.post(f"{JOBS}:validate", json=request_of()).status_code == 200


def test_uploads_of_a_day_are_counted_and_refused_before_they_are_stored(client: TestClient, world: World) -> None:
    picture = png(8, 6, 9)
    assert client.post(UPLOADS, params={"name": "a.png"}, content=picture).status_code == 201
    assert client.get(ME).json()["use"]["upload_bytes"] == len(picture)
    before = list(world.blobs.list(""))
    said = (f"has uploaded {len(picture)} bytes today, of 4,000 in a day", "this upload has 4,000", "Go on tomorrow")
    refused(client.post(UPLOADS, content=b"x" * 4000), *said)
    # Without a length there is nothing to be said before it was read.
    refused(client.post(UPLOADS, content=iter([b"x" * 2000, b"x" * 2000])), *said)
    assert list(world.blobs.list("")) == before
    assert client.get(ME).json()["use"]["upload_bytes"] == len(picture)
    assert world.client(key=BOB).post(UPLOADS, params={"name": "a.png"}, content=picture).status_code == 201


@pytest.mark.parametrize("path", ["uploads/blobs", "models/blobs"])
def test_pieces_of_collections_and_models_count_too(client: TestClient, path: str) -> None:

    for number, status in ((1, 201), (2, 403)):
        data = bytes([number]) * 2500
        answer = client.put(f"/api/v1/{path}/{hashlib.sha256(data).hexdigest()}", content=data)
        assert answer.status_code == status


def test_a_part_that_makes_a_file_twice_counts_twice(client: TestClient) -> None:
    part = bytes(1500)
    sha = hashlib.sha256(part).hexdigest()
    assert client.put(f"{UPLOADS}/parts/{sha}", content=part).status_code == 201
    whole = {"name": "a.png", "parts": [sha] * 3, "sha256": hashlib.sha256(part * 3).hexdigest()}
    refused(client.post(f"{UPLOADS}/whole", json=whole), "this upload has 3,000")
    # Two fit; what they make is no picture, which only who may send it is told.
    whole = {"name": "a.png", "parts": [sha] * 2, "sha256": hashlib.sha256(part * 2).hexdigest()}
    assert client.post(f"{UPLOADS}/whole", json=whole).status_code == 422
    assert client.get(ME).json()["use"]["upload_bytes"] == 3000


def test_by_default_nothing_is_limited(request_of: Make) -> None:
    quota = World().client().get(ME).json()["quota"]
    assert quota == {"jobs": 0, "frames": 0, "upload_bytes": 0}
