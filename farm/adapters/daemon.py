"""A server program of somebody else's as a child process: started once per folder, found again, stopped cleanly."""

import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from farm.errors import Conflict, Unavailable

PORTS = range(12_000, 22_000)
"""Where free ports are looked for: below those that Linux gives to outgoing connections (32,768 and up), also after
10,000 is added, so that a server finds its port free again when it is restarted."""

TAIL_BYTES = 2_000
"""Bytes of a log that an error quotes."""

POLL_S = 0.05
"""Seconds between two looks whether a server is there, or gone."""

# Dies with its parent, then becomes the server. A program of its own and not code between fork and exec, which is
# unsafe in a process with threads. 1 is PR_SET_PDEATHSIG; systems that lack it go without.
LEASH = """
import ctypes, os, signal, sys
with __import__("contextlib").suppress(AttributeError, OSError):
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class AlreadyRunning(Conflict):
    """A server of this name runs on this folder."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(
            f"{name} already runs on {folder}. Use that one, stop it first, or choose another FARM_DATA_DIR."
        )


class ServerFailed(Unavailable):
    """A server did not come up."""

    def __init__(self, name: str, what: str, log: str) -> None:
        super().__init__(f"{name} {what}. The end of its log:\n{log}")


class Daemon:
    """One server process on one folder. Its lock file is held by the server itself, so it tells the truth even after
    the parent was killed or the machine restarted; what it needs to be found again is in `state.json`, mode 0600.
    """

    def __init__(self, name: str, data_dir: Path) -> None:
        self.name = name
        self.folder = data_dir.absolute() / name
        self.log = data_dir.absolute() / "logs" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server runs, whoever started it."""
        try:
            lock = self._lock_file()
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    @property
    def pid(self) -> int | None:
        """Of the running server; None if it does not run."""
        pid = self.state().get("pid")
        return int(pid) if pid and self.running else None

    def state(self) -> dict[str, Any]:
        """What `remember` was given last; empty before, or if it cannot be read."""
        with suppress(OSError, ValueError):
            found = json.loads(self._state_file.read_text())
            if isinstance(found, dict):
                return found
        return {}

    def remember(self, **state: object) -> None:
        """Add to what is known of this server. Only the owner may read it: passwords are among it."""
        text = json.dumps(self.state() | state, indent=1)
        part = self._state_file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        part.replace(self._state_file)

    def prepare(self) -> dict[str, Any]:
        """Make the folders, the server's own for the owner only, before it is launched; what is known from last time.

        Raises:
            AlreadyRunning: by this process or another.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.running:
            raise AlreadyRunning(self.name, self.folder)
        return self.state()

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `command` (an absolute path and arguments) in the folder; its output goes to the log.

        The server is told to end when the *thread* that calls this ends: call it from one that stays.

        Raises:
            AlreadyRunning: by this process or another.
        """
        lock = self._lock_file()
        try:
            if not _own(lock):
                raise AlreadyRunning(self.name, self.folder)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *command],
                    cwd=self.folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # A session of its own: Ctrl-C goes to the parent, which stops its servers last.
                    start_new_session=True,
                    pass_fds=(lock,),
                )
        finally:
            os.close(lock)
        self.remember(pid=self._process.pid)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when `ready` says so. Raises `ServerFailed` if the server ends before, or after `timeout_s` seconds;
        the server is stopped then."""
        end = time.monotonic() + timeout_s
        while not ready():
            code = self._process.poll() if self._process else None
            if code is not None:
                raise ServerFailed(self.name, f"ended at once with code {code}", self.log_tail())
            if time.monotonic() > end:
                self.stop(grace_s=0)
                raise ServerFailed(self.name, f"was not ready after {timeout_s:g} s", self.log_tail())
            time.sleep(POLL_S)

    def stop(self, grace_s: float) -> None:
        """Ask the server to end, and end it after `grace_s` seconds; 0: at once. Nothing happens if it does not run."""
        if grace_s > 0 and self._signal(signal.SIGTERM):
            self._wait_gone(grace_s)
        if self._signal(signal.SIGKILL):
            self._wait_gone(10)
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
            self._process = None

    def log_tail(self) -> str:
        """The last lines of the log."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace")
        return "(no log)"

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def _lock_file(self) -> int:
        return os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.pid
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def _wait_gone(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while self.running and time.monotonic() < end:
            time.sleep(POLL_S)


def free_port(taken: Sequence[int] = (), offsets: Sequence[int] = (0,)) -> int:
    """A port on loopback where nobody listens, not in `taken`; each of `offsets` added to it is free as well."""
    while True:
        port = random.choice(PORTS)
        if all(port + offset not in taken and is_free(port + offset) for offset in offsets):
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: connections of a server that ended lately do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own(lock: int) -> bool:
    # More than once: somebody who only looks holds the lock too, for a moment.
    for _ in range(10):
        if _try_lock(lock, fcntl.LOCK_EX):
            return True
        time.sleep(POLL_S)
    return False
