"""Models by name: a name stands for a content hash, and any worker can fetch what it stands for."""

from __future__ import annotations

import json
import re
from pathlib import Path

from farm.adapters.model_folder import ModelManifest, blob_name, upload
from farm.domain.detailer import Detailer
from farm.domain.job import ModelRef, Recommended
from farm.errors import NotFound, Rejected
from farm.ports import Blobs

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")


def add_model(name: str, folder: Path, blobs: Blobs) -> ModelRef:
    """Store a diffusers folder by its content and give it a name; files that the store has are not sent again.

    Raises:
        Rejected: no such folder, a name that is no name, pickles.
    """
    _check(name)
    return name_model(name, upload(folder, blobs).hash, blobs)


def name_model(name: str, model_hash: str, blobs: Blobs) -> ModelRef:
    """Give a stored model a name; the name may have stood for another before, jobs keep the hash they were given.

    Raises:
        NotFound: no model of this hash is stored.   Rejected: a name that is no name.
    """
    _check(name)
    document = f"models/{model_hash}.json"
    if not blobs.exists(document):
        raise NotFound(f"The store holds no model {model_hash!r}. Upload its files first.")
    manifest = ModelManifest.model_validate_json(blobs.get(document))
    has_motion = any(file.path.startswith("motion_adapter/") for file in manifest.files)
    ref = ModelRef(name=name, hash=model_hash, has_motion=has_motion, recommended=_recommended(manifest, blobs))
    data = ref.model_dump_json().encode()
    blobs.put(f"models/refs/{model_hash}.json", data, "application/json")
    blobs.put(f"models/names/{name}.json", data, "application/json")
    return ref


def _recommended(manifest: ModelManifest, blobs: Blobs) -> Recommended:
    """The parameters that the model's `farm.json` recommends. Raises Rejected for what is no parameter."""
    found = [file for file in manifest.files if file.path == "farm.json"]
    if not found:
        return {}
    try:
        said: Recommended = json.loads(blobs.get(blob_name(found[0].sha256))).get("recommended", {})
        Detailer.model_validate(said)
    except ValueError as error:
        raise Rejected(f"The model's farm.json recommends what cannot be: {error}. Correct it.") from None
    return said


def _check(name: str) -> None:
    if not _NAME.match(name):
        raise Rejected(
            f"{name!r} cannot be a model's name; use letters, digits, dots, dashes and underscores, 128 at the most."
        )
