"""Models: added file by file under their content, then by name; looked at, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from farm.adapters.model_folder import packed
from farm.adapters.model_registry import Added
from farm.client.answers import ModelAnswer, ModelCheck, ModelFileAnswer
from farm.client.bars import OnBytes
from farm.client.http import PREFIX, Http
from farm.client.uploads import send_missing
from farm.domain.model import KIND_NAMES
from farm.errors import Rejected


def add_model(http: Http, name: str, path: Path, added: Added, on_bytes: OnBytes) -> ModelAnswer:
    """Upload what the farm lacks of a model's files, and name the model.

    Raises:
        Rejected: nothing that the farm knows, a pickle, a name that is no name. What can be known is, before any
            file is sent.
    """
    with packed(path, added.tokenizer, added.prediction) as found:
        if added.kind not in (None, found.facts.kind):
            raise Rejected(
                f"{str(path)!r} is {KIND_NAMES[found.facts.kind]}, not {KIND_NAMES[added.kind]}, by what it holds."
            )
        files = {file.sha256: found.files[file.path] for file in found.manifest.files}
        send_missing(http, "/models", files, on_bytes, again=added.again)
    answer = http.put(f"/models/{name}", found.manifest.model_dump(mode="json"))
    return ModelAnswer.model_validate(answer)


def model_files(http: Http, name: str) -> list[ModelFileAnswer]:
    """The files of a model. Raises NotFound."""
    return [ModelFileAnswer.model_validate(file) for file in http.get(f"/models/{name}/files")["files"]]


def verified(http: Http, name: str) -> Iterator[ModelCheck]:
    """Each file of a model, once the farm has read it anew. Raises NotFound."""
    with closing(http.fetch(f"{PREFIX}/models/{name}/verify")) as response:
        for line in response.iter_lines():
            if line:
                yield ModelCheck.model_validate_json(line)
