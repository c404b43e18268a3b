"""Models by name: a name stands for a content hash, and any worker can fetch what it stands for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from farm.adapters.model_facts import facts_of
from farm.adapters.model_folder import ABOUT, ModelManifest, StoredFiles, blob_name, manifest_name, upload
from farm.domain.detailer import Detailer
from farm.domain.detection import FACE
from farm.domain.model import KIND_NAMES, ModelKind, ModelRef, Recommended
from farm.errors import NotFound, Rejected
from farm.ports import Blobs

PIECE_BYTES = 1 << 23
"""Bytes that are read at once to check a file."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")

FileState = Literal["ok", "missing", "damaged"]


@dataclass(frozen=True)
class Added:
    """What is added to a farm, beyond its path."""

    tokenizer: Path | None = None
    """Folder with the vocabulary of a single file whose vocabulary is not CLIP's."""
    prediction: str | None = None
    """What a single file's network predicts, where the file does not tell."""
    kind: ModelKind | None = None
    """What it must be; None: whatever it is."""
    again: bool = False
    """Send every file, also those that the farm has: they may be damaged there."""


def add_model(name: str, path: Path, blobs: Blobs, added: Added | None = None) -> ModelRef:
    """Store a folder or a file by its content and give it a name; files that the store has are not sent again.

    Raises:
        Rejected: nothing there, nothing that the farm knows, a name that is no name, pickles.
    """
    _check(name)
    more = added or Added()
    manifest = upload(path, blobs, more.tokenizer, more.prediction, more.again)
    return name_model(name, manifest.hash, blobs, more.kind)


def name_model(name: str, model_hash: str, blobs: Blobs, kind: ModelKind | None = None) -> ModelRef:
    """Give a stored model a name; the name may have stood for another before, jobs keep the hash they were given.

    Raises:
        NotFound: no model of this hash is stored.   Rejected: a name that is no name, or it is not of that `kind`.
    """
    _check(name)
    manifest = stored_manifest(model_hash, blobs)
    facts = facts_of(StoredFiles(manifest, blobs), name)
    if kind not in (None, facts.kind):
        raise Rejected(f"{name!r} is {KIND_NAMES[facts.kind]}, not {KIND_NAMES[kind]}, by what its files hold.")
    if facts.kind == "detector" and name == FACE.name:
        raise Rejected(f"{name!r} is the detector that comes with the farm. Give this one another name.")
    ref = ModelRef(
        name=name,
        hash=model_hash,
        has_motion=facts.has_motion,
        kind=facts.kind,
        family=facts.family,
        text_width=facts.text_width,
        latent_channels=facts.latent_channels,
        recommended=_recommended(manifest, blobs),
    )
    data = ref.model_dump_json().encode()
    blobs.put(f"models/refs/{model_hash}.json", data, "application/json")
    blobs.put(f"models/names/{name}.json", data, "application/json")
    return ref


def stored_manifest(model_hash: str, blobs: Blobs) -> ModelManifest:
    """The files of a stored model. Raises NotFound."""
    document = manifest_name(model_hash)
    if not blobs.exists(document):
        raise NotFound(f"The store holds no model {model_hash!r}. Upload its files first.")
    return ModelManifest.model_validate_json(blobs.get(document))


def verified(manifest: ModelManifest, blobs: Blobs) -> Iterator[tuple[str, FileState | None]]:
    """Path -> whether the store still holds the file, byte for byte. Reads all of it; None, now and then, meanwhile."""
    for file in manifest.files:
        name = blob_name(file.sha256)
        size = blobs.size(name)
        if size is None:
            yield file.path, "missing"
            continue
        digest = hashlib.sha256()
        for start in range(0, size, PIECE_BYTES):
            digest.update(blobs.get_range(name, start, PIECE_BYTES))
            yield file.path, None
        yield file.path, "ok" if digest.hexdigest() == file.sha256 else "damaged"


def _recommended(manifest: ModelManifest, blobs: Blobs) -> Recommended:
    """The parameters that the model's `farm.json` recommends. Raises Rejected for what is no parameter."""
    found = [file for file in manifest.files if file.path == ABOUT]
    if not found:
        return {}
    try:
        said: Recommended = json.loads(StoredFiles(manifest, blobs).text(ABOUT)).get("recommended", {})
        Detailer.model_validate(said)
    except (ValueError, AttributeError, RecursionError) as error:
        raise Rejected(f"The model's farm.json recommends what cannot be: {error}. Correct it.") from None
    return said


def _check(name: str) -> None:
    if not _NAME.match(name):
        raise Rejected(
            f"{name!r} cannot be a model's name; use letters, digits, dots, dashes and underscores, 128 at the most."
        )
