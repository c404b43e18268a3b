"""What holds for every request and answer: a limit on JSON bodies, headers that tell browsers to be careful."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.headers import SECURE
from api.problems import problem

MAX_JSON_BYTES = 8 << 20
"""Bytes of a JSON body, which is read before the key is looked at. A job of many key frames has a million."""
STREAMED = (
    "/api/v1/uploads",
    "/api/v1/uploads/blobs/",
    "/api/v1/uploads/collections",
    "/api/v1/uploads/parts/",
    "/api/v1/models/blobs/",
)
"""Paths whose bodies are not JSON, and limited by themselves. The first is meant as a whole."""


class Guard:
    """ASGI middleware; bodies and answers stream through it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURE.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if _is_json(scope["path"]):
            stated = Headers(scope=scope).get("content-length", "")
            if stated.isdigit() and int(stated) > MAX_JSON_BYTES:
                await _too_large(scope, receive, guarded)
                return
            await self._app(scope, _limited(receive), guarded)
            return
        await self._app(scope, receive, guarded)


def _is_json(path: str) -> bool:
    return path != STREAMED[0] and not path.startswith(STREAMED[1:])


def _limited(receive: Receive) -> Receive:
    """A body without a stated length ends where the limit is; what is left of it is then no JSON and refused."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_JSON_BYTES and message["type"] == "http.request":
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return limited


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"The body is larger than {MAX_JSON_BYTES:,} bytes, the most for JSON. Send less at once."
    await problem(Request(scope), 413, "too-large", detail)(scope, receive, send)
