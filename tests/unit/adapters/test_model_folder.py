import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_disk import ModelDisk, fetch
from farm.adapters.model_folder import ModelManifest, blob_name, manifest_name, packed, put_manifest, upload
from farm.errors import Damaged, NotFound, Rejected

DEMO = Path(__file__).parents[3] / "assets" / "demo" / "model"


def manifest_of(folder: Path) -> ModelManifest:
    """Of a folder of this machine."""
    with packed(folder) as found:
        return found.manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in diffusers' layout, as small as can be."""
    top = tmp_path / "model"
    for name, content in {
        "model_index.json": "{}",
        "unet/config.json": '{"a": 1}',
        "unet/diffusion_pytorch_model.safetensors": "weights",
        "motion_adapter/config.json": "{}",
        "motion_adapter/diffusion_pytorch_model.safetensors": "motion",
        "tokenizer/merges.txt": "a b",
        "README.md": "not part of the model",
        ".cache/x.json": "not part either",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    return top


def test_a_model_goes_into_the_store_and_comes_out_the_same(folder: Path, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    manifest = upload(folder, blobs)
    found = fetch(manifest, blobs, tmp_path / "cache")
    assert manifest_of(found) == manifest
    assert [file.path for file in manifest.files] == [
        "model_index.json",
        "motion_adapter/config.json",
        "motion_adapter/diffusion_pytorch_model.safetensors",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]


def test_the_demo_model_is_a_model_with_motion() -> None:
    paths = [file.path for file in manifest_of(DEMO).files]
    assert "motion_adapter/diffusion_pytorch_model.safetensors" in paths
    assert "model_index.json" in paths


def test_the_hash_is_of_names_and_bytes_and_of_nothing_else(folder: Path, tmp_path: Path) -> None:
    known = manifest_of(folder).hash
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert manifest_of(copy).hash == known
    (copy / "README.md").write_text("changed")
    assert manifest_of(copy).hash == known
    (copy / "tokenizer" / "merges.txt").rename(copy / "tokenizer" / "merge.txt")
    assert manifest_of(copy).hash != known


def test_a_file_that_the_store_has_is_not_sent_again(folder: Path) -> None:
    blobs = MemoryBlobs()
    first = upload(folder, blobs)
    (folder / "unet" / "config.json").write_text('{"a": 2}')
    second = upload(folder, blobs)
    assert second.hash != first.hash
    # Six files, of which two are the same `{}`; then one more.
    assert len(list(blobs.list("models/blobs/"))) == 5 + 1
    assert json.loads(blobs.get(manifest_name(first.hash)))["hash"] == first.hash


@pytest.mark.parametrize("name", ["model.ckpt", "pytorch_model.bin", "weights.pt", "x.pkl"])
def test_pickles_are_refused_because_they_run_code(folder: Path, name: str) -> None:
    (folder / "vae").mkdir()
    (folder / "vae" / name).write_bytes(b"")
    with pytest.raises(Rejected, match=r"is a pickle, which runs code when it is read\. Convert it to \.safetensors"):
        manifest_of(folder)


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_that_lead_outside_are_refused(folder: Path, tmp_path: Path, target: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    link, meant = ("vae", outside) if target == "folder" else ("vae.json", outside / "secret.json")
    (folder / link).symlink_to(meant)
    with pytest.raises(Rejected, match=r"leads outside of the model's folder\. Copy"):
        manifest_of(folder)


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="is no folder and no file"):
        manifest_of(tmp_path / "nothing")
    with pytest.raises(Rejected, match=r"no model_index\.json"):
        manifest_of(tmp_path)


def test_a_model_that_nobody_stored_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="farm model add"):
        ModelDisk(tmp_path, MemoryBlobs()).get("0" * 64)


def test_a_file_that_arrives_damaged_is_not_used(folder: Path, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    manifest = upload(folder, blobs)
    blobs.put(blob_name(manifest.files[-1].sha256), b"wEights")
    with pytest.raises(Damaged, match="arrived damaged"):
        fetch(manifest, blobs, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_manifest_must_say_the_truth(folder: Path) -> None:
    manifest, blobs = manifest_of(folder), MemoryBlobs()
    with pytest.raises(Rejected, match="not in the store"):
        put_manifest(manifest, blobs)
    with pytest.raises(Rejected, match="its files give"):
        put_manifest(manifest.model_copy(update={"hash": "0" * 64}), blobs)


def test_many_may_fetch_the_same_model_at_once(folder: Path, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    manifest = upload(folder, blobs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ModelDisk(tmp_path / "cache", blobs).get(manifest.hash), range(16)))
    assert set(found) == {tmp_path / "cache" / manifest.hash}
    assert manifest_of(found[0]) == manifest
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [manifest.hash]
