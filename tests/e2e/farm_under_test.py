"""A farm of real parts: Redis, S3, worker processes and the API, on loopback, that a test may hurt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from farm.adapters.connect import Connected, connect
from farm.adapters.daemon import LEASH, free_port
from farm.adapters.media import admit_path, limits_of
from farm.adapters.model_registry import add_model
from farm.adapters.servers import EmbeddedRedis, EmbeddedS3
from farm.client import Farm as Client
from farm.domain.job import JobRequest
from farm.domain.state import JOB_ENDED, JobState, TaskState
from farm.errors import FarmError
from farm.ports import JobStatus, TaskFilter, TaskStatus
from farm.service.farm import UPLOAD
from farm.settings import Settings
from tests.e2e.reference import final_frames

T = TypeVar("T")

PATIENCE_S = 120.0
"""Seconds for which a test waits before it says that a farm stands still. Machines are busy at times."""
POLL_S = 0.03
"""Seconds between two looks."""
REPO = Path(__file__).resolve().parents[2]

QUICK: dict[str, object] = {
    "engine": "fake",
    "device": "cpu",
    "lease_ttl_s": 3,
    "heartbeat_s": 1,
    "sweep_s": 0.3,
    "backoff_s": 0.2,
}
"""Settings under which a lost task is found soon."""


def until(what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
    """What `look` sees, as soon as it sees something (not None, not False)."""
    end = time.monotonic() + timeout_s
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain until {what}"
        time.sleep(POLL_S)


@dataclass
class Process:
    """A process of the farm."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs or is stopped, not ended."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.alive:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word, also while it is stopped."""
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=20)

    def end(self, grace_s: float = 30.0) -> int:
        """Ask it to end; its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=grace_s)


class FarmUnderTest:
    """A whole farm with a Redis and a store of its own; everything it started ends with it."""

    def __init__(self, folder: Path, s3: EmbeddedS3, **settings: object) -> None:
        """
        Args:
            folder: empty; data and logs go there.
            s3: a running server; the farm takes a prefix of its own there. Its keys are in this process's environment.
            settings: of all processes, by field of `Settings`.
        """
        self.folder = folder
        self.redis = EmbeddedRedis(folder / "redis")
        self.s3 = s3
        self._given = settings
        self.processes: list[Process] = []
        self.api_url = ""
        self._open = ExitStack()

    def __enter__(self) -> FarmUnderTest:
        self.redis.start()
        self.values: dict[str, object] = {
            **QUICK,
            "redis_url": self.redis.url,
            "s3_endpoint": self.s3.endpoint,
            "s3_bucket": self.s3.bucket,
            "s3_prefix": self.folder.name,
            "data_dir": self.folder,
            **self._given,
        }
        self.settings = Settings.read(**self.values)
        self.connected: Connected = connect(self.settings, patience_s=60.0)
        self.farm = self.connected.farm
        self.blobs = self.connected.blobs
        self.ledger = self.connected.ledger
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                process.kill()
        self._open.close()
        self.ledger.close()
        self.redis.stop(grace_s=0)
        if error is not None:
            error.add_note(self.logs())

    def logs(self, lines: int = 25) -> str:
        """The end of every process's log."""
        return "\n".join(
            f"--- {process.name} (code {process.process.poll()})\n"
            + "\n".join(process.log.read_text(errors="replace").splitlines()[-lines:])
            for process in self.processes
        )

    def log(self, name: str) -> str:
        """All that a process has said."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    # --- processes ---

    def environment(self, **settings: object) -> dict[str, str]:
        """The variables of a process of this farm; `settings` differ from the others'."""
        ours = {f"FARM_{name.upper()}": str(value) for name, value in {**self.values, **settings}.items()}
        rest = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
        key_id, secret = self.s3.keys
        return {
            **rest,
            **ours,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "OMP_NUM_THREADS": "1",
            "HOME": str(self.folder),
            "PYTHONPATH": os.pathsep.join([str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def start(self, name: str, module: str, *arguments: str, **settings: object) -> Process:
        """Start `python -m module arguments`, which ends when this process does."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", module, *arguments]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()), *command],
                cwd=self.folder,
                env=self.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(Process(name, process, log))
        return self.processes[-1]

    def worker(self, name: str, queues: str = "cpu,gpu", **settings: object) -> Process:
        """Start a worker as a person would."""
        return self.start(name, "farm.cli", "worker", "--queues", queues, "--name", name, **settings)

    def workers(self, count: int, **settings: object) -> list[Process]:
        """Start several workers and wait until all are alive."""
        started = [self.worker(f"w{number}", "cpu,gpu", **settings) for number in range(count)]
        self.await_workers([process.name for process in started])
        return started

    def await_workers(self, names: Sequence[str]) -> None:
        """Return when these workers have told the ledger that they are there."""
        until(f"{', '.join(names)} are alive", lambda: set(names) <= {w.id for w in self.farm.workers()})

    def api(self) -> Client:
        """Start the API; a client of it, closed with the farm."""
        port = free_port()
        self.api_url = f"http://127.0.0.1:{port}"
        process = self.start("api", "farm.cli", "api", api_port=port)
        client = self._open.enter_context(Client(self.api_url, patience_s=60.0))

        def answers() -> bool:
            assert process.alive, self.logs()
            with suppress(FarmError):
                return client.ready()[0]
            return False

        until("the API answers", answers)
        return client

    def command(
        self, *arguments: str, url: str = "", timeout_s: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run the farm's command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "farm.cli", *arguments],
            cwd=self.folder,
            env=self.environment(**({"url": url} if url else {})),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    # --- what is asked of it ---

    def admit(self, path: Path) -> str:
        """Take in a file or folder; its URI."""
        return UPLOAD + admit_path(path, self.blobs, limits_of(self.settings)).id

    def add_model(self, name: str, folder: Path) -> None:
        """Take in a model's folder under a name."""
        add_model(name, folder, self.blobs)

    def submit(self, request: JobRequest) -> str:
        """Submit a job; its id."""
        return self.farm.submit(request).facts.id

    def wait(self, job: str, state: JobState | None = JobState.COMPLETED, timeout_s: float = PATIENCE_S) -> JobStatus:
        """Wait until a job has ended; it must have ended in `state`."""

        def ended() -> JobStatus | None:
            status = self.farm.status(job)
            return status if status.state in JOB_ENDED else None

        status = until(f"job {job} has ended", ended, timeout_s)
        assert state is None or status.state is state, (status, self.faults(job))
        return status

    def active(self, job: str, kind: str = "detail", worker: str = "") -> TaskStatus:
        """A task of this kind that a worker has begun: for `detail`, after its first sampler step."""

        def begun() -> TaskStatus | None:
            found = self.rows(job, TaskState.ACTIVE)
            fits = (t for t in found if t.kind == kind and worker in ("", t.worker) and (t.step or kind != "detail"))
            return next(fits, None)

        return until(f"a {kind} task runs", begun)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What a process has logged."""
        return [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]

    def finished(self, name: str) -> list[str]:
        """Tasks that a worker has finished, in order."""
        return [e["task"] for e in self.events(name) if e["event"] == "finished" and e["accepted"]]

    def rows(self, job: str, *states: TaskState) -> tuple[TaskStatus, ...]:
        """Tasks that the ledger still holds, in these states."""
        return self.farm.tasks(job, TaskFilter(states=states), limit=10_000)

    def faults(self, job: str) -> list[tuple[str, str]]:
        """Failed tasks and why."""
        return [(task.id, task.error) for task in self.rows(job, TaskState.FAILED)]

    def frames(self, job: str, folder: str = "frames") -> dict[str, bytes]:
        """A job's final pictures by file name."""
        return final_frames(self.blobs, job, folder)

    def names(self, prefix: str) -> set[str]:
        """Objects of the store below a prefix."""
        return set(self.blobs.list(prefix))
