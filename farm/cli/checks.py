"""The checks of `farm doctor`: each looks at one thing and returns what it found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

import redis

from farm.adapters.redis_address import RedisAddress
from farm.adapters.stores import open_store
from farm.cli.show import size
from farm.client import Farm
from farm.settings import Settings

OLDEST_REDIS = (6, 2)
"""Whose commands the ledger's scripts use."""
LEAST_FREE_BYTES = 5 * 10**9
"""Of a disk that holds a farm's data: below it a job of a few minutes may not fit."""
SLOW_S = 0.25
"""Seconds for a small object there and back; a worker does this several times per task."""
TORCH_S = 120.0
"""Seconds for torch to load: its first import on a slow disk reads gigabytes."""
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps({"version": torch.__version__, "gpus": [[p.name, p.total_memory] for p in names]}))
"""


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    check: str
    verdict: Verdict
    found: str
    cure: str = ""
    """What to do; empty where nothing is to be done, or `found` says it."""

    def words(self) -> dict[str, str]:
        """The text, for JSON."""
        return {"found": self.found, "cure": self.cure}


def check_redis(settings: Settings) -> Finding:
    """Whether Redis answers, is new enough, keeps its data and never evicts."""
    url = settings.require_redis_url()
    address = RedisAddress.read(url)
    shown = address.where
    try:
        with address.client(socket_timeout=5, socket_connect_timeout=5) as client:
            begun = time.perf_counter()
            client.ping()
            took = time.perf_counter() - begun
            about = json.loads(json.dumps(client.info()))
    except redis.AuthenticationError:
        return Finding("redis", Verdict.BAD, f"{shown} refuses the password.", "Correct it in FARM_REDIS_URL.")
    except redis.RedisError as error:
        return Finding(
            "redis", Verdict.BAD, f"{shown} does not answer: {error}.", "Start it, or `farm up`; check FARM_REDIS_URL."
        )
    version = str(about.get("redis_version", "0"))
    said = f"{shown}, version {about.get('valkey_version', version)}, {took * 1000:.1f} ms"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return Finding("redis", Verdict.BAD, said, "Use Redis 6.2, Valkey 7.2, or newer.")
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        return Finding(
            "redis", Verdict.BAD, f"{said}; it may drop keys when memory is short.", "Set maxmemory-policy noeviction."
        )
    if not about.get("aof_enabled"):
        return Finding(
            "redis",
            Verdict.NOTE,
            f"{said}; it has no append-only file.",
            "Set appendonly yes, or after a crash rebuild its data with `farm job recover --all`.",
        )
    return Finding("redis", Verdict.OK, said)


def check_store(settings: Settings) -> Finding:
    """Whether the store can be written, read, and cleaned up."""
    address = settings.store_uri()
    store, name, data = open_store(address, settings), f"doctor/{uuid4().hex}", b"doctor" * 100
    where = f"{address} at {settings.s3_endpoint}" if address.startswith("s3:") and settings.s3_endpoint else address
    begun = time.perf_counter()
    store.put(name, data)
    whole = store.get(name) == data and store.get_range(name, 6, 6) == b"doctor"
    store.delete([name])
    took = time.perf_counter() - begun
    if not whole or store.exists(name):
        return Finding(
            "store", Verdict.BAD, f"{where} does not give back what was written.", "Use another server or bucket."
        )
    said = f"{where}, written, read and deleted in {took * 1000:.0f} ms"
    if took > SLOW_S:
        return Finding("store", Verdict.NOTE, f"{said}: slow.", "Bring store and workers closer together.")
    return Finding("store", Verdict.OK, said)


def check_api(settings: Settings) -> Finding:
    """Whether the API answers, takes our key, and reaches its servers."""
    with Farm(settings.url, settings.api_key, patience_s=0) as farm:
        ready, said = farm.ready()
        if not ready:
            return Finding("api", Verdict.BAD, f"{settings.url}: {said.get('detail', 'it is not ready')}")
        farm.jobs(limit=1)
    return Finding("api", Verdict.OK, f"{settings.url} answers")


def check_model(settings: Settings) -> Finding:
    """Whether there is a model that a job could name."""
    with Farm(settings.url, settings.api_key, patience_s=0) as farm:
        names = [f"{model.name}{' (animatediff)' if model.has_motion else ''}" for model in farm.models("model")]
    if not names:
        return Finding("model", Verdict.NOTE, "The farm has no models.", "Add one: farm model add NAME PATH.")
    return Finding("model", Verdict.OK, ", ".join(names))


def check_workers(settings: Settings) -> Finding:
    """Whether workers live that serve both kinds of queues."""
    with Farm(settings.url, settings.api_key, patience_s=0) as farm:
        alive = farm.workers()
    served = {queue.split(".")[0] for worker in alive for queue in worker.queues}
    said = f"{len(alive)} alive" + (f" on {', '.join(sorted({worker.device for worker in alive}))}" if alive else "")
    missing = [queue for queue in ("cpu", "gpu") if queue not in served]
    if missing:
        return Finding(
            "workers",
            Verdict.NOTE,
            f"{said}; nobody serves {' and '.join(missing)}.",
            f"Start one: farm worker --queues {','.join(missing)}. A worker that just started needs some seconds.",
        )
    return Finding("workers", Verdict.OK, said)


def check_torch(settings: Settings) -> Finding:
    """Whether the engine can run here, and on what. Torch is asked in a process of its own: it may hang or crash."""
    if settings.engine == "fake":
        return Finding("torch", Verdict.NOTE, "not needed: FARM_ENGINE is fake.", "Unset it for real pictures.")
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=TORCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("torch", Verdict.BAD, f"It did not load within {TORCH_S:g} s.", "Look at the GPU's driver.")
    if asked.returncode != 0:
        last = (asked.stderr.strip().splitlines() or ["it cannot be loaded"])[-1]
        return Finding(
            "torch",
            Verdict.BAD,
            last,
            "Install it: pip install 'detail-farm[gpu]'. Only workers need it.",
        )
    about = json.loads(asked.stdout.splitlines()[-1])
    gpus = [f"{name}, {size(memory)}" for name, memory in about["gpus"]]
    if settings.device == "cuda" and not gpus:
        return Finding(
            "torch",
            Verdict.BAD,
            f"{about['version']}, but it sees no GPU and FARM_DEVICE is cuda.",
            "Install torch's CUDA build and a driver (nvidia-smi must list the GPU), or set FARM_DEVICE=auto.",
        )
    if not gpus:
        return Finding("torch", Verdict.NOTE, f"{about['version']}, no GPU: the CPU is used, which is slow.")
    return Finding("torch", Verdict.OK, f"{about['version']}, {'; '.join(gpus)}")


def check_disk(settings: Settings) -> Finding:
    """Whether data and cache have room."""
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{size(free)} free for {settings.data_dir}"
    if free < LEAST_FREE_BYTES:
        return Finding(
            "disk", Verdict.BAD, said, f"Free {size(LEAST_FREE_BYTES)}, or set FARM_DATA_DIR to a larger disk."
        )
    return Finding("disk", Verdict.OK, said)


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "redis": check_redis,
    "store": check_store,
    "api": check_api,
    "model": check_model,
    "workers": check_workers,
    "torch": check_torch,
    "disk": check_disk,
}
"""By the names of `farm.cli.doctor.NAMES`."""
