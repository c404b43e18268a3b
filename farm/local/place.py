"""Where a farm on this machine is: one file in its data folder, so that other commands find it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from farm.errors import Conflict, NotFound, Unavailable

FILE = "farm.json"
DEMO_MODEL = Path(__file__).resolve().parents[2] / "assets" / "demo" / "model"
"""The small embedded model, in a source checkout."""


class Place(BaseModel):
    """What `farm up` started, and what other processes need to know to use it. Holds passwords: mode 0600."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    """Of the API."""
    pid: int
    """Of `farm up`."""
    environment: dict[str, str]
    """Variables that point a process to this farm: `FARM_...` and, for an embedded store, AWS's two keys."""
    children: dict[str, int] = {}
    """Process ids by name: redis, s3, api, worker-1 ..."""

    def write(self, data_dir: Path) -> Path:
        """Put it into the data folder, whole or not at all; the file."""
        target = data_dir / FILE
        part = target.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(self.model_dump_json(indent=1))
        part.replace(target)
        return target


def read_place(data_dir: Path) -> Place | None:
    """The farm of a data folder, running or not; None if there was none, or its file cannot be read."""
    try:
        return Place.model_validate_json((data_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def missing_variables(place: Place, environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to `environment` so that a process uses this farm: what is set there already wins.

    Where the environment names a store of its own, the keys of the embedded one are of no use to it and are left out.
    """
    own_store = any(environment.get(name) for name in ("FARM_STORE", "FARM_S3_ENDPOINT", "FARM_S3_BUCKET"))
    store_names = {"FARM_STORE", "FARM_S3_ENDPOINT", "FARM_S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    return {
        name: value
        for name, value in place.environment.items()
        if not environment.get(name) and not (own_store and name in store_names)
    }


def stop_farm(data_dir: Path, timeout_s: float) -> None:
    """Stop the farm of a data folder, whoever started it.

    Raises:
        NotFound: none runs there.   Unavailable: it does not end in time.
    """
    place = read_place(data_dir)
    if place is None or not is_up(data_dir):
        raise NotFound(f"No farm runs on {data_dir}. Start one with `farm up`, or name its folder with --data.")
    os.kill(place.pid, signal.SIGTERM)
    end = time.monotonic() + timeout_s
    while is_up(data_dir):
        if time.monotonic() > end:
            raise Unavailable(f"The farm on {data_dir} (process {place.pid}) did not end within {timeout_s:g} s.")
        time.sleep(0.1)


def is_up(data_dir: Path) -> bool:
    """Whether a `farm up` runs on a data folder."""
    try:
        os.close(locked(data_dir))
    except Conflict:
        return True
    except FileNotFoundError:
        return False
    return False


def locked(data_dir: Path) -> int:
    """A lock on the folder, held until it is closed or this process ends. Raises Conflict."""
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Conflict(
            f"A farm runs on {data_dir} already. Use it, stop it with `farm down`, or choose another folder: --data."
        ) from None
    return lock
