"""The processes of a farm that is hurt: workers on hosts, the API, and what is still to be made good."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from farm.adapters.daemon import free_port
from tests.chaos.hosts import Host
from tests.chaos.worker import freeze_file
from tests.e2e.farm_under_test import FarmUnderTest, Process


@dataclass
class Man:
    """A worker and where it runs."""

    process: Process
    host: Host
    began: bool = False
    """Whether it was seen to serve: on a busy machine a worker takes many seconds to come up."""
    told: bool = False
    """To end, or to stop before its next commit: it is not struck in another way meanwhile."""

    @property
    def name(self) -> str:
        """Of the worker."""
        return self.process.name

    @property
    def stopped(self) -> bool:
        """Whether a SIGSTOP holds it now."""
        return _state(self.process.pid) == "T"

    @property
    def serves(self) -> bool:
        """Whether it has come up, and nothing is done to it or its host."""
        self.began = self.began or "worker_started" in self.process.log.read_text(errors="replace")
        return self.began and not (self.told or self.stopped or self.host.is_cut_off)


class Spared(Exception):
    """A blow is left out: it would hit the last worker that serves."""


@dataclass
class Crew:
    """Workers that are counted on, one per host at least, and the API."""

    farm: FarmUnderTest
    hosts: Sequence[Host]
    settings: Mapping[str, object]
    men: list[Man] = field(default_factory=list)
    api_port: int = field(default_factory=free_port)
    _numbers: count[int] = field(default_factory=count)
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    """Processes that were ended on purpose."""

    def __post_init__(self) -> None:
        for host in self.hosts:
            self.men.append(self._new(host))
        self.api = self._new_api()

    def one(self, lot: random.Random) -> Man:
        """Any worker that serves, if there is another one. Raises Spared."""
        able = [man for man in self.men if man.serves]
        if len(able) < 2:
            raise Spared
        return lot.choice(able)

    def named(self, name: str) -> Man | None:
        """The worker of this name, if it is counted on."""
        return next((man for man in self.men if man.name == name), None)

    def kill(self, man: Man) -> None:
        """End a worker without a word; another begins on its host."""
        self.killed.add(man.process.pid)
        man.process.kill()
        self.men[self.men.index(man)] = self._new(man.host)

    def end(self, man: Man) -> None:
        """Tell a worker to end; another begins on its host."""
        self.killed.add(man.process.pid)
        man.process.signal(signal.SIGCONT)
        man.process.signal(signal.SIGTERM)
        self.men[self.men.index(man)] = self._new(man.host)

    def freeze(self, man: Man, seconds: float) -> None:
        """Stop a worker for so long."""
        man.process.signal(signal.SIGSTOP)
        self.later(seconds, lambda: man.process.signal(signal.SIGCONT))

    def before_commit(self, man: Man) -> None:
        """Have a worker stop itself before its next commit."""
        man.told = True
        self.flag(man).touch()

    def flag(self, man: Man) -> Path:
        """The file that makes a worker stop itself."""
        return freeze_file(self.farm.folder, man.name)

    def restart_api(self) -> None:
        """Kill the API and start it again at the same address."""
        self.killed.add(self.api.pid)
        self.api.kill()
        self.api = self._new_api()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something in so many seconds, or at the end."""
        self._due.append((time.monotonic() + seconds, what))

    def tend(self, *, everything: bool = False) -> None:
        """Do what is due."""
        now = time.monotonic()
        for entry in [entry for entry in self._due if everything or entry[0] <= now]:
            self._due.remove(entry)
            entry[1]()

    @property
    def busy(self) -> bool:
        """Whether something is still to be done."""
        return bool(self._due)

    def died(self) -> list[str]:
        """Processes that ended though nobody ended them."""
        mine = [process for process in self.farm.processes if process.pid not in self.killed]
        return [f"{process.name} ended with code {process.process.poll()}" for process in mine if not process.alive]

    def alone(self, man: Man) -> None:
        """Stop all others."""
        for other in self.men:
            other.process.signal(signal.SIGCONT if other is man else signal.SIGSTOP)

    def all_go_on(self) -> None:
        """End of every stop."""
        for man in self.men:
            self.flag(man).unlink(missing_ok=True)
            man.process.signal(signal.SIGCONT)
            man.told = False
        self.api.signal(signal.SIGCONT)

    def _new(self, host: Host) -> Man:
        name = f"w{next(self._numbers)}-{host.name}"
        return Man(host.worker(name, **self.settings), host)

    def _new_api(self) -> Process:
        return self.farm.start("api", "farm.cli", "api", api_port=self.api_port)


def _state(pid: int) -> str:
    """`R`, `S`, `T` ... of a process; "" if it is gone."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""
