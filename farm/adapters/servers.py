"""The embedded servers of `farm up`: a real Redis and a real S3, on loopback, on disk under one data folder.

Both are found again by anyone who may read the data folder: `EmbeddedRedis(data_dir)` and `EmbeddedS3(data_dir)` of
another process see whether they run, and where.
"""

import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from uuid import uuid4

import redis

from farm.adapters.daemon import Daemon, free_port, is_free
from farm.adapters.s3 import S3Blobs, S3Place
from farm.adapters.server_programs import find_redis, find_weed
from farm.errors import Rejected, Unavailable

LOOPBACK = "127.0.0.1"
READY_S = 120.0
"""Seconds to wait for a server: a long append-only file is read in seconds, but disks differ."""

GRACE_S = 15.0
"""Seconds that a server gets to end by itself; SeaweedFS waits up to 6 for its own idle connections."""

_NAMES = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc")
"""Ports of SeaweedFS; the admin's pair is chosen apart, since its own worker looks for the second at the first plus
10,000, whatever it was told."""


class EmbeddedRedis:
    """A Redis (or Valkey) on loopback with a password; what it was told is on disk after one second at most."""

    def __init__(self, data_dir: Path, port: int | None = None, password: str | None = None) -> None:
        self._daemon = Daemon("redis", data_dir)
        self._port, self._password = port, password

    @property
    def running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self._daemon.running

    @property
    def pid(self) -> int | None:
        """Of the running server."""
        return self._daemon.pid

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`, once it was started."""
        state = self._daemon.state()
        return f"redis://:{state['password']}@{LOOPBACK}:{state['port']}/0"

    def environment(self) -> dict[str, str]:
        """The variables that point the farm's processes to it."""
        return {"FARM_REDIS_URL": self.url}

    def start(self) -> None:
        """Start it on what the data folder holds, and return when it answers.

        Port and password stay what they were, unless given or taken.

        Raises:
            NoServerProgram, AlreadyRunning, ServerFailed.
        """
        program = find_redis()
        known = self._daemon.prepare()
        port = self._port or int(known.get("port", 0))
        if self._port is None and not (port and is_free(port)):
            port = free_port()
        password = self._password or str(known.get("password") or secrets.token_urlsafe(24))
        config = self._configure(port, password)
        self._daemon.remember(port=port, password=password, program=str(program))
        self._daemon.launch([str(program), str(config)], {"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
        self._daemon.wait_until(self._answers, READY_S)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it; after `grace_s` seconds by force. With 0 it is killed at once."""
        self._daemon.stop(grace_s)

    def _configure(self, port: int, password: str) -> Path:
        # A file and not arguments: those can be read by everybody on the machine.
        config = self._daemon.folder / "redis.conf"
        lines = [
            f"bind {LOOPBACK}",
            f"port {port}",
            f'requirepass "{password}"',
            "protected-mode yes",
            "daemonize no",
            # The folder that it is started in; a path would have to be quoted.
            "dir .",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # A ledger must never forget a key to make room for another.
            "maxmemory-policy noeviction",
            "tcp-keepalive 60",
        ]
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write("\n".join(lines) + "\n")
        return config

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class EmbeddedS3:
    """SeaweedFS in one process on loopback, with one bucket and one pair of keys."""

    def __init__(self, data_dir: Path, bucket: str = "farm") -> None:
        self._daemon = Daemon("s3", data_dir)
        self.bucket = bucket

    @property
    def running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self._daemon.running

    @property
    def pid(self) -> int | None:
        """Of the running server."""
        return self._daemon.pid

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:port`, once it was started."""
        return f"http://{LOOPBACK}:{self._daemon.state()['ports']['s3']}"

    @property
    def keys(self) -> tuple[str, str]:
        """Access key id and secret, once it was started."""
        key_id, secret = self._daemon.state()["keys"]
        return str(key_id), str(secret)

    def environment(self) -> dict[str, str]:
        """The variables that point the farm's processes, and AWS's own tools, to it."""
        key_id, secret = self.keys
        return {
            "FARM_S3_ENDPOINT": self.endpoint,
            "FARM_S3_BUCKET": self.bucket,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def place(self, prefix: str = "") -> S3Place:
        """Where a store below `prefix` of its bucket lies, for this process."""
        return S3Place(self.bucket, prefix, self.endpoint, keys=self.keys)

    def start(self) -> None:
        """Start it on what the data folder holds, and return when it takes new blobs and gives back old ones.

        Ports and keys stay what they were, as far as the ports are free.

        Raises:
            NoServerProgram, AlreadyRunning, ServerFailed.
        """
        program = find_weed()
        known = self._daemon.prepare()
        (self._daemon.folder / "data").mkdir(exist_ok=True)
        ports = _ports(known.get("ports", {}))
        key_id, secret = known.get("keys") or (f"farm{secrets.token_hex(6)}", secrets.token_urlsafe(24))
        environment = {
            # Its own home: it would read a security.toml there.
            "HOME": str(self._daemon.folder),
            "PATH": os.defpath,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "S3_BUCKET": self.bucket,
        }
        self._daemon.remember(ports=ports, keys=[key_id, secret], program=str(program))
        self._daemon.launch([str(program), "mini", "-dir=data", *_FIXED, *_port_options(ports)], environment)
        self._daemon.wait_until(self._answers, READY_S)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it; after `grace_s` seconds by force. With 0 it is killed at once."""
        self._daemon.stop(grace_s)
        for port in self._daemon.state().get("ports", {}).values():
            # It leaves some of its local sockets behind.
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket_file.unlink(missing_ok=True)

    def _answers(self) -> bool:
        if not _listens(self._daemon.state()["ports"]["s3"]):
            return False
        store, probe = S3Blobs(self.place()), f"ready-{uuid4().hex}"
        try:
            store.put(probe, b"ready")
            # After it was killed, it takes new blobs some seconds before it finds the old ones again.
            for name in (probe, *islice(store.list(""), 1)):
                store.get_range(name, 0, 1)
        except (Unavailable, Rejected):
            return False
        finally:
            _drop(store, probe)
        return True


_FIXED = (
    f"-ip={LOOPBACK}",
    f"-ip.bind={LOOPBACK}",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # A bucket that does not exist is a typing error, here as on other servers.
    "-s3.autoCreateBucket=false",
    # It would report to its makers.
    "-master.telemetry=false",
    # Seconds; it waits for its own idle connections before it ends, half a minute with its default.
    "-idleTimeout=5",
)


def _ports(known: Mapping[str, int]) -> dict[str, int]:
    """The ports of last time if all are free, else new ones: clients that wait for a restart find it again."""
    wanted = {*_NAMES, "admin", "admin.grpc"}
    if known.keys() == wanted and all(map(is_free, known.values())):
        return dict(known)
    ports: dict[str, int] = {"admin": free_port(offsets=(0, 10_000))}
    ports["admin.grpc"] = ports["admin"] + 10_000
    for name in _NAMES:
        ports[name] = free_port(taken=tuple(ports.values()))
    return ports


def _port_options(ports: Mapping[str, int]) -> Iterator[str]:
    for name, port in ports.items():
        server, _, twin = name.partition(".")
        yield f"-{server}.port{'.' + twin if twin else ''}={port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _drop(store: S3Blobs, name: str) -> None:
    with suppress(Unavailable, Rejected):
        store.delete([name])
