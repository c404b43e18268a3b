"""`farm render`: the same plan, the same batches, in order, in this process. No Redis, no S3: the farm's reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from farm.adapters.clock import system_clock
from farm.adapters.file_blobs import FileBlobs
from farm.adapters.media import admit_path, limits_of
from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.model_registry import add_model
from farm.adapters.plugins import installed
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest
from farm.domain.queues import QUEUES
from farm.domain.state import JOB_ENDED
from farm.ports import JobStatus, Offer
from farm.service.farm import UPLOAD, Bounds, Farm, Outside
from farm.settings import Settings
from workers.attempt_log import AttemptLogs
from workers.context import Tools
from workers.gpu.engine import engine_of
from workers.heartbeat import Pace
from workers.runner import Runner

IDLE_S = 0.05
"""Seconds between two looks while a failed task waits for its next attempt."""


class _NoQueue:
    """Nobody else is there to be told."""

    def send(self, offers: Sequence[Offer]) -> None:
        """Offers are found by claiming."""


class LocalFarm:
    """A farm of one process, for one or more jobs one after the other."""

    def __init__(self, store: Path, settings: Settings) -> None:
        """
        Args:
            store: folder that takes the place of S3. Kept between runs, it spares what was rendered before.
        """
        self.blobs = FileBlobs(store)
        self._settings = settings
        self._ledger = MemoryLedger()
        self.farm = Farm(
            self.blobs,
            self._ledger,
            _NoQueue(),
            system_clock(),
            engine=ENGINE_VERSIONS[settings.engine],
            bounds=Bounds(settings.window_chunks, settings.whole_clip_frames),
            outside=Outside(packages=installed()),
        )
        tools = Tools(
            self.blobs,
            store / "cache",
            lambda: engine_of(settings),
            settings.max_pixels,
            settings.cache_bytes(),
        )
        pace = Pace(settings.lease_ttl_s, settings.heartbeat_s, claim_slice=0.0, backoff=settings.backoff_s)
        self._runner = Runner("local", self.farm, tools, QUEUES, pace)
        # What it logs is before the person who waits.
        self._runner.logs = AttemptLogs(self.blobs, "none")

    def admit(self, path: Path) -> str:
        """Take in a clip, a mask or a SEGS document; its URI for a job. Raises Rejected."""
        return UPLOAD + admit_path(path, self.blobs, limits_of(self._settings)).id

    def add_model(self, name: str, path: Path) -> None:
        """Take in a model's folder or file under a name. Raises Rejected."""
        add_model(name, path, self.blobs)

    def run(self, request: JobRequest | LikeRequest, on_status: Callable[[JobStatus], None] | None = None) -> JobStatus:
        """Run a job to its end; `on_status` hears of it after every task. Raises Rejected at once if it cannot run."""
        status = self.farm.submit(request)
        if status.trial:
            status = self.farm.act(status.facts.id, "approve")  # nobody else is here to look
        while status.state not in JOB_ENDED:
            if not self._runner.serve(None):
                self._ledger.sweep(offer_after_s=3600.0)
                self.farm.advance(status.facts.id)
                time.sleep(IDLE_S)
            status = self.farm.status(status.facts.id)
            if on_status is not None:
                on_status(status)
        return status

    def close(self) -> None:
        """End the threads."""
        self._runner.heartbeat.stop()
