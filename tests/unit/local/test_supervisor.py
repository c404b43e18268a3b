"""Children that are kept alive, stopped, and never orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farm.local.supervisor import Spec, Supervisor

WAIT_S = 30.0


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    found = Supervisor()
    yield found
    found.stop()


def spec(tmp_path: Path, code: str, name: str = "child", grace_s: float = 10.0) -> Spec:
    return Spec(name, [sys.executable, "-c", code], dict(os.environ), tmp_path / f"{name}.log", grace_s)


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.02)


def test_a_child_that_dies_is_started_again_after_a_pause_that_grows(tmp_path: Path) -> None:
    now = [100.0]
    supervisor = Supervisor(clock=lambda: now[0])
    supervisor.start(spec(tmp_path, "raise SystemExit(3)"))
    for pause in (0.5, 1.0, 2.0):
        eventually(lambda: not supervisor.pids())
        supervisor.tend()
        now[0] += pause - 0.1
        supervisor.tend()
        assert not supervisor.pids()
        now[0] += 0.2
        supervisor.tend()
    supervisor.stop()


def test_a_child_that_somebody_wanted_to_end_is_left_so(tmp_path: Path) -> None:
    now = [100.0]
    supervisor = Supervisor(clock=lambda: now[0])
    supervisor.start(replace(spec(tmp_path, "raise SystemExit(80)"), last_codes=(80,)))
    eventually(lambda: not supervisor.pids())
    for _ in range(2):
        supervisor.tend()
        now[0] += 60
    assert not supervisor.pids()
    supervisor.stop()


def test_a_child_that_ends_at_once_when_asked_is_not_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    code = "import signal as s; s.signal(15, lambda *_: exit(print('bye'))); print('on', flush=True); s.pause()"
    child = spec(tmp_path, code)
    supervisor.start(child)
    eventually(lambda: child.log.exists() and "on" in child.log.read_text())
    supervisor.stop()
    assert "bye" in child.log.read_text()
    assert not supervisor.pids()


def test_a_child_that_does_not_end_is_killed_after_its_grace(tmp_path: Path, supervisor: Supervisor) -> None:
    code = "import signal,time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    child = spec(tmp_path, code, grace_s=0.2)
    pid = supervisor.start(child)
    eventually(lambda: child.log.exists() and "on" in child.log.read_text())
    supervisor.stop()
    assert not alive(pid)


def test_only_the_children_that_are_named_are_stopped(tmp_path: Path, supervisor: Supervisor) -> None:
    for name in ("a", "b"):
        supervisor.start(spec(tmp_path, "import time; time.sleep(600)", name))
    supervisor.stop("a")
    assert list(supervisor.pids()) == ["b"]


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from farm.local.supervisor import Spec, Supervisor\n"
        "child = Spec('x', [sys.executable, '-c', 'import time; time.sleep(600)'], {}, pathlib.Path(sys.argv[1]))\n"
        "print(Supervisor().start(child), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.log")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        child = int(next(line for line in parent.stdout if line.strip().isdigit()))
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    eventually(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
