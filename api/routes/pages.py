"""The status page: jobs and their progress, in a browser. Its data come from the API, with the visitor's key."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"


@router.get("/")
def page() -> FileResponse:
    """The page itself, which holds no data."""
    return FileResponse(WEB / "index.html", media_type="text/html")


@router.get("/status.js")
def script() -> FileResponse:
    """What fills the page."""
    return FileResponse(WEB / "status.js", media_type="text/javascript")


@router.get("/status.css")
def style() -> FileResponse:
    """How it looks, by day and by night."""
    return FileResponse(WEB / "status.css", media_type="text/css")
