"""What a request must be before anything looks into it: sent to a host that is one, and in reasonable time."""

from __future__ import annotations

import asyncio
import re
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import TooSlow, problem

IDLE_S = 30.0
"""Seconds without a byte of a body that is not complete."""
FREE_S = 60.0
"""Seconds of a body that may come as slowly as it likes."""
LEAST_RATE = 1024
"""Bytes per second on average, of a body that takes longer: eight times less than the slowest modem."""

_HOST = re.compile(r"([A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


class Wire:
    """ASGI middleware; bodies stream through it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = _unreadable(Headers(scope=scope))
        if fault:
            # The path is all that may be asked of such a request: its address as a whole cannot be read.
            answer = problem(Request(scope), 400, "bad-request", fault)
            await answer(scope, receive, send)
            return
        body = _Body(receive)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and body.given_up:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, body.receive, told)


class _Body:
    """A body on its way in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = False
        self._begun: float | None = None
        self._size = 0
        self.given_up = False

    async def receive(self) -> Message:
        """The next part. Raises TooSlow."""
        if self._complete:
            return await self._receive()
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        try:
            async with asyncio.timeout(IDLE_S):
                message = await self._receive()
        except TimeoutError:
            raise self._slow(f"no byte of the body for {IDLE_S:g} s") from None
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        spent = time.monotonic() - self._begun
        if not self._complete and spent > FREE_S and self._size < LEAST_RATE * spent:
            raise self._slow(f"{self._size:,} bytes of the body in {spent:.0f} s")
        return message

    def _slow(self, seen: str) -> TooSlow:
        self.given_up = True
        return TooSlow(f"There came {seen}; at least {LEAST_RATE:,} bytes a second are needed. Send it again.")


def _unreadable(headers: Headers) -> str:
    """What is wrong with the addresses in a request's headers; "" if nothing is."""
    if not _HOST.fullmatch(headers.get("host", "")):
        return "The header `Host` is no host name. Send the name under which this farm is known."
    try:
        urlsplit(headers.get("origin", ""))
    except ValueError:
        return "The header `Origin` is no address. Leave it out, or send that of the page which asks."
    return ""
