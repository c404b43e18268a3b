"""Models: uploaded file by file under their content, then named; workers fetch them from the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from api.context import Tools
from api.problems import RESPONSES
from api.quotas import Uploading
from api.recorder import Record
from api.roles import needs
from api.routes.uploads import Content, Kept, check_transfer
from api.shapes import Answer, Asked
from api.spool import spooled
from farm.adapters.model_folder import ModelManifest, blob_name, put_manifest
from farm.adapters.model_registry import name_model, stored_manifest, verified
from farm.domain.model import ModelKind, ModelRef
from farm.domain.people import Role
from farm.errors import NotFound, Rejected

router = APIRouter(tags=["models"], responses=RESPONSES)

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class Models(Answer):
    """Models by name."""

    items: tuple[ModelRef, ...]


class Missing(Answer):
    """Digests of files that the farm does not have."""

    missing: tuple[str, ...]


class Known(Asked):
    """A model that the store holds already."""

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@router.get("/models")
def models(tools: Tools, kind: ModelKind | None = None) -> Models:
    """Models, LoRAs, VAEs and so on that a job may name; of one kind, if asked."""
    return Models(items=tuple(tools.farm.models(kind)))


@router.get("/models/{name}")
def model(name: Annotated[str, Path(pattern=NAME)], tools: Tools) -> ModelRef:
    """A model by its name or its content hash."""
    return tools.farm.documents.model(name)


@router.get("/models/{name}/files")
def files(name: Annotated[str, Path(pattern=NAME)], tools: Tools) -> ModelManifest:
    """The files of a model."""
    return stored_manifest(tools.farm.documents.model(name).hash, tools.blobs)


@router.get("/models/{name}/verify", response_class=StreamingResponse)
def verify(name: Annotated[str, Path(pattern=NAME)], tools: Tools) -> StreamingResponse:
    """Read a model's files anew and compare: a line of JSON per file, `{"path", "state"}`; the state is `ok`, `missing`
    or `damaged`. Empty lines say that the reading goes on."""
    manifest = stored_manifest(tools.farm.documents.model(name).hash, tools.blobs)

    def lines() -> Iterator[bytes]:
        for path, state in verified(manifest, tools.blobs):
            yield (json.dumps({"path": path, "state": state}) if state else "").encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/models/check")
@needs(Role.VIEWER)
def check(contents: Annotated[tuple[Content, ...], Body(max_length=10_000)], tools: Tools) -> Missing:
    """Which of a model's files the farm does not have: upload only those."""
    wanted = dict.fromkeys(content.sha256 for content in contents)
    return Missing(missing=tuple(sha for sha in wanted if not tools.blobs.exists(blob_name(sha))))


@router.put("/models/blobs/{sha256}", status_code=201)
@needs(Role.ARTIST)
async def keep(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], request: Request, tools: Tools, allowance: Uploading
) -> Kept:
    """Upload one file of a model, raw, under its digest."""
    async with spooled(request, tools.limits.max_bytes) as body:
        check_transfer(body, sha256)
        await allowance.take_upload(body.size)
        await run_in_threadpool(tools.blobs.put_file, blob_name(sha256), body.path)
    return Kept(sha256=sha256, size=body.size)


@router.put("/models/{name}")
@needs(Role.ARTIST)
def put(
    name: Annotated[str, Path(pattern=NAME)],
    manifest: ModelManifest | Known,
    tools: Tools,
    record: Record,
    kind: ModelKind | None = None,
    reason: Annotated[str, Query(max_length=500, description="Why; kept in the audit.")] = "",
) -> ModelRef:
    """Name a model by its files, which were uploaded before, or by the hash of one that is there.

    What it is (a model, a VAE, a LoRA, an embedding ...) is read from its files; with `kind`, it must be that.
    A name may be given anew; jobs keep the model that it stood for when they were submitted.
    """
    try:
        with record.change("model.add", target=name, reason=reason, hash=manifest.hash):
            if isinstance(manifest, ModelManifest):
                put_manifest(manifest, tools.blobs)
            return name_model(name, manifest.hash, tools.blobs, kind)
    except NotFound as error:
        raise Rejected(str(error)) from error  # this address is there; what the body refers to is not
