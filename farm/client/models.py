"""Adding a model folder: file by file under its content, then by name."""

from __future__ import annotations

from pathlib import Path

from farm.adapters.model_folder import manifest_of
from farm.client.answers import ModelAnswer
from farm.client.http import Http
from farm.client.uploads import OnBytes, send_missing


def add_model(http: Http, name: str, folder: Path, on_bytes: OnBytes) -> ModelAnswer:
    """Upload what the farm lacks of a model's files, and name the model.

    Raises:
        Rejected: no model folder, a pickle in it, or a name that is no name.
    """
    manifest = manifest_of(folder)
    files = {file.sha256: folder / file.path for file in manifest.files}
    send_missing(http, "/models", files, on_bytes)
    answer = http.send("PUT", f"/models/{name}", json=manifest.model_dump(mode="json"))
    return ModelAnswer.model_validate(answer.json())
