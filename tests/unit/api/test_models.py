"""Models over HTTP: files by content first, then a name."""

from __future__ import annotations

import hashlib

from fastapi.testclient import TestClient

from farm.adapters.model_folder import ModelFile, content_hash

FILES = {"model_index.json": b"{}", "unet/config.json": b"{ }", "motion_adapter/config.json": b"{  }"}


def manifest() -> dict[str, object]:
    """What a client says of the model."""
    files = tuple(
        ModelFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for path, data in FILES.items()
    )
    return {"hash": content_hash(files), "files": [file.model_dump() for file in files]}


def test_a_model_is_uploaded_by_content_and_named(client: TestClient) -> None:
    digests = {hashlib.sha256(data).hexdigest(): data for data in FILES.values()}
    asked = [{"sha256": digest} for digest in digests]
    assert client.post("/api/v1/models/check", json=asked).json()["missing"] == list(digests)
    for digest, data in digests.items():
        assert client.put(f"/api/v1/models/blobs/{digest}", content=data).status_code == 201
    assert client.post("/api/v1/models/check", json=asked).json()["missing"] == []
    named = client.put("/api/v1/models/toy", json=manifest()).json()
    assert named == {"name": "toy", "hash": manifest()["hash"], "has_motion": True, "recommended": {}}
    assert client.get("/api/v1/models/toy").json() == client.get(f"/api/v1/models/{named['hash']}").json() == named
    assert {model["name"] for model in client.get("/api/v1/models").json()["items"]} == {"demo", "toy"}
    assert client.put("/api/v1/models/toy-2", json={"hash": named["hash"]}).json()["hash"] == named["hash"]


def test_a_model_whose_files_were_not_sent_is_refused(client: TestClient) -> None:
    answer = client.put("/api/v1/models/toy", json=manifest())
    assert answer.status_code == 422
    assert "'model_index.json'" in answer.json()["detail"]
    assert "Upload it first" in answer.json()["detail"]


def test_a_name_for_a_hash_that_is_not_there_is_refused(client: TestClient) -> None:
    answer = client.put("/api/v1/models/toy", json={"hash": "0" * 64})
    assert answer.status_code == 422
    assert "The store holds no model" in answer.json()["detail"]


def test_a_file_path_that_climbs_out_is_refused(client: TestClient) -> None:
    body = manifest()
    body["files"] = [{"path": "../evil.json", "sha256": "0" * 64, "size": 1}]
    assert client.put("/api/v1/models/toy", json=body).status_code == 422


def test_a_model_that_is_not_there_is_told_with_those_that_are(client: TestClient) -> None:
    answer = client.get("/api/v1/models/sdxl")
    assert answer.status_code == 404
    assert "it has: demo" in answer.json()["detail"]
