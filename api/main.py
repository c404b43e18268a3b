"""The API as a process: `uvicorn --factory api.main:app`, everything from the environment."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.connection import Connection
from farm.adapters.connect import Connected, connect
from farm.adapters.counters import Counters
from farm.domain.forecast import Foresee
from farm.settings import Settings

GRACE_S = 10
"""Seconds that open requests have at the end; downloads are resumed by their clients."""


def app() -> FastAPI:
    """The application of this environment. Raises Rejected, saying which variable to set."""
    return build(Settings.read())


def build(settings: Settings, foresee: Callable[[Connected], Foresee] | None = None) -> FastAPI:
    """The application of these settings.

    Args:
        foresee: makes what tells what a job would do.
    """
    connected = connect(settings, process="api")
    counters = Counters.on_redis(settings.require_redis_url())
    foreseen = foresee(connected) if foresee else None
    return create_app(connected.farm, connected.blobs, settings, foreseen, counters, connected.tally)


def serve(settings: Settings, foresee: Callable[[Connected], Foresee] | None = None) -> None:
    """Listen until the process is told to stop."""
    uvicorn.run(
        build(settings, foresee),
        http=Connection,
        host=settings.api_host,
        port=settings.api_port,
        # Who is local is decided by the connection, never by what a header claims.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        log_level="warning",
    )
