"""A farm in this process that runs ready tasks in an order drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from farm.adapters.clock import system_clock
from farm.adapters.media import admit_path, limits_of
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.model_registry import add_model
from farm.adapters.plugins import installed
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.job import JobRequest
from farm.domain.state import JOB_ENDED, TaskState
from farm.ports import JobStatus, Lease, Offer, TaskFilter
from farm.service.farm import UPLOAD, Farm, Outside
from farm.settings import Settings
from workers.context import Tools
from workers.gpu.engine import Engine
from workers.gpu.fake import FakeEngine
from workers.heartbeat import Pace
from workers.runner import Runner


class _NoQueue:
    def send(self, offers: Sequence[Offer]) -> None:
        """Tasks are found by claiming."""


class AnyOrderFarm:
    """Claims all that is ready and runs one of it, whichever the seed says: every order that the waits allow."""

    def __init__(self, folder: Path, seed: int = 0, engine: Callable[[], Engine] = FakeEngine) -> None:
        self._settings = Settings.read(engine="fake", device="cpu")
        self._random = random.Random(seed)
        self.blobs = MemoryBlobs()
        self.farm = Farm(
            self.blobs,
            MemoryLedger(),
            _NoQueue(),
            system_clock(),
            engine=ENGINE_VERSIONS["fake"],
            outside=Outside(packages=installed()),
        )
        self.tools = Tools(self.blobs, folder, engine, self._settings.max_pixels)
        self._runner = Runner(
            "any", self.farm, self.tools, ("cpu", "gpu.0"), Pace(lease_ttl=600, heartbeat=60, backoff=0)
        )
        self.ran: list[str] = []
        """Tasks in the order in which they were run."""

    def use(self, tools: Tools) -> None:
        """Work with other tools from now on."""
        self.tools = self._runner.tools = tools

    @staticmethod
    def failed() -> TaskFilter:
        """Tasks that have failed."""
        return TaskFilter(states=(TaskState.FAILED,))

    def admit(self, path: Path) -> str:
        """Take in a file or folder; its URI."""
        return UPLOAD + admit_path(path, self.blobs, limits_of(self._settings)).id

    def add_model(self, name: str, folder: Path) -> None:
        """Take in a model's folder under a name."""
        add_model(name, folder, self.blobs)

    def run(self, request: JobRequest) -> JobStatus:
        """Run a new job to its end."""
        return self.finish(self.farm.submit(request).facts.id)

    def finish(self, job: str) -> JobStatus:
        """Run a job to its end."""
        held: list[Lease] = []
        while self.farm.status(job).state not in JOB_ENDED:
            while (lease := self._runner.claim()) is not None:
                held.append(lease)
            if not held:
                self.farm.ledger.sweep(offer_after_s=3600.0)
                self.farm.advance(job)
                continue
            lease = held.pop(self._random.randrange(len(held)))
            self.ran.append(lease.task)
            self._runner.run(lease)
        # A job fails with its chunks, while others of their tasks may run.
        for lease in held:
            self._runner.run(lease)
        return self.farm.status(job)

    def run_ready(self) -> None:
        """Run what this worker can, until nothing is ready for it."""
        while (lease := self._runner.claim()) is not None:
            self._runner.run(lease)

    def __enter__(self) -> AnyOrderFarm:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._runner.heartbeat.stop()
