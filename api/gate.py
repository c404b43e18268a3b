"""What stands between the network and the routes: made once at start, found in `app.state` by those who ask it."""

from __future__ import annotations

from fastapi import FastAPI

from api.access import Access, Keys
from api.address import networks
from api.auth import check_binding
from api.quotas import Quotas
from api.throttle import Rates, Throttle
from farm.adapters.clock import random_mark, system_mint
from farm.adapters.counters import Counters
from farm.ports import Blobs
from farm.service.audit import Audit
from farm.service.farm import Farm
from farm.service.people import People
from farm.settings import Settings


def install(app: FastAPI, farm: Farm, blobs: Blobs, settings: Settings, counters: Counters | None = None) -> None:
    """Have `app` know who may come in, how often, and for how much; and write down what they change.

    Args:
        counters: where requests are counted; None: in this process alone.
    Raises:
        Rejected: it would listen on a network without any key.
    """
    keys, mint = Keys(settings.api_keys, settings.operator_key), system_mint()
    access = Access(keys, People(blobs, mint, keys.has_admin), farm.ledger)
    check_binding(settings.api_host, access)
    counts = counters or Counters.in_memory()
    state = app.state
    state.access = access
    state.trusted = networks(settings.trusted_proxies)
    state.throttle = Throttle(counts, Rates(settings.rate_per_key, settings.rate_per_address, settings.rate_wrong_keys))
    state.quotas = Quotas(settings.default_quota(), access, farm.ledger, counts)
    state.audit = Audit(blobs, mint.now, random_mark)
