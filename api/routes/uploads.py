"""Uploads: clips, masks and SEGS documents; looked at as they come in, kept by their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, model_validator

from api.context import Context, Tools
from api.json_body import document_of, read_json
from api.problems import RESPONSES
from api.quotas import Uploading
from api.roles import needs
from api.shapes import Answer, Asked
from api.spool import Spooled, spooled
from api.views import UploadView, upload_view
from farm.adapters.media import admit_file, admit_pictures, plain_name
from farm.domain.keys import media_blob, media_doc
from farm.domain.media import Media
from farm.domain.numbers import WHOLE
from farm.domain.people import Role
from farm.errors import NotFound, Rejected

router = APIRouter(tags=["uploads"], responses=RESPONSES)

MAX_COLLECTION_BYTES = 64 << 20
"""Bytes of a collection as JSON: 200,000 pictures have some 30 million."""

UploadId = Annotated[str, Path(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,79}$", description="The upload's `id`.")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["9f86d081884c7d659a2feaa0c55ad015…"])]


class Piece(Asked):
    """One picture of a collection, by its content or as it was uploaded."""

    name: Annotated[str, Field(min_length=1, max_length=255, examples=["0001.png"])]
    """File name; the frame's number is the last number in it."""
    sha256: Sha256 | None = None
    uri: str | None = None
    """`upload:<id>` of a single picture."""

    @model_validator(mode="after")
    def _one(self) -> Piece:
        if (self.sha256 is None) == (self.uri is None):
            raise ValueError(f"picture {self.name!r} needs either `sha256` or `uri`, not both and not neither.")
        return self


class Collection(Asked):
    """Numbered pictures that are one clip, or one mask per frame."""

    name: Annotated[str, Field(max_length=200)] = "pictures"
    items: Annotated[tuple[Piece, ...], Field(min_length=1, max_length=200_000)]


class Content(Asked):
    """Bytes by their digest."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0), WHOLE] | None = None
    """Bytes; not needed."""


class Checked(Answer):
    """Which of the asked-for bytes the farm has."""

    missing: tuple[str, ...]
    known: dict[str, str]
    """sha256 -> `uri`, of videos and SEGS documents that can be used without another upload."""


class Kept(Answer):
    """Bytes that the store holds now."""

    sha256: str
    size: int


@router.post(
    "/uploads",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
                },
            },
        }
    },
)
@needs(Role.ARTIST)
async def upload(
    request: Request,
    tools: Tools,
    response: Response,
    allowance: Uploading,
    name: Annotated[str, Query(max_length=255, description="File name, `clip.mp4`.")] = "",
    sha256: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$|^$", description="To have the transfer checked.")] = "",
) -> UploadView:
    """Upload a video, a picture, a zip of numbered pictures or a SEGS document, as raw body or as a form's file.

    What it is is told by its content, not by its name. The answer's `uri` is what a job refers to.
    """
    async with spooled(request, tools.limits.max_bytes, name) as body:
        check_transfer(body, sha256)
        await allowance.take_upload(body.size)
        media = await run_in_threadpool(admit_file, body.path, body.name, tools.blobs, tools.limits)
    return _created(response, media)


@router.post(
    "/uploads/collections",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": document_of(Collection)}}}
    },
)
@needs(Role.ARTIST)
async def collect(request: Request, tools: Tools, response: Response) -> UploadView:
    """Make one clip, or one mask per frame, of pictures that were uploaded one by one."""
    # Read here, when the key was looked at: it may be large.
    collection = await read_json(request, Collection, MAX_COLLECTION_BYTES)
    media = await run_in_threadpool(_collected, collection, tools)
    return _created(response, media)


def _collected(collection: Collection, tools: Context) -> Media:
    pictures = [(plain_name(piece.name), _blob(piece, tools)) for piece in collection.items]
    try:
        return admit_pictures(pictures, collection.name, tools.blobs, tools.limits)
    except NotFound as error:
        raise Rejected(str(error)) from error  # this address is there; what the body refers to is not


@router.post("/uploads/check")
@needs(Role.VIEWER)
def check(contents: Annotated[tuple[Content, ...], Body(max_length=10_000)], tools: Tools) -> Checked:
    """Which of these bytes are not yet here: upload only those."""
    wanted = tuple(dict.fromkeys(content.sha256 for content in contents))
    return Checked(
        missing=tuple(sha for sha in wanted if not tools.blobs.exists(media_blob(sha))),
        known={sha: f"upload:{sha}" for sha in wanted if tools.blobs.exists(media_doc(sha))},
    )


@router.put("/uploads/blobs/{sha256}", status_code=201)
@needs(Role.ARTIST)
async def keep(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], request: Request, tools: Tools, allowance: Uploading
) -> Kept:
    """Upload a picture's bytes for a collection, under their digest; they are looked at when the collection is made."""
    async with spooled(request, tools.limits.max_bytes) as body:
        check_transfer(body, sha256)
        await allowance.take_upload(body.size)
        await run_in_threadpool(tools.blobs.put_file, media_blob(sha256), body.path)
    return Kept(sha256=sha256, size=body.size)


@router.get("/uploads/{upload_id}")
def uploaded(upload_id: UploadId, tools: Tools) -> UploadView:
    """What was uploaded, as the farm sees it."""
    return upload_view(tools.farm.media(f"upload:{upload_id}"))


def check_transfer(body: Spooled, sha256: str) -> None:
    """Refuse a body whose digest is not the one that was announced; "" announces none."""
    if sha256 and body.sha256 != sha256:
        raise Rejected(
            f"The {body.size:,} bytes that arrived have the sha256 {body.sha256}, not {sha256}. "
            f"Send them again; the file may have changed while it was read."
        )


def _created(response: Response, media: Media) -> UploadView:
    view = upload_view(media)
    response.headers["Location"] = view.links["self"]
    return view


def _blob(piece: Piece, tools: Context) -> str:
    if piece.sha256 is not None:
        return media_blob(piece.sha256)
    try:
        pictures: Sequence[object] = (media := tools.farm.media(piece.uri or "")).pictures
    except NotFound as error:
        raise Rejected(str(error)) from error
    if len(pictures) != 1:
        raise Rejected(f"{piece.uri!r} is {media.name!r}, no single picture. A collection is made of single pictures.")
    return media.pictures[0].blob
