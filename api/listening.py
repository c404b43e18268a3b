"""An event stream ends when its listener's key does: it may be open for days, and a key is shown at its beginning."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHECK = "may_listen"
"""Name, in the request's state, of what tells whether whoever began the request may still come in."""
CHECK_S = 3.0
"""Seconds between two looks."""
STREAM = "text/event-stream"

Check = Callable[[], Awaitable[bool]]


class Listening:
    """ASGI middleware. What is asked is only asked when something is sent: streams say every few seconds that they are
    there."""

    def __init__(self, app: ASGIApp, every_s: float = CHECK_S) -> None:
        self._app = app
        self._every_s = every_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_stream, over, due = False, False, 0.0

        async def watched(message: Message) -> None:
            nonlocal is_stream, over, due
            if over:
                return  # it will see that nobody listens any more
            if message["type"] == "http.response.start":
                is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith(STREAM)
            elif is_stream and message.get("more_body") and time.monotonic() >= due:
                due = time.monotonic() + self._every_s
                check: Check | None = scope.get("state", {}).get(CHECK)
                if check is not None and not await check():
                    over = True
                    message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, receive, watched)
