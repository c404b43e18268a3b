"""Models over HTTP: files by content first, then a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from farm.adapters.model_folder import ModelFile, ModelManifest, blob_name, content_hash, packed
from tests.unit.adapters.weights import write_weights
from tests.unit.api.conftest import World

FILES = {
    "model_index.json": b"{}",
    "unet/config.json": b'{"cross_attention_dim": 768}',
    "motion_adapter/config.json": b"{  }",
}


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
    assert (named["name"], named["hash"], named["has_motion"]) == ("toy", manifest()["hash"], True)
    assert (named["kind"], named["family"]) == ("model", "sd1")
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


@pytest.fixture
def lora(client: TestClient, tmp_path: Path) -> ModelManifest:
    """A LoRA whose file the farm has, not named yet."""
    with packed(write_weights(tmp_path / "x.safetensors", {"unet.attn2.to_k.lora_A.weight": (4, 768)})) as found:
        (file,) = found.manifest.files
        client.put(f"/api/v1/models/blobs/{file.sha256}", content=found.files[file.path].read_bytes())
        return found.manifest


def test_what_a_file_is_is_read_from_it(client: TestClient, lora: ModelManifest) -> None:
    named = client.put("/api/v1/models/detail", json=lora.model_dump()).json()
    assert (named["kind"], named["family"], named["text_width"]) == ("lora", "sd1", 768)
    kinds = {kind: client.get("/api/v1/models", params={"kind": kind}).json()["items"] for kind in ("lora", "vae")}
    assert kinds == {"lora": [named], "vae": []}
    assert client.get("/api/v1/models/detail/files").json() == json.loads(lora.model_dump_json())


def test_a_file_that_is_something_else_than_was_said_is_refused(client: TestClient, lora: ModelManifest) -> None:
    answer = client.put("/api/v1/models/detail", params={"kind": "vae"}, json=lora.model_dump())
    assert answer.status_code == 422
    assert "'detail' is a LoRA, not a VAE" in answer.json()["detail"]
    assert client.get("/api/v1/models", params={"kind": "loar"}).status_code == 422


def test_a_file_that_holds_nothing_is_refused(client: TestClient) -> None:
    data = b"these are no weights at all"
    digest = hashlib.sha256(data).hexdigest()
    client.put(f"/api/v1/models/blobs/{digest}", content=data)
    file = ModelFile(path="weights.safetensors", sha256=digest, size=len(data))
    answer = client.put("/api/v1/models/x", json={"hash": content_hash((file,)), "files": [file.model_dump()]})
    assert answer.status_code == 422
    assert "no sound .safetensors file" in answer.json()["detail"]


def test_stored_files_are_read_anew_and_compared(client: TestClient, lora: ModelManifest, world: World) -> None:
    client.put("/api/v1/models/detail", json=lora.model_dump())

    def states() -> list[dict[str, str]]:
        lines = client.get("/api/v1/models/detail/verify").text.splitlines()
        return [json.loads(line) for line in lines if line]

    assert states() == [{"path": "weights.safetensors", "state": "ok"}]
    world.blobs.put(blob_name(lora.files[0].sha256), b"else")
    assert states() == [{"path": "weights.safetensors", "state": "damaged"}]
    assert client.get("/api/v1/models/nothing/verify").status_code == 404
    assert client.get("/api/v1/models/nothing/files").status_code == 404


def test_a_job_with_what_there_is_not_is_refused_with_what_there_is(
    client: TestClient, lora: ModelManifest, request_of: Callable[..., dict[str, object]]
) -> None:
    client.put("/api/v1/models/detail", json=lora.model_dump())
    refused: dict[str, tuple[dict[str, object], str]] = {
        "lora": ({"detailer": {"loras": ["face"]}}, "There is no LoRA 'face' on this farm; it has: detail."),
        "vae": ({"vae": "detail"}, "'detail' is a LoRA, where a VAE is needed; this farm has: none yet."),
        "embedding": ({"detailer": {"prompt": "embedding:x"}}, "`embedding:x`. There is no embedding 'x'"),
        "depth": ({"detailer": {"prompt": "(" * 999 + ")" * 999}}, "more than 100 pairs of parentheses"),
    }
    for changes, says in refused.values():
        answer = client.post("/api/v1/jobs", json=request_of(**changes))
        assert answer.status_code == 422, answer.json()
        assert says in answer.json()["detail"]
    assert client.post("/api/v1/jobs", json=request_of(detailer={"loras": ["detail:0.5"]})).status_code == 202
