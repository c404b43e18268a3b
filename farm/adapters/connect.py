"""From settings to a farm: the one place where the real adapters are put together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from farm.adapters.celery_queue import CeleryQueue, make_app
from farm.adapters.clock import system_clock
from farm.adapters.measured_blobs import MeasuredBlobs
from farm.adapters.media import admit_prefix, limits_of
from farm.adapters.notice_check import check_notices
from farm.adapters.plugins import installed
from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.stores import open_store
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.metrics import LEDGER_ERRORS, LEDGER_SECONDS
from farm.ports import Blobs, Queue
from farm.service.farm import Bounds, Farm, Outside
from farm.service.tally import Tally
from farm.settings import Settings


@dataclass(frozen=True)
class Connected:
    """A farm and what it stands on."""

    farm: Farm
    blobs: Blobs
    ledger: RedisLedger
    queue: Queue
    tally: Tally
    """What this process counts: how long store and ledger take, and what its parts add."""


def connect(settings: Settings, patience_s: float = 0.0, process: str = "other") -> Connected:
    """The farm of these settings. No request is made yet.

    Args:
        patience_s: seconds for which calls ride out an outage of Redis; 0 for whoever answers to a person.
        process: what this one is, for what it counts: `worker`, `api` or `other`.
    """
    redis_url = settings.require_redis_url()
    tally = Tally(process)
    blobs = MeasuredBlobs(open_store(settings.store_uri(), settings), tally)
    ledger = RedisLedger(
        redis_url, patience_s=patience_s, events_kept=settings.events_kept, observe=partial(_observe, tally)
    )
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
    return Connected(farm, blobs, ledger, queue, tally)


def _observe(tally: Tally, verb: str, seconds: float, answered: bool) -> None:
    tally.observe(LEDGER_SECONDS, tally.process, verb, value=seconds)
    if not answered:
        tally.add(LEDGER_ERRORS, tally.process)
