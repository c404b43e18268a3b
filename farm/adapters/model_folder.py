"""Models as folders in diffusers' layout, stored by content: any worker fetches what a job names, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from farm.errors import Damaged, NotFound, Rejected
from farm.ports import Blobs

WANTED = frozenset({".json", ".txt", ".safetensors", ".model"})
"""Endings of files that belong to a model."""
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"})
"""Endings of files that run code when they are read."""


class ModelFile(BaseModel):
    """One file of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._ -]*(/[A-Za-z0-9_][A-Za-z0-9._ -]*)*$")
    """Relative, with `/`."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class ModelManifest(BaseModel):
    """A model's files and the hash over them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """See `content_hash`."""
    files: tuple[ModelFile, ...] = Field(min_length=1)


def manifest_of(folder: Path) -> ModelManifest:
    """What a model folder holds.

    Raises:
        Rejected: no folder, no `model_index.json`, pickles without safetensors beside them, links that lead outside.
    """
    if not folder.is_dir():
        raise Rejected(f"{str(folder)!r} is no folder. Give a model folder in diffusers' layout.")
    if not (folder / "model_index.json").is_file():
        raise Rejected(
            f"{str(folder)!r} has no model_index.json. Give a model folder in diffusers' layout (unet/, vae/, "
            f"text_encoder/, tokenizer/, scheduler/), as `save_pretrained` writes it."
        )
    files = tuple(_file(folder, path) for path in sorted(_walk(folder)))
    return ModelManifest(hash=content_hash(files), files=files)


def content_hash(files: tuple[ModelFile, ...]) -> str:
    """sha256 (hex) over the sorted paths and digests of a model's files."""
    listing = sorted((file.path, file.sha256) for file in files)
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def blob_name(sha256: str) -> str:
    """Name of the object with a model file's bytes."""
    return f"models/blobs/{sha256}"


def manifest_name(model_hash: str) -> str:
    """Name of a model's manifest in the store."""
    return f"models/{model_hash}.json"


def upload(folder: Path, blobs: Blobs) -> ModelManifest:
    """Store a model; files that the store holds are not sent again. Raises as `manifest_of`."""
    manifest = manifest_of(folder)
    for file in manifest.files:
        if blobs.size(blob_name(file.sha256)) != file.size:
            blobs.put_file(blob_name(file.sha256), folder / file.path)
    put_manifest(manifest, blobs)
    return manifest


def put_manifest(manifest: ModelManifest, blobs: Blobs) -> None:
    """Store a manifest whose files are stored.

    Raises:
        Rejected: a file is missing in the store, or the hash is not that of the files.
    """
    if content_hash(manifest.files) != manifest.hash:
        raise Rejected(f"The model's hash is {manifest.hash}, its files give {content_hash(manifest.files)}.")
    for file in manifest.files:
        if blobs.size(blob_name(file.sha256)) != file.size:
            raise Rejected(
                f"The model's file {file.path!r} (sha256 {file.sha256}) is not in the store. Upload it first."
            )
    blobs.put(manifest_name(manifest.hash), manifest.model_dump_json().encode(), "application/json")


def fetch(model_hash: str, blobs: Blobs, cache: Path) -> Path:
    """The folder of a model, from the cache or from the store; every file is checked before it is used.

    Several processes may fetch the same model into one cache: the folder appears at once, complete.

    Raises:
        NotFound: the store has no such model.   Damaged: a file arrived damaged.
    """
    folder = cache / model_hash
    if folder.is_dir():
        return folder
    try:
        manifest = ModelManifest.model_validate_json(blobs.get(manifest_name(model_hash)))
    except NotFound:
        raise NotFound(f"The store has no model {model_hash}. Add it with `farm model add NAME FOLDER`.") from None
    cache.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{model_hash[:12]}-", dir=cache))
    try:
        for file in manifest.files:
            _fetch_file(file, blobs, part / file.path)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was first
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _fetch_file(file: ModelFile, blobs: Blobs, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs.get_to_file(blob_name(file.sha256), path)
    if _sha256(path) != file.sha256:
        raise Damaged(f"The model's file {file.path!r} arrived damaged; it is fetched again.")


def _walk(folder: Path) -> Iterator[Path]:
    top = folder.resolve()
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        # Linked folders are not walked, so they would be left out without a word: even one inside the model is refused.
        if path.is_dir() or not path.resolve().is_relative_to(top):
            raise Rejected(
                f"{str(path)!r} is a link that leads outside of the model's folder. Copy what it names into it."
            )
        if path.suffix in WANTED:
            yield path
        elif path.suffix in PICKLES and not path.with_suffix(".safetensors").exists() and not _is_spare(path):
            raise Rejected(
                f"{str(path)!r} is a pickle, which runs code when it is read. Convert it to .safetensors "
                f"(`save_pretrained` does) and remove it."
            )


def _is_spare(path: Path) -> bool:
    """Weights in two formats: `pytorch_model.bin` beside `model.safetensors`."""
    return any(other.suffix == ".safetensors" for other in path.parent.iterdir())


def _file(folder: Path, path: Path) -> ModelFile:
    name = path.relative_to(folder).as_posix()
    return ModelFile(path=name, sha256=_sha256(path), size=path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
