"""Hosts on one machine: network namespaces on a switch of their own, with names, in which containers' commands run.

Each process has its own mounts too, as in a container: its volumes, and its /dev/shm. What is not isolated is the
rest of the file system, and the user. Needs root and network namespaces.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from farm.adapters.daemon import LEASH
from tests.shows.containers import Service

NET = "10.232.77"
NAMES = Path("/etc/netns")
"""Where `ip netns exec` looks for the files that a namespace sees in /etc."""
_MOUNT = "mount -t tmpfs none /dev/shm && mount -t tmpfs none /var/lib && cd {cwd}"


@dataclass
class Container:
    """A service that runs on a host."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path
    environment: Mapping[str, str]

    def well(self) -> bool:
        """What its health check says, run where it runs."""
        inside = ["nsenter", "--target", str(self.process.pid), "--mount", "--net", "--"]
        done = subprocess.run(
            [*inside, *self.service.health], env=dict(self.environment), capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    def stop(self) -> int:
        """As containers are stopped: SIGTERM, its grace, SIGKILL. The exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self.service.grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass
class Host:
    """A machine of the farm."""

    space: str
    address: str
    folder: Path
    path: str
    """Where it finds programs."""
    containers: list[Container] = field(default_factory=list)

    def words(self, command: Sequence[str]) -> list[str]:
        """A command that runs here."""
        return [shutil.which("ip") or "ip", "netns", "exec", self.space, *command]

    def run(self, service: Service, **changes: str) -> Container:
        """Start a service. `changes` differ from its variables."""
        mounts = [_MOUNT.format(cwd=shlex.quote(str(self.folder)))]
        for number, target in enumerate(sorted({"/var/lib/farm", *service.folders})):
            source = self.folder / f"{service.name}-{number}"
            source.mkdir()
            mounts.append(f"mkdir -p {target} && mount --bind {source} {target}")
        home = "/data" if "/data" in service.folders else "/var/lib/farm"
        script = " && ".join([*mounts, f"cd {home}", 'exec "$@"'])
        environment = {
            **service.environment,
            **changes,
            "PATH": self.path,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "HOME": home,
        }
        log = self.folder / f"{service.name}.log"
        command = self.words(["sh", "-c", script, "sh", *service.command])
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.containers.append(Container(service, process, log, environment))
        return self.containers[-1]


@contextmanager
def hosts(names: Sequence[str], folder: Path, path: str) -> Iterator[dict[str, Host]]:
    """Hosts that reach each other by these names, and nothing else; gone in the end, with all that runs there."""
    own = f"farm-{os.getpid()}"
    spaces = {name: f"{own}-{name}" for name in names}
    switch = f"{own}-switch"
    data = Path("/data")
    made = not data.exists()
    data.mkdir(exist_ok=True)
    found: dict[str, Host] = {}
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "hub", "type", "bridge")
        _ip("-n", switch, "link", "set", "hub", "up")
        addresses = {name: f"{NET}.{number}" for number, name in enumerate(names, 1)}
        told = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in addresses.items())
        for number, (name, space) in enumerate(spaces.items(), 1):
            _plug(space, switch, number, addresses[name])
            (NAMES / space).mkdir(parents=True)
            (NAMES / space / "hosts").write_text(told)
            (folder / name).mkdir()
            found[name] = Host(space, addresses[name], folder / name, path)
        yield found
    finally:
        for host in found.values():
            for container in host.containers:
                with suppress(ProcessLookupError):
                    os.killpg(container.process.pid, signal.SIGKILL)
                container.process.wait()
        for space in (*spaces.values(), switch):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", space)
            shutil.rmtree(NAMES / space, ignore_errors=True)
        if made:
            data.rmdir()


def _plug(space: str, switch: str, number: int, address: str) -> None:
    _ip("netns", "add", space)
    _ip("-n", switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("-n", switch, "link", "set", f"port{number}", "master", "hub", "up")
    _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
    for link in ("eth0", "lo"):
        _ip("-n", space, "link", "set", link, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
