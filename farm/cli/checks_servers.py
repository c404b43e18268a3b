"""Checks of what a farm stands on: Redis and the store."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import redis

from farm.adapters.redis_address import RedisAddress
from farm.adapters.s3 import PART_BYTES
from farm.adapters.stores import open_store
from farm.cli.findings import Finding, bad, note, ok
from farm.cli.show import size
from farm.errors import FarmError
from farm.ports import Blobs
from farm.settings import Settings

OLDEST_REDIS = (6, 2)
"""Whose commands the ledger's scripts use."""
PINGS = 20
SLOW_REDIS_S = 0.02
"""Seconds for an answer: a worker asks Redis some ten times per task, and at sampler steps."""
FULL = 0.8
"""Share of `maxmemory` above which there is little room."""
SLOW_S = 0.25
"""Seconds for a small object there and back; a worker does this several times per task."""
SKEW_S = 60.0
"""Seconds between the store's clock and this machine's; signed requests fail at 900."""


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers, soon, is new enough, keeps its data, has room, and never evicts."""
    url = settings.require_redis_url()
    address = RedisAddress.read(url)
    shown = address.where
    try:
        with address.client(socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
            took = statistics.median(_timed(client.ping) for _ in range(PINGS))
            about: dict[str, Any] = client.info()
    except redis.AuthenticationError:
        yield bad("redis", f"{shown} refuses the password.", "Correct it in FARM_REDIS_URL.")
        return
    except redis.RedisError as error:
        yield bad("redis", f"{shown} does not answer: {error}.", "Start it, or `farm up`; check FARM_REDIS_URL.")
        return
    version = str(about.get("redis_version", "0"))
    said = f"{shown}, version {about.get('valkey_version', version)}, {took * 1000:.1f} ms"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield bad("redis", said, "Use Redis 6.2, Valkey 7.2, or newer.")
    elif about.get("role") not in (None, "master"):
        yield bad("redis", f"{said}; it is a replica, which takes no writes.", "Let FARM_REDIS_URL name the primary.")
    elif took > SLOW_REDIS_S:
        yield note("redis", f"{said}: slow.", "Bring Redis and workers closer together; look at `redis-cli --latency`.")
    else:
        yield ok("redis", said)
    yield _persistence(about)
    yield _memory(about)


def _persistence(about: Mapping[str, Any]) -> Finding:
    check = "redis.persistence"
    if not about.get("aof_enabled"):
        cure = "Set appendonly yes, or after a crash rebuild its data with `farm job recover --all`."
        return note(check, "It has no append-only file: a crash loses what is newer than its last snapshot.", cure)
    for name in ("aof_last_write_status", "aof_last_bgrewrite_status"):
        if about.get(name, "ok") != "ok":
            return bad(check, f"Its append-only file cannot be written ({name}: {about[name]}).", "Look at its disk.")
    return ok(check, "an append-only file")


def _memory(about: Mapping[str, Any]) -> Finding:
    check, used, most = "redis.memory", int(about.get("used_memory", 0)), int(about.get("maxmemory", 0))
    said = f"{size(used)} in use{f' of {size(most)}' if most else ', no limit'}"
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        return bad(check, f"{said}; it may drop keys when memory is short.", "Set maxmemory-policy noeviction.")
    if most and used > FULL * most:
        return note(check, said, "Raise maxmemory, or remove old jobs: farm gc --older-than.")
    return ok(check, said)


def check_store(settings: Settings) -> Iterator[Finding]:
    """Whether the store can be written, read, listed and cleaned up, takes large files, and its clock is right."""
    address = settings.store_uri()
    store = open_store(address, settings)
    where = f"{address} at {settings.s3_endpoint}" if address.startswith("s3:") and settings.s3_endpoint else address
    name, data = f"doctor/{uuid4().hex}/small", b"doctor" * 100
    begun = time.perf_counter()
    store.put(name, data)
    whole = store.get(name) == data and store.get_range(name, 6, 6) == b"doctor"
    listed = list(store.list(name)) == [name]
    store.delete([name])
    took = time.perf_counter() - begun
    if not whole or not listed or store.exists(name):
        what = "does not give back what was written" if not whole else "does not list what was just written or deleted"
        yield bad("store", f"{where} {what}.", "Use another server or bucket: the farm needs read-after-write.")
        return
    said = f"{where}, written, read and deleted in {took * 1000:.0f} ms"
    if took > SLOW_S:
        yield note("store", f"{said}: slow.", "Bring store and workers closer together.")
    else:
        yield ok("store", said)
    yield _large(store)
    if address.startswith("s3:"):
        yield from _links(store)


def _large(store: Blobs) -> Finding:
    """Whether a file of several parts goes in, as videos and models do."""
    name, count = f"doctor/{uuid4().hex}/large", PART_BYTES + 1
    try:
        with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
            path = Path(folder) / "large"
            with path.open("wb") as out:
                out.truncate(count)
            begun = time.perf_counter()
            store.put_file(name, path)
            took = time.perf_counter() - begun
        if store.size(name) != count:
            return bad("store.parts", "A file of two parts did not arrive whole.", "Use another server.")
        return ok("store.parts", f"{size(count)} in two parts, {size(round(count / took))}/s")
    except FarmError as error:
        return bad("store.parts", str(error), "Allow multipart uploads to the farm's key.")
    finally:
        store.delete([name])


def _links(store: Blobs) -> Iterator[Finding]:
    """Whether signed links work from here, and what time the server thinks that it is."""
    name = f"doctor/{uuid4().hex}/link"
    store.put(name, b"doctor")
    try:
        link = store.url(name, 60) or ""
        before = time.time()
        answer = httpx.get(link, timeout=10)
        if answer.content != b"doctor":
            found = f"A signed link gives {answer.status_code}, not the object."
            yield note("store.links", found, "Set FARM_S3_PUBLIC_ENDPOINT to the address that users reach.")
        else:
            yield ok("store.links", f"signed links for {urlsplit(link).netloc} work")
        yield from _clock(answer.headers.get("date", ""), (before + time.time()) / 2)
    except httpx.HTTPError as error:
        found = f"A signed link cannot be reached from here: {str(error) or type(error).__name__}."
        yield note("store.links", found, "Users of --direct must reach it: set FARM_S3_PUBLIC_ENDPOINT.")
    finally:
        store.delete([name])


def _clock(date: str, here: float) -> Iterator[Finding]:
    """How far the store's clock is from ours: signatures carry the time."""
    try:
        skew = abs(parsedate_to_datetime(date).timestamp() - here)
    except ValueError:
        return  # a server that does not say
    if skew > SKEW_S:
        yield bad("store.clock", f"Its clock and this machine's differ by {skew:.0f} s.", "Set both by NTP.")
    else:
        yield ok("store.clock", "its clock and this machine's agree")


def _timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
