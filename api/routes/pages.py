"""The dashboard's files. They hold no data: those come from the API, to whom it knows."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath

from farm.errors import NotFound

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
FOR_EVER = "public, max-age=31536000, immutable"
"""What a browser may do with a file whose address changes with its content."""
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@cache
def files() -> dict[str, bytes]:
    """The dashboard's scripts and styles by name, read once."""
    found = (path for kind in KINDS for path in sorted(WEB.rglob(f"*{kind}")))
    return {path.relative_to(WEB).as_posix(): path.read_bytes() for path in found}


@cache
def version() -> str:
    """Digest of all files: part of their addresses, so that a new farm's pages never meet old scripts."""
    digest = hashlib.sha256()
    for name, data in sorted(files().items()):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


@router.get("/")
@router.get("/jobs/{job_id}")
@router.get("/submit")
@router.get("/workers")
def page(request: Request, job_id: str = "") -> Response:  # noqa: ARG001 - the page's script reads the address
    """The one page that all addresses have."""
    etag = f'"{version()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    text = (WEB / "index.html").read_text().replace("{version}", version())
    return Response(text, media_type="text/html", headers=headers)


@router.get("/web/{build}/{name:path}")
def file(build: str, name: Annotated[str, InPath(max_length=200)]) -> Response:
    """A script or style; kept for ever by browsers if it is asked for under the present build's name."""
    data = files().get(name)
    if data is None:
        raise NotFound(f"The dashboard has no file {name!r}. Reload the page.")
    kind = KINDS[Path(name).suffix]
    caching = FOR_EVER if build == version() else "no-cache"
    return Response(data, media_type=kind, headers={"Cache-Control": caching})
