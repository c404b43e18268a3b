"""Child processes that are kept alive, and that are gone when their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from farm.adapters.daemon import LEASH

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 0.5
"""Seconds before a child that died is started again; doubled each time."""
MOST_BACKOFF_S = 30.0
HEALTHY_S = 60.0
"""Seconds of life after which a child's earlier deaths are forgotten."""
KILL_AFTER_S = 5.0
"""Seconds that a killed child may take to vanish."""


@dataclass(frozen=True)
class Spec:
    """How a child is started and stopped."""

    name: str
    command: Sequence[str]
    """Absolute path of a program, and its arguments."""
    environment: Mapping[str, str]
    log: Path
    grace_s: float = 20.0
    """Seconds between SIGTERM and SIGKILL."""
    last_codes: tuple[int, ...] = ()
    """Exit codes with which it is not to be started again: somebody wanted it to end."""


@dataclass
class _Child:
    spec: Spec
    process: subprocess.Popen[bytes] | None = None
    born: float = 0.0
    deaths: int = 0
    due: float = 0.0
    """When it is to be started (again), by the supervisor's clock."""


@dataclass
class Supervisor:
    """Starts children, starts them again when they die, stops them in groups.

    Children are told to end when the thread that started them ends, however it ends: so no kill leaves orphans. Use it
    from one thread that stays.
    """

    clock: Callable[[], float] = time.monotonic
    _children: dict[str, _Child] = field(default_factory=dict)

    def start(self, spec: Spec) -> int:
        """Start a child now; its process id."""
        child = self._children[spec.name] = _Child(spec)
        return self._spawn(child)

    def pids(self) -> dict[str, int]:
        """Process ids of the children that live."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process is not None and child.process.poll() is None
        }

    def tend(self) -> None:
        """Look at every child once: note deaths, start again what is due."""
        for child in list(self._children.values()):
            if child.process is not None and child.process.poll() is not None:
                if child.process.returncode in child.spec.last_codes:
                    log.info("child_ended", child=child.spec.name, code=child.process.returncode)
                    del self._children[child.spec.name]
                    continue
                self._note_death(child, child.process)
            if child.process is None and self.clock() >= child.due:
                self._spawn(child)

    def stop(self, *names: str) -> None:
        """SIGTERM to these children at once (all if none is named), a wait, SIGKILL to those that still live."""
        chosen = [self._children.pop(name) for name in (names or tuple(self._children)) if name in self._children]
        running = [child for child in chosen if child.process is not None and child.process.poll() is None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = {id(child): self.clock() + child.spec.grace_s for child in running}
        for child in running:
            _wait(child, deadline[id(child)] - self.clock())

    def _spawn(self, child: _Child) -> int:
        spec = child.spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as output:
            # A group of its own: Ctrl-C at the terminal must reach the parent alone, which stops things in order.
            child.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *spec.command],
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.born = self.clock()
        log.info("child_started", child=spec.name, pid=child.process.pid)
        return child.process.pid

    def _note_death(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        if self.clock() - child.born > HEALTHY_S:
            child.deaths = 0
        wait = min(FIRST_BACKOFF_S * 2**child.deaths, MOST_BACKOFF_S)
        child.deaths += 1
        child.process = None
        child.due = self.clock() + wait
        log.warning(
            "child_died", child=child.spec.name, code=process.returncode, again_in_s=wait, log=str(child.spec.log)
        )


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)


def _wait(child: _Child, seconds: float) -> None:
    assert child.process is not None
    try:
        child.process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        log.warning("child_killed", child=child.spec.name, pid=child.process.pid)
        child.process.kill()
        child.process.wait(KILL_AFTER_S)
