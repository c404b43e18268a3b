"""What machines ask: whether the process lives, whether it can work, how much there is to do."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from importlib import metadata

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.context import Tools
from api.problems import RESPONSES
from api.shapes import Answer
from farm.domain.state import JobState, TaskState
from farm.ports import JobStatus
from farm.service.farm import Farm

health = APIRouter(tags=["health"], responses=RESPONSES)
"""Open to all: says nothing about jobs."""
metrics = APIRouter(tags=["health"], responses=RESPONSES)

COUNTED = 1000
"""Jobs, the newest, that metrics count."""
PAGE = 200


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
def prometheus(tools: Tools) -> Response:
    """Jobs, tasks and workers by state, for Prometheus. Of the newest 1,000 jobs."""
    registry = CollectorRegistry()
    registry.register(_Counts(tools.farm))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Counts(Collector):
    """Reads the ledger when it is asked: an API process of its own has nothing to count."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # without it, registering would collect once

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = list(_newest(self._farm))
        tasks: Counter[TaskState] = Counter()
        for job in found:
            tasks.update(dict(job.counts))
        yield _gauge("farm_jobs", "Jobs by state.", Counter(job.state for job in found), JobState)
        yield _gauge("farm_tasks", "Planned tasks of these jobs by state.", tasks, TaskState)
        frames = GaugeMetricFamily("farm_frames_done", "Final frames of these jobs.")
        frames.add_metric([], sum(job.frames_done for job in found))
        yield frames
        workers = GaugeMetricFamily("farm_workers", "Workers alive.")
        workers.add_metric([], len(self._farm.workers()))
        yield workers


def _newest(farm: Farm) -> Iterator[JobStatus]:
    after = ""
    for _ in range(COUNTED // PAGE):
        page = farm.jobs(after, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].facts.id


def _gauge(
    name: str, text: str, counts: Counter[JobState] | Counter[TaskState], states: type[JobState] | type[TaskState]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        gauge.add_metric([state.value], counts[state])  # type: ignore[index]  # counts and states are of one kind
    return gauge
