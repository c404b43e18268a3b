"""What machines ask: whether the process lives, whether it can work, how much there is to do."""

from __future__ import annotations

import platform
from importlib import metadata

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api.context import Tools
from api.problems import RESPONSES
from api.shapes import Answer

health = APIRouter(tags=["health"], responses=RESPONSES)
"""Open to all: says nothing about jobs."""
metrics = APIRouter(tags=["health"], responses=RESPONSES)


class Health(Answer):
    """That a process answers."""

    status: str = "ok"


class Version(Answer):
    """What is running."""

    version: str
    api: str = "v1"
    python: str


@health.get("/healthz")
def healthz() -> Health:
    """Whether this process answers; asks nobody else."""
    return Health()


@health.get("/readyz")
def readyz(tools: Tools) -> Health:
    """Whether Redis and the store answer; 503 with what to check if not."""
    tools.farm.ledger.ping()
    tools.blobs.exists("readyz")
    return Health()


@health.get("/version")
def version() -> Version:
    """The farm's version."""
    return Version(version=metadata.version("detail-farm"), python=platform.python_version())


@metrics.get("/metrics", response_class=Response)
def prometheus(request: Request) -> Response:
    """The farm for Prometheus: jobs of the newest 1,000, tasks, queues, workers, and what all processes count."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_PLAIN_0_0_4)
