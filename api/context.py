"""What a request handler works with: made once at start, handed to every route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.digests import Digests
from farm.adapters.media import Limits
from farm.adapters.stills import Stills
from farm.domain.forecast import Foresee
from farm.ports import Blobs
from farm.service.farm import Farm
from farm.settings import Settings


@dataclass(frozen=True)
class Context:
    """The tools of this process. Nothing in it belongs to a request."""

    farm: Farm
    blobs: Blobs
    settings: Settings
    limits: Limits
    sha256: Digests
    stills: Stills
    foresee: Foresee | None = None


async def context(request: Request) -> Context:
    """The process's tools, as `create_app` was given them. Async: no thread is asked for what needs none."""
    found: Context = request.app.state.context
    return found


Tools = Annotated[Context, Depends(context)]
