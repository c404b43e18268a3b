"""Uploads over HTTP: raw, as a form, piece by piece."""

from __future__ import annotations

import hashlib
import re

from fastapi.testclient import TestClient

from farm.adapters.media_sequence import Limits
from tests.unit.adapters.test_media import png, segs
from tests.unit.api.conftest import World


def test_a_raw_body_is_admitted_under_its_name(client: TestClient) -> None:
    answer = client.post("/api/v1/uploads", params={"name": "../face_007.png"}, content=png())
    found = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/uploads/{found['id']}"
    assert found["uri"] == f"upload:{found['id']}"
    assert (found["name"], found["kind"], found["frames"], found["first_number"]) == ("face_007.png", "pictures", 1, 7)
    assert client.get(answer.headers["Location"]).json() == found


def test_a_form_is_taken_too(client: TestClient) -> None:
    answer = client.post("/api/v1/uploads", files={"file": ("faces.json", segs(), "application/json")})
    assert (answer.status_code, answer.json()["kind"], answer.json()["name"]) == (201, "segs", "faces.json")


def test_a_form_without_a_file_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/uploads", files={"note": (None, "x")})
    assert answer.status_code == 422
    assert "form field `file`" in answer.json()["detail"]


def test_a_body_over_the_limit_is_refused_by_its_word_and_by_its_bytes() -> None:
    client = World(max_upload_bytes=1000).client()
    stated = client.post("/api/v1/uploads", content=b"x" * 1001)

    def pieces() -> object:
        yield b"x" * 600
        yield b"x" * 600

    counted = client.post("/api/v1/uploads", content=pieces())  # type: ignore[arg-type]  # no length is stated so
    form = client.post("/api/v1/uploads", files={"file": ("a", b"x" * 200_000)})
    for answer in (stated, counted, form):
        assert answer.status_code == 413
        assert "larger than 1,000 bytes" in answer.json()["detail"]


def test_a_transfer_that_changed_on_the_way_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/uploads", params={"sha256": "0" * 64}, content=png())
    assert answer.status_code == 422
    assert re.search(r"have the sha256 \w{64}, not 0{64}\. Send them again", answer.json()["detail"])


def test_only_what_is_missing_needs_to_be_sent(client: TestClient) -> None:
    here, there = hashlib.sha256(segs()).hexdigest(), hashlib.sha256(png()).hexdigest()
    client.post("/api/v1/uploads", params={"name": "faces.json"}, content=segs())
    answer = client.post("/api/v1/uploads/check", json=[{"sha256": here}, {"sha256": there}]).json()
    assert answer == {"missing": [there], "known": {here: f"upload:{here}"}}


def test_pictures_are_kept_by_digest_and_collected(client: TestClient) -> None:
    items = []
    for number in (3, 1, 2):
        data = png(value=number)
        digest = hashlib.sha256(data).hexdigest()
        assert client.put(f"/api/v1/uploads/blobs/{digest}", content=data).status_code == 201
        items.append({"name": f"{number}.png", "sha256": digest})
    found = client.post("/api/v1/uploads/collections", json={"name": "mask", "items": items}).json()
    assert (found["frames"], found["first_number"], found["last_number"]) == (3, 1, 3)


def test_a_piece_under_a_wrong_digest_is_not_kept(client: TestClient, world: World) -> None:
    assert client.put(f"/api/v1/uploads/blobs/{'0' * 64}", content=png()).status_code == 422
    assert list(world.blobs.list("media/")) == []


def test_a_collection_of_what_was_never_sent_is_refused(client: TestClient) -> None:
    items = [{"name": "1.png", "sha256": "0" * 64}]
    answer = client.post("/api/v1/uploads/collections", json={"items": items})
    assert answer.status_code == 422
    assert "Upload the picture first" in answer.json()["detail"]


def test_what_is_handed_in_over_http_is_looked_at_in_a_process_of_its_own(client: TestClient) -> None:
    limits: Limits = client.app.state.context.limits  # type: ignore[attr-defined]  # an application, of this API
    assert limits.apart
