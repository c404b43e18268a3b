"""A worker process: Celery carries offers to it, the runner claims, a thread tells the ledger that it is alive."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata

import structlog
from celery.signals import worker_shutting_down

from farm.adapters.connect import connect
from farm.domain.chunk_length import SPEED
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.queues import CPU, GPU_CLASSES
from farm.domain.records import DRAINED_CODE
from farm.errors import Unavailable
from farm.ports import WorkerStatus
from farm.service.waiting import ENGINE
from farm.settings import Settings
from workers import told
from workers.app import make_worker_app, worker_arguments
from workers.attempt_log import AttemptLogs, install
from workers.context import Tools
from workers.gpu.engine import engine_of
from workers.heartbeat import Pace
from workers.leaving import Leaving
from workers.loops import Loop
from workers.notifier import Notifier
from workers.runner import Runner
from workers.sweeper import Sweeper
from workers.tasks import register
from workers.watch import Limits

log = structlog.get_logger()
FARM_VERSION = metadata.version("detail-farm")
PATIENCE_S = 300.0
"""Seconds for which a worker rides out an outage of Redis before it gives a task up."""
LAST_PATIENCE_S = 5.0
"""The same for a worker that was told to end: its machine, or the whole farm, may be going down."""
LAST_BEAT_S = 2.0
"""Seconds that a sign of life which is under way may take at the end, so that none follows the farewell."""
HOPELESS_CODE = 75
"""Exit code of a worker that ended itself, since a task hung: start it anew."""
ALIVE_BEATS = 3
"""Heartbeats after which a silent worker is gone from the list."""


class WorkerProcess:
    """One process: one GPU, or CPU tasks, or both."""

    def __init__(self, settings: Settings, queues: Sequence[str], name: str = "") -> None:
        """
        Args:
            queues: `cpu`, `gpu` (every class up to this device's), or single ones such as `gpu.24`.
            name: unique among the workers that are alive; made of host, pid and a random part if left out.
        """
        self.settings = settings
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        connected = connect(settings, PATIENCE_S, "worker")
        self._ledger = connected.ledger
        self.queues = expand(queues, settings)
        self.tools = Tools(
            connected.blobs,
            settings.cache_folder(),
            lambda: engine_of(settings),
            settings.max_pixels,
            settings.cache_bytes(),
            connected.farm.documents,
            connected.tally,
        )
        on_gpu = any(queue.startswith("gpu") for queue in self.queues) and not _on_cpu(settings)
        self.pace = Pace(
            settings.lease_ttl_s,
            settings.heartbeat_s,
            settings.claim_slice_s,
            settings.backoff_s,
            claim_ahead=(2 if on_gpu else 0) if settings.claim_ahead is None else settings.claim_ahead,
            limits=Limits(settings.stuck_s, settings.timeouts),
        )
        self.runner = Runner(self.name, connected.farm, self.tools, self.queues, self.pace)
        self.runner.logs = AttemptLogs(connected.blobs, settings.task_logs)
        self._device = ""
        self._leaving = Leaving(self.runner, settings.grace_s, lambda: self._end_now("told_to_end"))
        self._alive = Loop("alive", self._beat, settings.heartbeat_s, at_once=True)
        self._notifier = Notifier(self.name, connected.farm, settings, max(0.2, settings.sweep_s))
        self._sweeper = Sweeper(self.name, connected.farm, settings.sweep_s, 10 * settings.sweep_s, connected.tally)

    def run(self) -> None:
        """Serve until told to end: SIGTERM lets the running task finish and claims no more.

        Raises:
            SystemExit: with `DRAINED_CODE`, if a person asked it to end.
        """
        install()
        app = make_worker_app(self.settings.require_redis_url())
        register(app, self.runner)

        def drain(**_: object) -> None:
            self._ledger.hurry(LAST_PATIENCE_S)
            self._leaving.told()

        worker_shutting_down.connect(drain, weak=False)
        if any(queue.startswith("gpu") for queue in self.queues):
            self._device = self.tools.engine.device
        self._alive.start()
        if CPU in self.queues:
            self._sweeper.start()
            self._notifier.start()
        log.info("worker_started", worker=self.name, queues=self.queues, device=self._device or CPU)
        self.runner.look()
        try:
            app.worker_main(worker_arguments(self.name, self.queues))
        finally:
            self._leaving.over()
            self._alive.stop()
            self._sweeper.stop()
            self._notifier.stop()
            self.runner.heartbeat.stop()
            told.tell(self.tools.tally, self._ledger)
        if self._leaving.drained:
            self._leave()
            raise SystemExit(DRAINED_CODE)

    def _leave(self) -> None:
        """Be off the list at once, and with it the wish: who takes this name anew was not asked to end."""
        self._alive.stop(wait_s=LAST_BEAT_S)
        with suppress(Unavailable):
            self._ledger.leave(self.name)

    def _end_now(self, why: str) -> None:
        """End without a look back: a thread hangs in a call that nothing can stop, and nothing is held any more."""
        log.warning("worker_ends_itself", worker=self.name, why=why)
        logging.shutdown()
        if why != "told_to_end":
            os._exit(HOPELESS_CODE)
        os._exit(DRAINED_CODE if self._leaving.drained else 0)

    def _beat(self) -> None:
        if self.runner.heartbeat.watch.hopeless():
            self.runner.hand_back()
            self._end_now("a task hangs")
        held = tuple(f"{lease.job}/{lease.task}" for lease in self.runner.heartbeat.held())
        status = WorkerStatus(
            id=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.queues,
            device=self._device or CPU,
            seen=0.0,
            tasks=held,
            info={
                "engine": self.settings.engine,
                ENGINE: ENGINE_VERSIONS[self.settings.engine],
                "version": FARM_VERSION,
                "draining": self.runner.draining.is_set(),
                SPEED: round(self.tools.speed.per_s),
                **self.runner.facts.info(),
                **self.runner.facts.busy(),
            },
        )
        self._leaving.heed(self.runner.farm.ledger.beat(status, self.settings.heartbeat_s * ALIVE_BEATS))
        told.tell(self.tools.tally, self.runner.farm.ledger)
        if self.settings.alive_file is not None:
            self.settings.alive_file.touch()


def expand(queues: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Queue names to consume: `gpu` becomes every class up to this device's, its own class first."""
    names: list[str] = []
    for queue in queues:
        names += _gpu_classes(settings) if queue == "gpu" else [queue]
    return tuple(dict.fromkeys(names))


def _gpu_classes(settings: Settings) -> list[str]:
    memory = int(settings.worker_class) if settings.worker_class else _measured_class(settings)
    return [f"gpu.{size}" for size in GPU_CLASSES if size <= memory]


def _measured_class(settings: Settings) -> int:
    if _on_cpu(settings):
        return 0
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory / 2**30) + 1


def _on_cpu(settings: Settings) -> bool:
    if settings.engine == "fake" or settings.device == "cpu":
        return True
    if settings.device == "cuda":
        return False
    import torch

    return not torch.cuda.is_available()
