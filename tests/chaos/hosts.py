"""Hosts of a farm on one machine: each with wires of its own to Redis and the store, a network that can be cut off
where the machine allows network namespaces, and a clock that can be wrong where it has a C compiler."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.wire import FAIR, Weather, Wire, Wires
from tests.e2e.farm_under_test import FarmUnderTest, Process

NET = "10.231"
"""Where the hosts' own networks lie: reached by nobody but this machine and the host."""
LOOPBACK = "127.0.0.1"
_SPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Network:
    """A network namespace and a cable to it."""

    name: str
    cable: str
    """This machine's end."""
    address: str
    """Of this machine, as the host sees it."""

    @staticmethod
    def lay(number: int) -> Network:
        """Make one. Raises OSError or CalledProcessError where that is not permitted."""
        own = os.getpid() % 16_384
        net = Network(f"chaos-{os.getpid()}-{number}", f"cha{own}x{number}", "")
        # Two addresses of a block of four: pid and number choose it.
        at = (own * 4 + number % 4) * 4
        block = f"{NET}.{at // 256 % 256}"
        here, there = f"{block}.{at % 256 + 1}", f"{block}.{at % 256 + 2}"
        _ip("netns", "add", net.name)
        try:
            _ip("link", "add", net.cable, "type", "veth", "peer", "name", "eth0", "netns", net.name)
            _ip("addr", "add", f"{here}/30", "dev", net.cable)
            _ip("link", "set", net.cable, "up")
            for words in (f"addr add {there}/30 dev eth0", "link set eth0 up", "link set lo up"):
                _ip("-n", net.name, *words.split())
        except subprocess.CalledProcessError:
            net.remove()
            raise
        return Network(net.name, net.cable, here)

    def plug(self, plugged: bool) -> None:
        """Pull this machine's end of the cable, or put it back: packets are lost without a word."""
        _ip("link", "set", self.cable, "up" if plugged else "down")

    def remove(self) -> None:
        """Take it away; the cable goes with it."""
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)


def enter(name: str) -> None:
    """Move this process, which must have one thread only, into a network namespace. Raises OSError."""
    with (_SPACES / name).open() as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")


class Clock:
    """A host's clock, wrong by as much as one likes, at any time."""

    def __init__(self, path: Path, shim: Path) -> None:
        path.write_bytes(struct.pack("q", 0))
        self._path, self._shim = path, shim
        self.shift_s = 0.0

    def turn(self, shift_s: float) -> None:
        """From now on wrong by this many seconds."""
        self.shift_s = shift_s
        with self._path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:8] = struct.pack("q", round(shift_s * 1e9))

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the processes that live by this clock."""
        return {"LD_PRELOAD": str(self._shim), "CHAOS_CLOCK": str(self._path)}


def clock_shim(folder: Path) -> Path | None:
    """The library that makes clocks wrong, compiled; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    shim = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source)], check=True)
    return shim


class Host:
    """Where workers run."""

    def __init__(self, name: str, farm: FarmUnderTest, wires: Wires, network: Network | None, clock: Clock | None):
        self.name = name
        self.network = network
        self.clock = clock
        self.is_cut_off = False
        self._farm = farm
        self._wires = wires
        address = network.address if network else LOOPBACK
        redis_url, store = urlsplit(farm.redis.url), urlsplit(farm.s3.endpoint)
        assert redis_url.port
        assert store.port
        self.redis: Wire = wires.lay(address, redis_url.port)
        self.store: Wire = wires.lay(address, store.port)
        at = f":{redis_url.password}@{address}:{self.redis.port}"
        self.settings: dict[str, object] = {
            "redis_url": redis_url._replace(netloc=at).geturl(),
            "s3_endpoint": f"http://{address}:{self.store.port}",
        }

    @property
    def kind(self) -> str:
        """What is cut when it is cut off."""
        return "network namespace" if self.network else "proxies"

    def worker(self, name: str, **settings: object) -> Process:
        """Start a worker here."""
        clock = [f"{key}={value}" for key, value in self.clock.environment.items()] if self.clock else []
        arguments = [name, self.network.name if self.network else "-", *clock]
        return self._farm.start(name, "tests.chaos.worker", *arguments, **{**self.settings, **settings})

    def cut_off(self) -> None:
        """From now on nothing leaves it and nothing comes in; nobody is told."""
        self.is_cut_off = True
        if self.network:
            self.network.plug(False)
        else:
            self._hold(True)

    def come_back(self) -> None:
        """End of `cut_off`."""
        self.is_cut_off = False
        if self.network:
            self.network.plug(True)
        else:
            self._hold(False)

    def storm(self, weather: Weather) -> None:
        """How its way to the store is from now on."""
        self.store.weather = weather

    def reset(self, wire: Wire) -> None:
        """Reset all its connections to one of its servers."""
        self._wires.do(wire.cut())

    def calm(self) -> None:
        """Everything as it should be."""
        self.come_back()
        self.storm(FAIR)

    def _hold(self, held: bool) -> None:
        for wire in (self.redis, self.store):
            self._wires.do(wire.hold(held))


def networks(count: int) -> list[Network]:
    """As many as could be made; fewer, or none, where that is not permitted."""
    _sweep()
    made: list[Network] = []
    with suppress(OSError, subprocess.CalledProcessError):
        for number in range(count):
            made.append(Network.lay(number))
    return made


def _sweep() -> None:
    """Take away what a run left that was killed."""
    for path in _SPACES.glob("chaos-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _ip("netns", "del", path.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
