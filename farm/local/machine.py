"""`farm up`: starts what a farm needs, keeps it alive, stops it in order."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from farm.adapters.daemon import free_port, is_free
from farm.adapters.servers import EmbeddedRedis, EmbeddedS3
from farm.client import Farm
from farm.domain.people import Role, declared
from farm.domain.records import DRAINED_CODE
from farm.errors import FarmError, Rejected, Unavailable
from farm.local.devices import worker_devices
from farm.local.place import DEMO_MODEL, Place, locked, read_place
from farm.local.supervisor import Spec, Supervisor
from farm.settings import Settings

log = structlog.get_logger(__name__)

API_READY_S = 60.0
"""Seconds that the API may take to answer: on a slow disk the first import of everything takes long."""
WORKER_GRACE_S = 20.0
"""Seconds that a worker may take for its running task at the end; what it does not finish, others take up later."""


@dataclass(frozen=True)
class Wanted:
    """What to run on this machine."""

    data_dir: Path
    workers: int | None = None
    """Worker processes that serve the CPU's queue; None: as many as there are CPUs, 4 at the most."""
    port: int | None = None
    """Of the API; None: the one of last time, 8750, or a free one. 0: a free one."""
    queues: str = ""
    """Of all workers; empty: each GPU has a worker of its own, or, without one, all serve all queues."""


class OneMachine:
    """One farm on this machine. Its servers and processes end with the thread that started them."""

    def __init__(self, wanted: Wanted, settings: Settings, tell: Callable[[str], None]) -> None:
        """
        Args:
            settings: the environment alone: what it names (`FARM_REDIS_URL`, a store) is used and not embedded.
            tell: takes one line about each thing that was started.
        """
        self._data = wanted.data_dir.absolute()
        self._wanted = wanted
        self._settings = settings
        self._tell = tell
        self._lock: int | None = None
        self._redis = None if settings.redis_url else EmbeddedRedis(self._data)
        own_store = settings.store or settings.s3_endpoint or settings.s3_bucket
        self._s3 = None if own_store else EmbeddedS3(self._data)
        self._children = Supervisor()
        self._variables: dict[str, str] = {}
        # Of this run: whoever may read the data folder owns the farm anyway.
        self._operator_key = secrets.token_urlsafe(32)
        self.url = ""

    def start(self) -> Place:
        """Start everything, and return when the API answers.

        Raises:
            Conflict: a farm runs on this data folder already.
            FarmError: a server, or the API, did not come up; its log is quoted.
        """
        self._data.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self._data)
        port = self._port()
        self.url = f"http://{_reachable(self._settings.api_host)}:{port}"
        try:
            self._start_servers()
            self._variables |= {
                "FARM_URL": self.url,
                "FARM_API_PORT": str(port),
                "FARM_DATA_DIR": str(self._data),
            }
            self._children.start(self._spec("api", ["api"], {"FARM_OPERATOR_KEY": self._operator_key}))
            self._await_api()
            self._start_workers()
            self._settle()
        except BaseException:
            self.stop()
            raise
        return self._write()

    def tend(self) -> None:
        """Look after everything once; call it every second or so."""
        before = self._children.pids()
        for name, server in (("redis", self._redis), ("s3", self._s3)):
            if server is not None and not server.running:
                log.warning("server_died", server=name)
                try:
                    server.start()
                except FarmError as error:
                    log.error("server_does_not_start", server=name, error=str(error))
        self._children.tend()
        if self._children.pids() != before:
            self._write()

    def stop(self) -> None:
        """Stop workers, then the API, then the servers; what is running is finished or left to be taken up again."""
        workers = [name for name in self._children.pids() if name.startswith("worker")]
        self._children.stop(*workers) if workers else None
        self._children.stop()
        for server in (self._s3, self._redis):
            if server is not None and server.running:
                server.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _start_servers(self) -> None:
        for name, server in (("Redis", self._redis), ("S3", self._s3)):
            if server is None:
                continue
            if server.running:
                # Of a farm that was killed; it is still ending, or outlived it.
                server.stop()
            server.start()
            self._variables |= server.environment()
            self._tell(f"{name:8}on 127.0.0.1, data in {self._data / name.lower()}")

    def _start_workers(self) -> None:
        settings = self._settings
        on_cpu = settings.engine == "fake" or settings.device == "cpu"
        shares = worker_devices(self._wanted.workers, self._wanted.queues, on_cpu=on_cpu)
        for number, share in enumerate(shares, 1):
            name = f"worker-{number}"
            arguments = ["worker", "--queues", share.queues, "--name", f"{name}@{os.uname().nodename}-{os.getpid()}"]
            self._children.start(self._spec(name, arguments, share.environment, WORKER_GRACE_S))
        queues = ", ".join(sorted({share.queues for share in shares}))
        self._tell(f"{'Workers':8}{len(shares)} processes, queues {queues}")

    def _await_api(self) -> None:
        end = time.monotonic() + API_READY_S
        with Farm(self.url, self._operator_key, patience_s=0) as farm:
            while True:
                with suppress(Unavailable):
                    if farm.ready()[0]:
                        break
                if "api" not in self._children.pids() or time.monotonic() > end:
                    raise Unavailable(f"The API did not come up. The end of its log:\n{_tail(self._log('api'))}")
                time.sleep(0.1)
        self._tell(f"{'API':8}{self.url}  (dashboard; API at {self.url}/api/v1)")

    def _settle(self) -> None:
        """What a new farm, or one that lost its Redis, needs before it is used."""
        with Farm(self.url, self._operator_key) as farm:
            if self._redis is not None:
                # Always: after a power cut Redis may lack the last second, and so a job.
                try:
                    farm.recover_all()
                except Rejected as error:
                    self._tell(f"{'Jobs':8}{error}")
            if (DEMO_MODEL / "model_index.json").is_file() and "demo" not in {model.name for model in farm.models()}:
                farm.add_model("demo", DEMO_MODEL)
                self._tell(f"{'Model':8}demo")

    def _write(self) -> Place:
        pids = self._children.pids()
        for name, server in (("redis", self._redis), ("s3", self._s3)):
            if server is not None and server.pid is not None:
                pids[name] = server.pid
        variables = {name: value for name, value in self._variables.items() if name != "FARM_API_PORT"}
        variables["FARM_API_KEY"] = _key(self._settings) or self._operator_key
        place = Place(url=self.url, pid=os.getpid(), environment=variables, children=pids)
        place.write(self._data)
        return place

    def _spec(
        self, name: str, arguments: list[str], more: Mapping[str, str] | None = None, grace_s: float = 10.0
    ) -> Spec:
        threads = str(self._settings.torch_threads)
        environment = {
            **os.environ,
            **self._variables,
            "FARM_TORCH_THREADS": threads,
            # Libraries beside torch would each take all CPUs, in every worker.
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            **(more or {}),
        }
        command = [sys.executable, "-m", "farm.cli", *arguments]
        return Spec(name, command, environment, self._log(name), grace_s, last_codes=(DRAINED_CODE,))

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"

    def _port(self) -> int:
        asked = self._wanted.port
        if asked is None and "api_port" in self._settings.model_fields_set:
            asked = self._settings.api_port
        if asked:
            if not is_free(asked):
                raise Rejected(f"Port {asked} is taken by another program. Stop that, or choose another with --port.")
            return asked
        known = read_place(self._data)
        candidates = [int(known.url.rsplit(":", 1)[1])] if known else []
        if asked is None:
            candidates.append(self._settings.api_port)
        return next((port for port in candidates if is_free(port)), 0) or free_port()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host


def _key(settings: Settings) -> str | None:
    """The key that the environment gives its owner, or an admin's."""
    found = (declared(number, text) for number, text in enumerate(settings.api_keys, 1))
    return settings.api_key or next((each.key for each in found if each.role is Role.ADMIN), None)


def _tail(path: Path, count: int = 2000) -> str:
    with suppress(OSError):
        return path.read_bytes()[-count:].decode(errors="replace")
    return "(no log)"
