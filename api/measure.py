"""Counts requests by route and status, and how long answers take to begin."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.views import ROOT
from farm.domain.metrics import API_REQUESTS, API_SECONDS
from farm.service.tally import Tally

ELSEWHERE = "other"
"""The route of requests that none answers: their paths are anybody's, and must not become series."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measure:
    """ASGI middleware; bodies and answers stream through it."""

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen = time.monotonic(), False

        async def noted(message: Message) -> None:
            nonlocal seen
            if message["type"] == "http.response.start" and not seen:
                seen = True
                self._note(scope, str(message["status"]), time.monotonic() - began)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if not seen:  # the client left before an answer began
                self._note(scope, "none", time.monotonic() - began)

    def _note(self, scope: Scope, status: str, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else ELSEWHERE
        route = getattr(scope.get("route"), "path", ELSEWHERE)
        if route != ELSEWHERE and scope["path"].startswith(ROOT) and not route.startswith(ROOT):
            route = ROOT + route  # a route knows its path below the prefix of its router
        self._tally.add(API_REQUESTS, method, route, status)
        self._tally.observe(API_SECONDS, method, route, value=seconds)
