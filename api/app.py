"""The API as an application: routes, keys, errors, headers. Made of tools that it is given; it opens nothing."""

from __future__ import annotations

from importlib import metadata

from fastapi import Depends, FastAPI

from api import problems
from api.auth import Keys, authenticate, check_binding
from api.context import Context
from api.digests import digests
from api.guard import Guard
from api.routes import (
    actions,
    chunks,
    comfy,
    feed,
    forecast,
    frames,
    jobs,
    models,
    outputs,
    pages,
    previews,
    samplers,
    session,
    tasks,
    trace,
    uploads,
    workers,
)
from api.routes.health import health, metrics
from api.views import ROOT
from farm.adapters.media import limits_of
from farm.adapters.stills import Stills
from farm.domain.forecast import Foresee
from farm.ports import Blobs
from farm.service.farm import Farm
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
    uploads,
    forecast,
    comfy,
    jobs,
    actions,
    tasks,
    trace,
    frames,
    previews,
    chunks,
    outputs,
    models,
    samplers,
    workers,
    feed,
    session,
)


def create_app(farm: Farm, blobs: Blobs, settings: Settings, foresee: Foresee | None = None) -> FastAPI:
    """The application.

    Args:
        foresee: what tells what a job would do; None: `POST /jobs/plan` is not answered.
    Raises:
        Rejected: it would listen on a network without API keys.
    """
    keys = Keys(settings.api_keys)
    check_binding(settings.api_host, keys)
    app = FastAPI(
        title="Detail farm",
        version=metadata.version("detail-farm"),
        description=DESCRIPTION,
        # The pages that FastAPI offers load their scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = Context(
        farm,
        blobs,
        settings,
        limits_of(settings),
        digests(blobs),
        Stills(blobs, settings.cache_folder() / "stills", settings.max_pixels),
        foresee,
    )
    app.state.keys = keys
    app.state.feed = feed.Feed(farm)
    for module in _ROUTERS:
        app.include_router(module.router, prefix=ROOT, dependencies=[Depends(authenticate)])
    app.include_router(session.entrance, prefix=ROOT)
    app.include_router(health)
    app.include_router(metrics, dependencies=[Depends(authenticate)])
    app.include_router(pages.router)
    problems.install(app)
    app.add_middleware(Guard)
    return app
