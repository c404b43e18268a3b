"""Models as lists of files, stored by content: any worker fetches what a job names, byte for byte."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from farm.adapters.model_facts import ModelFacts, facts_of
from farm.adapters.model_sources import LocalFiles, check_paths, gathered
from farm.adapters.onnx_header import OnnxHeader, read_onnx
from farm.adapters.weights_header import WeightsHeader, read_header
from farm.errors import Rejected, TooLarge
from farm.ports import Blobs

LARGEST_TEXT = 1 << 24
"""Bytes of a model's configuration."""
ABOUT = "farm.json"
"""What a model says about itself, beside its own files."""


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


@dataclass(frozen=True)
class StoredFiles:
    """The files of a manifest, in the store."""

    manifest: ModelManifest
    blobs: Blobs

    @property
    def paths(self) -> frozenset[str]:
        """See `ModelFiles`."""
        return frozenset(self._files)

    def text(self, path: str) -> bytes:
        """See `ModelFiles`."""
        file = self._files[path]
        if file.size > LARGEST_TEXT:
            raise TooLarge(f"The model's file {path!r} has {file.size} bytes; a configuration has {LARGEST_TEXT}.")
        return self.blobs.get(blob_name(file.sha256))

    def header(self, path: str) -> WeightsHeader:
        """See `ModelFiles`."""
        file = self._files[path]
        name = blob_name(file.sha256)
        return read_header(path, lambda start, length: self.blobs.get_range(name, start, length), file.size)

    def network(self, path: str) -> OnnxHeader:
        """See `ModelFiles`."""
        file = self._files[path]
        name = blob_name(file.sha256)
        return read_onnx(path, lambda start, length: self.blobs.get_range(name, start, length), file.size)

    @cached_property
    def _files(self) -> dict[str, ModelFile]:
        return {file.path: file for file in self.manifest.files}


@dataclass(frozen=True)
class Packed:
    """A model of this machine, looked at."""

    manifest: ModelManifest
    files: Mapping[str, Path]
    facts: ModelFacts


def manifest_of(files: Mapping[str, Path]) -> ModelManifest:
    """The manifest of files on this machine, given by their paths in the model."""
    found = tuple(
        ModelFile(path=path, sha256=sha256_of(file), size=file.stat().st_size) for path, file in sorted(files.items())
    )
    return ModelManifest(hash=content_hash(found), files=found)


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


@contextmanager
def packed(path: Path, tokenizer: Path | None = None, prediction: str | None = None) -> Iterator[Packed]:
    """A model of this machine as it goes into the store. Raises as `gathered` and `facts_of`.

    Args:
        prediction: what a single file's network predicts, where the file does not tell.
    """
    files = gathered(path, tokenizer)
    with tempfile.TemporaryDirectory(prefix="farm-model-") as folder:
        if prediction is not None:
            if path.is_dir():
                raise Rejected("What a folder's model predicts is said in its scheduler/scheduler_config.json.")
            about = Path(folder) / ABOUT
            about.write_text(json.dumps({"prediction_type": prediction}), encoding="utf-8")
            files[ABOUT] = about
        facts = facts_of(LocalFiles(files), path.name)
        yield Packed(manifest_of(files), files, facts)


def upload(
    path: Path, blobs: Blobs, tokenizer: Path | None = None, prediction: str | None = None, again: bool = False
) -> ModelManifest:
    """Store a model; files that the store holds are not sent, except `again`. Raises as `packed`."""
    with packed(path, tokenizer, prediction) as found:
        for file in found.manifest.files:
            if again or blobs.size(blob_name(file.sha256)) != file.size:
                blobs.put_file(blob_name(file.sha256), found.files[file.path])
    put_manifest(found.manifest, blobs)
    return found.manifest


def put_manifest(manifest: ModelManifest, blobs: Blobs) -> None:
    """Store a manifest whose files are stored.

    Raises:
        Rejected: a file is missing in the store, or the hash is not that of the files, or as `check_paths`.
    """
    check_paths([file.path for file in manifest.files])
    if content_hash(manifest.files) != manifest.hash:
        raise Rejected(f"The model's hash is {manifest.hash}, its files give {content_hash(manifest.files)}.")
    for file in manifest.files:
        if blobs.size(blob_name(file.sha256)) != file.size:
            raise Rejected(
                f"The model's file {file.path!r} (sha256 {file.sha256}) is not in the store. Upload it first."
            )
    blobs.put(manifest_name(manifest.hash), manifest.model_dump_json().encode(), "application/json")


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
