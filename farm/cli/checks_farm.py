"""Checks of the farm itself: its API, models and workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata

from farm.cli.findings import Finding, bad, note, ok
from farm.client import Farm
from farm.client.answers import WorkerAnswer
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.service.waiting import ENGINE
from farm.settings import Settings

VERSION = "version"
"""What a worker says of the farm's version that it runs."""


def check_api(settings: Settings) -> Iterator[Finding]:
    """Whether the API answers, takes our key, reaches its servers, and is of this version."""
    with _farm(settings) as farm:
        ready, said = farm.ready()
        if not ready:
            yield bad("api", f"{settings.url}: {said.get('detail', 'it is not ready')}", "")
            return
        farm.jobs(limit=1)
        theirs = str(farm.http.health("/openapi.json")[1]["info"]["version"])
    yield ok("api", f"{settings.url} answers")
    ours = metadata.version("detail-farm")
    if theirs != ours:
        yield note("api.version", f"It runs {theirs}, this is {ours}.", "Install one version of the farm everywhere.")
    else:
        yield ok("api.version", f"{theirs}, as here")


def check_model(settings: Settings) -> Iterator[Finding]:
    """Whether there is a model that a job could name."""
    with _farm(settings) as farm:
        names = [f"{model.name}{' (animatediff)' if model.has_motion else ''}" for model in farm.models("model")]
    if not names:
        yield note("model", "The farm has no models.", "Add one: farm model add NAME PATH.")
    else:
        yield ok("model", ", ".join(names))


def check_workers(settings: Settings) -> Iterator[Finding]:
    """Whether workers live that serve both kinds of queues, alike, and none is about to end or blocked."""
    with _farm(settings) as farm:
        alive = farm.workers()
    serving = [worker for worker in alive if not worker.draining]
    served = {queue.split(".")[0] for worker in serving for queue in worker.queues}
    said = f"{len(alive)} alive" + (f" on {', '.join(sorted({worker.device for worker in alive}))}" if alive else "")
    missing = [queue for queue in ("cpu", "gpu") if queue not in served]
    if missing:
        cure = f"Start one: farm worker --queues {','.join(missing)}. A worker that just started needs some seconds."
        yield note("workers", f"{said}; nobody serves {' and '.join(missing)}.", cure)
    else:
        yield ok("workers", said)
    yield from _alike(alive, settings)
    leaving = [worker.id for worker in alive if worker.draining]
    if leaving:
        yield note("workers.draining", f"About to end: {', '.join(leaving)}.", "To keep one: farm worker undrain NAME.")
    blocked = [worker.id for worker in alive if worker.blocked]
    if blocked:
        found = f"Blocked for tasks of some job, each after failing several: {', '.join(blocked)}."
        yield note("workers.blocked", found, "Look at their errors (farm task log), then: farm job unblock JOB.")


def _alike(alive: Sequence[WorkerAnswer], settings: Settings) -> Iterator[Finding]:
    """Whether all run one engine, that of the API's settings, and one version: else pixels differ, or nobody works."""
    wanted = ENGINE_VERSIONS[settings.engine]
    others = [
        f"{worker.id} runs {worker.info[ENGINE]}" for worker in alive if worker.info.get(ENGINE, wanted) != wanted
    ]
    if others:
        found = f"Not of the engine {wanted} that is set here: {', '.join(others)}."
        yield note("workers.engine", found, "Set one FARM_ENGINE for the API and all workers, and run one version.")
    versions = {str(worker.info[VERSION]) for worker in alive if VERSION in worker.info}
    if len(versions) > 1:
        found = f"They run the farm's versions {', '.join(sorted(versions))}."
        yield note("workers.version", found, "Install one version on all machines.")
    elif versions and not others:
        yield ok("workers.version", f"all run {versions.pop()} with the engine {wanted}")


def _farm(settings: Settings) -> Farm:
    return Farm(settings.url, settings.api_key, patience_s=0)
