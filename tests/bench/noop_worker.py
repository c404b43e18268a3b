"""`python -m tests.bench.noop_worker NAME`: a worker of the farm whose tasks do nothing. All around them is real:
Celery carries the offers, Redis gives leases, plans add tasks, chunks enter the window as others end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from farm.cli import logs
from farm.ports import Lease, NewTask
from farm.service.farm import Farm
from farm.settings import Settings
from tests.bench.loads import DISKS
from workers.context import StepResult, Tools
from workers.heartbeat import Pace
from workers.pipeline import GpuPipeline
from workers.process import WorkerProcess
from workers.runner import Runner


class _NoPipeline(GpuPipeline):
    def run(self, first: Lease, until: float) -> int:
        """A detail task is ended as any other."""
        del until
        return self._runner.run(first)


class NoWork(Runner):
    """Ends every task as soon as it has it."""

    def __init__(self, worker: str, farm: Farm, tools: Tools, queues: Sequence[str], pace: Pace) -> None:
        super().__init__(worker, farm, tools, queues, pace)
        self._pipeline = _NoPipeline(self)

    def run(self, lease: Lease) -> int:
        """End a task well."""
        result = StepResult(f"nothing/{lease.task}", details(lease), frames=int(lease.kind == "paste"))
        self.attempt(lease, lambda: self.finished(lease, result, 0.0))
        return 1


def details(lease: Lease) -> tuple[NewTask, ...]:
    """What a plan adds: a task for each segment, the second of which waits for the first."""
    if lease.kind != "plan":
        return ()
    return tuple(
        NewTask(
            f"detail.{lease.chunk}.{number}",
            "detail",
            "gpu.0",
            lease.chunk,
            f"detail:{name}",
            key=f"{lease.chunk:032d}{number:032d}",
            waits=(f"detail.{lease.chunk}.0",) if number == 1 else (),
            feeds=(f"patched.{lease.chunk}",),
        )
        for number, name in enumerate(DISKS)
    )


def main(name: str) -> None:
    """Serve until told to end; as quiet as the plain Celery workers beside it."""
    logs.configure()
    process = WorkerProcess(Settings.read(), ("cpu", "gpu"), name)
    process.runner.heartbeat.stop()
    process.runner = NoWork(name, process.runner.farm, process.tools, process.queues, process.pace)
    process.run()


if __name__ == "__main__":
    main(sys.argv[1])
