"""From settings to a farm: the one place where the real adapters are put together."""

from __future__ import annotations

from dataclasses import dataclass

from farm.adapters.celery_queue import CeleryQueue, make_app
from farm.adapters.clock import system_clock
from farm.adapters.media import admit_prefix, limits_of
from farm.adapters.notice_check import check_notices
from farm.adapters.plugins import installed
from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.stores import open_store
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.ports import Blobs, Queue
from farm.service.farm import Bounds, Farm, Outside
from farm.settings import Settings


@dataclass(frozen=True)
class Connected:
    """A farm and what it stands on."""

    farm: Farm
    blobs: Blobs
    ledger: RedisLedger
    queue: Queue


def connect(settings: Settings, patience_s: float = 0.0) -> Connected:
    """The farm of these settings. No request is made yet.

    Args:
        patience_s: seconds for which calls ride out an outage of Redis; 0 for whoever answers to a person.
    """
    redis_url = settings.require_redis_url()
    blobs = open_store(settings.store_uri(), settings)
    ledger = RedisLedger(redis_url, patience_s=patience_s, events_kept=settings.events_kept)
    queue = CeleryQueue(make_app(redis_url), ledger.alive)
    farm = Farm(
        blobs,
        ledger,
        queue,
        system_clock(),
        engine=ENGINE_VERSIONS[settings.engine],
        bounds=Bounds(settings.window_chunks, settings.whole_clip_frames),
        outside=Outside(
            lambda uri: admit_prefix(uri, blobs, limits_of(settings), settings),
            installed(),
            settings.user_weights,
            lambda request: check_notices(request, settings),
        ),
    )
    return Connected(farm, blobs, ledger, queue)
