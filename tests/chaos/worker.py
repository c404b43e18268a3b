"""`python -m tests.chaos.worker NAME NETWORK [VARIABLE=VALUE ...]`: a worker of a host in a chaos run.

It is the farm's own worker with one weakness: where a file `freeze-NAME` lies in its data folder, it takes the file
away and stops itself (SIGSTOP) right before it commits its next task, the moment at which that matters most.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import structlog

from farm.cli import logs
from farm.ports import Ended, Lease, Ledger
from farm.settings import Settings
from tests.chaos.hosts import enter
from workers.process import WorkerProcess

log = structlog.get_logger()
NO_NETWORK = "-"


def freeze_file(folder: Path, worker: str) -> Path:
    """What makes a worker stop itself before its next commit."""
    return folder / f"freeze-{worker}"


class SleepyLedger:
    """The ledger of a process that may fall asleep before a commit."""

    def __init__(self, ledger: Ledger, flag: Path) -> None:
        self._ledger = ledger
        self._flag = flag

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - every other verb is the ledger's own
        return getattr(self._ledger, name)

    def finish(self, lease: Lease, *result: Any) -> Ended:  # noqa: ANN401 - passed on as it is
        """Finish, maybe much later."""
        slept = self._sleep()
        ended = self._ledger.finish(lease, *result)
        if slept:
            log.info("late_commit", job=lease.job, task=lease.task, fence=lease.fence, accepted=ended.accepted)
        return ended

    def _sleep(self) -> bool:
        try:
            self._flag.unlink()
        except FileNotFoundError:
            return False
        log.info("fell_asleep")
        os.kill(os.getpid(), signal.SIGSTOP)
        return True


def serve(name: str) -> None:
    """Serve all queues until told to end."""
    logs.configure(logging.INFO)
    settings = Settings.read()
    process = WorkerProcess(settings, ["cpu", "gpu"], name)
    farm = process.runner.farm
    farm.ledger = cast(Ledger, SleepyLedger(farm.ledger, freeze_file(settings.data_dir, name)))
    process.run()


def main(name: str, network: str, *variables: str) -> None:
    """Enter the host, then serve."""
    if network != NO_NETWORK:
        enter(network)
    if variables:
        # The clock is laid before libc when a program is loaded: so it is loaded again.
        os.environ.update(dict(variable.split("=", 1) for variable in variables))
        os.execv(sys.executable, [sys.executable, "-m", "tests.chaos.worker", name, NO_NETWORK])
    serve(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
