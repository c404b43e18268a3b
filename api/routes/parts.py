"""Large uploads in parts, kept by their content: one that broke off is gone on with, from anywhere."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api.context import Context, Tools
from api.problems import RESPONSES
from api.quotas import Uploading
from api.roles import needs
from api.routes.uploads import Content, Kept, Sha256, check_transfer
from api.shapes import Answer, Asked
from api.spool import BodyTooLarge, spooled
from api.views import UploadView, upload_view
from farm.adapters.media import admit_file, plain_name
from farm.domain.keys import media_doc, upload_part
from farm.domain.media import Media
from farm.domain.people import Role
from farm.errors import Conflict, Rejected

router = APIRouter(tags=["uploads"], responses=RESPONSES)

PART_MAX_BYTES = 64 << 20
"""Bytes of one part: a whole one is held in memory while the file is put together."""
PARTS_MAX = 10_000


class Missing(Answer):
    """Parts that are not here yet."""

    missing: tuple[str, ...]


class Whole(Asked):
    """A file, by its parts."""

    name: Annotated[str, Field(max_length=255, examples=["clip.mp4"])]
    sha256: Sha256
    """Of the whole file."""
    parts: Annotated[tuple[Sha256, ...], Field(min_length=1, max_length=PARTS_MAX)]
    """In order; at most 64 MiB each."""


@router.put("/uploads/parts/{sha256}", status_code=201)
@needs(Role.ARTIST)
async def keep(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], request: Request, tools: Tools, allowance: Uploading
) -> Kept:
    """Upload a part of a file, at most 64 MiB, under its digest. Parts that nobody uses for a day may go."""
    async with spooled(request, min(PART_MAX_BYTES, tools.limits.max_bytes)) as body:
        check_transfer(body, sha256)
        await allowance.take_upload(body.size)
        await run_in_threadpool(tools.blobs.put_file, upload_part(sha256), body.path)
    return Kept(sha256=sha256, size=body.size)


@router.post("/uploads/whole/check")
@needs(Role.VIEWER)
def check(parts: Annotated[tuple[Content, ...], Body(max_length=PARTS_MAX)], tools: Tools) -> Missing:
    """Which of these parts are not here yet: upload only those."""
    wanted = dict.fromkeys(part.sha256 for part in parts)
    return Missing(missing=tuple(sha for sha in wanted if not tools.blobs.exists(upload_part(sha))))


@router.post("/uploads/whole", status_code=201)
@needs(Role.ARTIST)
async def assemble(whole: Whole, tools: Tools, response: Response, allowance: Uploading) -> UploadView:
    """Put a file together from its parts, and look at it as `POST /uploads` does."""
    if await run_in_threadpool(tools.blobs.exists, media_doc(whole.sha256)):
        media = await run_in_threadpool(tools.farm.media, f"upload:{whole.sha256}")
    else:
        sizes = await run_in_threadpool(_sizes, whole, tools)
        # A part that is named again was counted once, and makes the file as much larger as if it had been sent again.
        again = sum(sizes[part] for part in whole.parts) - sum(sizes.values())
        if again:
            await allowance.take_upload(again)
        media = await run_in_threadpool(_admitted, whole, tools)
    await run_in_threadpool(tools.blobs.delete, [upload_part(part) for part in set(whole.parts)])
    view = upload_view(media)
    response.headers["Location"] = view.links["self"]
    return view


def _sizes(whole: Whole, tools: Context) -> dict[str, int]:
    """Bytes of each part. Raises Conflict where one is missing, BodyTooLarge."""
    found = {part: tools.blobs.size(upload_part(part)) for part in set(whole.parts)}
    sizes = {part: size for part, size in found.items() if size is not None}
    missing = [part for part in found if part not in sizes]
    if missing:
        raise Conflict(
            f"{len(missing)} of the {len(found)} parts of {whole.name!r} are not here, {missing[0]} among them. Upload "
            f"them (PUT /api/v1/uploads/parts/…), and ask again."
        )
    if sum(sizes[part] for part in whole.parts) > tools.limits.max_bytes:
        raise BodyTooLarge(tools.limits.max_bytes)
    return sizes


def _admitted(whole: Whole, tools: Context) -> Media:
    """What the parts make, put together and taken in. Raises Rejected."""
    name = plain_name(whole.name)
    with tempfile.TemporaryDirectory(prefix="farm-upload-") as folder:
        path, digest = FilePath(folder) / name.encode()[:200].decode(errors="ignore"), hashlib.sha256()
        with path.open("wb") as out:
            for part in whole.parts:
                data = tools.blobs.get(upload_part(part))
                digest.update(data)
                out.write(data)
        if digest.hexdigest() != whole.sha256:
            raise Rejected(
                f"The parts of {name!r} make a file with the sha256 {digest.hexdigest()}, not {whole.sha256}. Send "
                f"them in their order; the file may have changed while it was read."
            )
        return admit_file(path, name, tools.blobs, tools.limits)
