"""A request's body, on its way to disk: counted, hashed, never held in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from farm.adapters.media import plain_name
from farm.errors import Rejected, TooLarge, Unavailable

BLOCK_BYTES = 1 << 20
"""Bytes that are written and hashed at once, off the event loop."""
NAME_BYTES = 200
"""Bytes of a file's name on disk; file systems take 255."""
FORM_OVERHEAD_BYTES = 64 << 10
"""Bytes of a multipart body that are not the file's."""


class BodyTooLarge(TooLarge):
    """A body over the limit; reading stopped there."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The upload is larger than {most:,} bytes, the most that this farm takes. "
            f"Split the clip, or raise FARM_MAX_UPLOAD_BYTES."
        )


class NoFile(Rejected):
    """A form without a file."""

    def __init__(self) -> None:
        super().__init__(
            "The form has no file. Send the file as the form field `file`, or as the raw body with `?name=clip.mp4`."
        )


class Spooled(NamedTuple):
    """A body on disk, until the request is answered."""

    path: Path
    name: str
    """What the client calls it, without folders."""
    size: int
    sha256: str


@asynccontextmanager
async def spooled(request: Request, most: int, name: str = "") -> AsyncIterator[Spooled]:
    """The file in a request's body, raw or as the first file of a form; removed again at the end.

    Args:
        most: bytes.   name: what the client calls the file; for a form, the form may say it.
    Raises:
        BodyTooLarge: more than `most` bytes, by its own word or as counted.
        NoFile: a form without a file.
    """
    stated = request.headers.get("content-length", "")
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    room = most + FORM_OVERHEAD_BYTES if is_form else most
    if stated.isdigit() and int(stated) > room:
        raise BodyTooLarge(most)
    with tempfile.TemporaryDirectory(prefix="farm-upload-") as folder:
        body = _counted(request, room)
        said, blocks = await _form_file(request, body) if is_form else ("", body)
        name = plain_name(name or said)
        # Named as the client names it, since readers tell of a file by its name.
        path = Path(folder) / name.encode()[:NAME_BYTES].decode(errors="ignore")
        size, sha256 = await _written(path, blocks)
        yield Spooled(path, name, size, sha256)


async def _counted(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > most:
            raise BodyTooLarge(most)
        yield block


async def _form_file(request: Request, body: AsyncGenerator[bytes, None]) -> tuple[str, AsyncIterator[bytes]]:
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise Rejected(f"The form cannot be read ({error}). Send one file as the form field `file`.") from error
    for part in form.values():
        if isinstance(part, UploadFile):
            return part.filename or "", _blocks(part)
    for file in parser._files_to_close_on_error:  # of a form that ends in the middle of its file
        file.close()
    raise NoFile


async def _blocks(file: UploadFile) -> AsyncIterator[bytes]:
    while block := await file.read(BLOCK_BYTES):
        yield block
    await file.close()


async def _written(path: Path, blocks: AsyncIterator[bytes]) -> tuple[int, str]:
    digest, size, held = hashlib.sha256(), 0, bytearray()
    file = await run_in_threadpool(path.open, "wb")

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as error:
            raise Unavailable(
                f"The API's machine cannot keep the upload ({error.strerror}); try again later."
            ) from error
        digest.update(data)

    try:
        async for block in blocks:
            held += block
            size += len(block)
            if len(held) >= BLOCK_BYTES:
                await run_in_threadpool(write, bytes(held))
                held.clear()
        await run_in_threadpool(write, bytes(held))
    finally:
        await run_in_threadpool(file.close)
    return size, digest.hexdigest()
