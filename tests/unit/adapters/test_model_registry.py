"""Names for what was stored, and whether it is still what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_folder import blob_name
from farm.adapters.model_registry import Added, add_model, name_model, stored_manifest, verified
from farm.domain.model import ModelRef
from farm.errors import NotFound, Rejected
from farm.service.documents import Documents
from tests.unit.adapters.weights import checkpoint, write_weights


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "lora.safetensors", {"unet.attn2.to_k.lora_A.weight": (4, 768)})


def test_what_a_name_stands_for_is_read_from_the_files(blobs: MemoryBlobs, lora: Path, tmp_path: Path) -> None:
    model = add_model("xl", write_weights(tmp_path / "x.safetensors", checkpoint("sdxl")), blobs)
    assert model == ModelRef(
        name="xl", hash=model.hash, kind="model", family="sdxl", text_width=2048, latent_channels=4
    )
    assert add_model("detail", lora, blobs).kind == "lora"
    assert Documents(blobs).model("xl") == Documents(blobs).model(model.hash, "model") == model


def test_a_name_of_another_kind_is_refused_with_the_names_that_fit(
    blobs: MemoryBlobs, lora: Path, tmp_path: Path
) -> None:
    add_model("detail", lora, blobs)
    documents = Documents(blobs)
    with pytest.raises(Rejected, match="'detail' is a LoRA, where a VAE is needed; this farm has: none yet"):
        documents.model("detail", "vae")
    with pytest.raises(NotFound, match="There is no LoRA 'face' on this farm; it has: detail"):
        documents.model("face", "lora")


def test_what_is_added_must_be_what_was_said(blobs: MemoryBlobs, lora: Path) -> None:
    with pytest.raises(Rejected, match="'detail' is a LoRA, not a VAE"):
        add_model("detail", lora, blobs, Added(kind="vae"))
    assert add_model("detail", lora, blobs, Added(kind="lora")).kind == "lora"


def test_names_are_names(blobs: MemoryBlobs, lora: Path) -> None:
    for name in ("", "../x", "a b", "x" * 129):
        with pytest.raises(Rejected, match="cannot be a model's name"):
            add_model(name, lora, blobs)
    with pytest.raises(NotFound, match="holds no model"):
        name_model("x", "0" * 64, blobs)


def test_damage_in_the_store_is_found_and_repaired(blobs: MemoryBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model_index.json", "a.json", "b.json"):
        (folder / name).write_text(f'{{"name": "{name}"}}')
    manifest = stored_manifest(add_model("x", folder, blobs).hash, blobs)
    assert _states(manifest.hash, blobs) == {"a.json": "ok", "b.json": "ok", "model_index.json": "ok"}
    digests = {file.path: file.sha256 for file in manifest.files}
    blobs.put(blob_name(digests["a.json"]), b'{"name": "A.json"}')
    blobs.delete([blob_name(digests["b.json"])])
    assert _states(manifest.hash, blobs) == {"a.json": "damaged", "b.json": "missing", "model_index.json": "ok"}
    add_model("x", folder, blobs, Added(again=True))
    assert set(_states(manifest.hash, blobs).values()) == {"ok"}


def _states(model_hash: str, blobs: MemoryBlobs) -> dict[str, str]:
    return {path: state for path, state in verified(stored_manifest(model_hash, blobs), blobs) if state}
