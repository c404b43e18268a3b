"""The API as an application: routes, keys, errors, headers. Made of tools that it is given; it opens nothing."""

from __future__ import annotations

from importlib import metadata

from fastapi import Depends, FastAPI

from api import gate, problems
from api.auth import authenticate, by_address
from api.context import Context
from api.description import describe
from api.digests import digests
from api.guard import Guard
from api.hub import Hub
from api.listening import Listening
from api.measure import Measure
from api.routes import (
    actions,
    approval,
    audit,
    chunks,
    comfy,
    detect,
    events,
    feed,
    forecast,
    frames,
    jobs,
    models,
    notices,
    outputs,
    pages,
    parts,
    people,
    previews,
    queues,
    samplers,
    session,
    task_logs,
    tasks,
    trace,
    uploads,
    workers,
)
from api.routes.health import health, metrics
from api.scrape import registry
from api.views import ROOT
from api.wire import Wire
from farm.adapters.counters import Counters
from farm.adapters.media import limits_of
from farm.adapters.stills import Stills
from farm.domain.forecast import Foresee
from farm.ports import Blobs
from farm.service.farm import Farm
from farm.service.tally import Tally
from farm.settings import Settings

DESCRIPTION = """
Details long animations with diffusion models, on any number of workers.

1. **Upload** the clip and its masks: `POST /api/v1/uploads?name=clip.mp4` with the file as body; it answers
   with a `uri`.
2. **Submit** a job: `POST /api/v1/jobs` with the `uri` of the clip and of each mask, a prompt, and any of Impact Pack's
   parameters by their own names.
3. **Watch** it: `GET /api/v1/jobs/{id}`, which is cheap to poll and can wait for a change.
4. **Download** frames as they become final: `GET /api/v1/jobs/{id}/outputs`.

Errors are `application/problem+json`: what was seen, what is needed, what to change. With `Idempotency-Key` a
submission may be repeated safely. All links in answers are paths on this server.
"""

_ROUTERS = (
    parts,
    uploads,
    forecast,
    comfy,
    jobs,
    actions,
    approval,
    notices,
    tasks,
    task_logs,
    trace,
    frames,
    previews,
    detect,
    chunks,
    outputs,
    models,
    samplers,
    workers,
    events,
    queues,
    feed,
    session,
    people,
    audit,
)


def create_app(
    farm: Farm,
    blobs: Blobs,
    settings: Settings,
    foresee: Foresee | None = None,
    counters: Counters | None = None,
    tally: Tally | None = None,
) -> FastAPI:
    """The application.

    Args:
        foresee: what tells what a job would do; None: `POST /jobs/plan` is not answered.
        counters: where requests are counted; None: in this process alone.
        tally: where this process counts already.
    Raises:
        Rejected: it would listen on a network without API keys.
    """
    app = FastAPI(
        title="Detail farm",
        version=metadata.version("detail-farm"),
        description=DESCRIPTION,
        # The pages that FastAPI offers load their scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
        # It would name the host that the request names, which is anybody's word.
        redirect_slashes=False,
    )
    app.state.context = Context(
        farm,
        blobs,
        settings,
        limits_of(settings)._replace(apart=True),
        digests(blobs),
        Stills(blobs, settings.cache_folder() / "stills", settings.max_pixels),
        foresee,
    )
    gate.install(app, farm, blobs, settings, counters)
    counted = tally or Tally("api")
    app.state.metrics = registry(farm, counted)
    app.state.feed = feed.Feed(farm)
    app.state.hub = Hub(farm.ledger)
    for module in _ROUTERS:
        app.include_router(module.router, prefix=ROOT, dependencies=[Depends(authenticate)])
    app.include_router(metrics, dependencies=[Depends(authenticate)])
    app.include_router(session.entrance, prefix=ROOT, dependencies=[Depends(by_address)])
    app.include_router(health, dependencies=[Depends(by_address)])
    app.include_router(pages.router, dependencies=[Depends(by_address)])
    problems.install(app)
    app.add_middleware(Listening)
    describe(app)
    app.add_middleware(Wire)
    app.add_middleware(Guard)
    app.add_middleware(Measure, tally=counted)
    return app
