"""A Redis with a replica and Sentinels that watch over them: real processes on loopback, in a folder that goes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from farm.adapters.daemon import free_port
from farm.adapters.server_programs import find_redis

MASTER = "farm-primary"
USER, PASSWORD, WATCH_PASSWORD = "detailer", "p@ss/word:1", "watcher"
READY_S = 60.0


class Watched:
    """Two servers, three Sentinels, one of the servers the primary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports: list[int] = []
        for _ in range(5):
            ports.append(free_port(taken=tuple(ports)))
        self.servers, self.watchers = ports[:2], ports[2:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The farm's address of whoever is the primary; the password has characters that need care."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.watchers)
        login = f"{USER}:p%40ss%2Fword%3A1"
        return f"sentinel://{login}@{hosts}/0?master={MASTER}&sentinel_password={WATCH_PASSWORD}"

    def start(self) -> None:
        """Start all of them; returns when the Sentinels know the primary, its replica and each other."""
        for port in self.servers:
            self.start_server(port)
        for port in self.watchers:
            self._launch(port, self._watcher(port), "--sentinel")
        self._until("the Sentinels know each other", self._ready)

    def start_server(self, port: int) -> None:
        """Start a server as it was when the farm was set up: the first is the primary, the other its replica."""
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"user {USER} on >{PASSWORD} ~* &* +@all",
            f"user default on >{PASSWORD} ~* &* +@all",
            f'masterauth "{PASSWORD}"',
            "appendonly yes",
            'save ""',
            "repl-diskless-sync-delay 0",
        ]
        if port != self.servers[0]:
            lines.append(f"replicaof 127.0.0.1 {self.servers[0]}")
        self._launch(port, lines)
        with redis.Redis(port=port, username=USER, password=PASSWORD) as client:
            self._until("a server answers", lambda: _answers(client))

    def primary(self) -> int:
        """Port of the server that the Sentinels name."""
        with redis.Redis(port=self.watchers[0], password=WATCH_PASSWORD, decode_responses=True) as watcher:
            found = watcher.sentinel_get_master_addr_by_name(MASTER)
            return int(found[1])

    def kill(self, port: int) -> None:
        """End a process without a word."""
        process = self._processes.pop(port)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def await_replica(self) -> None:
        """Return when the replica has all that the primary was told: what it has not is lost with the primary."""
        with redis.Redis(port=self.primary(), username=USER, password=PASSWORD) as client:
            client.incr("written-last")
            assert client.wait(1, int(READY_S * 1000)) == 1

    def stop(self) -> None:
        """End all."""
        for port in list(self._processes):
            self.kill(port)

    def _watcher(self, port: int) -> list[str]:
        return [
            f"port {port}",
            "bind 127.0.0.1",
            f'requirepass "{WATCH_PASSWORD}"',
            f"sentinel sentinel-pass {WATCH_PASSWORD}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self.servers[0]} 2",
            f"sentinel auth-user {MASTER} {USER}",
            f"sentinel auth-pass {MASTER} {PASSWORD}",
            f"sentinel down-after-milliseconds {MASTER} 700",
            f"sentinel failover-timeout {MASTER} 3000",
        ]

    def _launch(self, port: int, lines: list[str], *options: str) -> None:
        home = self.folder / str(port)
        home.mkdir(parents=True, exist_ok=True)
        config = home / "server.conf"
        config.write_text("\n".join([*lines, "dir .", "protected-mode no"]) + "\n")
        with (home / "log").open("ab") as out:
            self._processes[port] = subprocess.Popen(
                [find_redis(), config.name, *options],
                cwd=home,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def _ready(self) -> bool:
        with suppress(redis.RedisError), redis.Redis(port=self.watchers[-1], password=WATCH_PASSWORD) as watcher:
            seen = watcher.execute_command("SENTINEL", "MASTER", MASTER)
            facts = {str(k, "utf8") if isinstance(k, bytes) else k: v for k, v in seen.items()}
            return int(facts["num-slaves"]) == 1 and int(facts["num-other-sentinels"]) == 2
        return False

    def _until(self, what: str, look: object) -> None:
        end = time.monotonic() + READY_S
        while not look():  # type: ignore[operator]  # a function without arguments
            logs = [(path.parent.name, path.read_text()[-400:]) for path in self.folder.glob("*/log")]
            assert time.monotonic() < end, f"waited in vain until {what}: {logs}"
            time.sleep(0.05)


def _answers(client: redis.Redis) -> bool:
    with suppress(redis.RedisError):
        return bool(client.ping())
    return False


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """A primary, its replica and Sentinels, ended in the end."""
    found = Watched(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()
