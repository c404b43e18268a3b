import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.adapters.daemon import AlreadyRunning, Daemon, ServerFailed, free_port, is_free

SLEEP = shutil.which("sleep") or "/bin/sleep"


def soon(happens: Callable[[], bool]) -> bool:
    """Whether it happens within 20 s: a bound for broken code, not a measurement."""
    for _ in range(400):
        if happens():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon("sleeper", tmp_path)
    daemon.prepare()
    yield daemon
    daemon.stop(grace_s=0)


def test_a_server_is_seen_and_stopped_by_others_that_know_the_folder(daemon: Daemon, tmp_path: Path) -> None:
    daemon.launch([SLEEP, "100"], {})
    other = Daemon("sleeper", tmp_path)
    assert other.running
    assert other.pid == daemon.pid
    other.stop(grace_s=5)
    assert not daemon.running
    assert daemon.pid is None


def test_a_folder_has_one_server(daemon: Daemon, tmp_path: Path) -> None:
    daemon.launch([SLEEP, "100"], {})
    for action in (daemon.prepare, lambda: Daemon("sleeper", tmp_path).launch([SLEEP, "100"], {})):
        with pytest.raises(AlreadyRunning, match=r"sleeper already runs on .* FARM_DATA_DIR"):
            action()


def test_a_stale_process_id_is_not_believed(daemon: Daemon) -> None:
    daemon.remember(pid=os.getpid())
    assert not daemon.running
    assert daemon.pid is None
    daemon.stop(grace_s=1)  # or this test would not end well


def test_what_is_remembered_is_for_the_owner_only_and_outlives_the_server(daemon: Daemon, tmp_path: Path) -> None:
    daemon.remember(port=12345, password="hush")
    daemon.launch([SLEEP, "100"], {})
    daemon.stop(grace_s=0)
    assert (tmp_path / "sleeper" / "state.json").stat().st_mode & 0o777 == 0o600
    assert Daemon("sleeper", tmp_path).state()["password"] == "hush"


def test_a_broken_state_file_counts_as_none(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "sleeper" / "state.json").write_text("{")
    assert daemon.state() == {}


def test_a_server_that_ends_at_once_is_reported_with_its_log(daemon: Daemon) -> None:
    daemon.launch([sys.executable, "-c", "raise SystemExit('no such option')"], {})
    with pytest.raises(ServerFailed, match=r"ended at once with code 1(.|\n)*no such option"):
        daemon.wait_until(lambda: False, timeout_s=20)


def test_a_server_that_never_gets_ready_is_stopped(daemon: Daemon) -> None:
    daemon.launch([SLEEP, "100"], {})
    with pytest.raises(ServerFailed, match="not ready"):
        daemon.wait_until(lambda: False, timeout_s=0)
    assert not daemon.running


def test_a_server_that_ignores_the_request_is_ended_by_force(daemon: Daemon, tmp_path: Path) -> None:
    deaf = "import signal,time,pathlib; signal.signal(15, signal.SIG_IGN); pathlib.Path('up').touch(); time.sleep(100)"
    daemon.launch([sys.executable, "-c", deaf], {})
    assert soon((tmp_path / "sleeper" / "up").exists)
    daemon.stop(grace_s=0.2)
    assert not daemon.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_a_server_ends_when_its_parent_is_killed(daemon: Daemon, tmp_path: Path) -> None:
    parent = (
        "import sys,time,pathlib; from farm.adapters.daemon import Daemon\n"
        "Daemon('sleeper', pathlib.Path(sys.argv[1])).launch([sys.argv[2], '100'], {}); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(tmp_path), SLEEP]) as process:
        assert soon(lambda: daemon.running and daemon.pid is not None)
        process.send_signal(signal.SIGKILL)
    assert soon(lambda: not daemon.running)


def test_a_free_port_has_free_neighbors_and_is_nobodys_choice_twice() -> None:
    port = free_port(offsets=(0, 10_000))
    assert is_free(port)
    assert is_free(port + 10_000)
    assert free_port(taken=(port,)) != port
