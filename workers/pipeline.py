"""The GPU worker's small pipeline: one thread claims ahead and loads, the calling thread owns the GPU, one thread
encodes, uploads and finishes. A bounded number of tasks ahead and behind, so memory stays bounded."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from farm.domain.forecast import Sample, work_of
from farm.ports import Lease
from workers import told
from workers.context import Task
from workers.steps import detail

if TYPE_CHECKING:
    from workers.runner import Runner

BEHIND = 2
"""Batches that wait to be stored."""


@dataclass(frozen=True)
class _Ready:
    lease: Lease
    task: Task
    loaded: detail.Loaded | detail.Known
    started: float
    download_s: float


@dataclass(frozen=True)
class _Made:
    ready: _Ready
    made: detail.Made | detail.Known
    gpu: tuple[float, float]
    """Begin and end, in seconds since the task was claimed."""


class _Ahead:
    """What is loaded before the engine has time for it. Room is asked for before a task is claimed, so that no worker
    keeps a task that another could begin with."""

    def __init__(self, most: int) -> None:
        self._room = threading.Semaphore(most)
        self._ready: queue.Queue[_Ready | None] = queue.Queue()

    def wait_for_room(self) -> None:
        """Wait until one more may be claimed."""
        self._room.acquire()

    def leave_out(self) -> None:
        """What was claimed could not be loaded."""
        self._room.release()

    def put(self, ready: _Ready) -> None:
        """It is loaded."""
        self._ready.put(ready)

    def end(self) -> None:
        """Nothing more comes."""
        self._ready.put(None)

    def take(self) -> _Ready | None:
        """The next one, which gives room for another; None at the end."""
        ready = self._ready.get()
        if ready is not None:
            self._room.release()
        return ready


class GpuPipeline:
    """Runs detail tasks, the next one's inputs loading and the last one's patches uploading meanwhile."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, first: Lease, until: float) -> int:
        """Run `first` and what can be claimed until the time `until` (monotonic seconds); the number of tasks run.

        Returns when all that was claimed is finished or handed back.
        """
        ahead = _Ahead(max(1, self._runner.pace.claim_ahead))
        behind: queue.Queue[_Made | None] = queue.Queue(BEHIND)
        others: list[Lease] = []
        loader = threading.Thread(target=self._load, args=(first, until, ahead, others), name="loader")
        storer = threading.Thread(target=self._store, args=(behind,), name="storer")
        loader.start()
        storer.start()
        count = 0
        while (ready := ahead.take()) is not None:
            count += 1
            self._compute(ready, behind)
        behind.put(None)
        loader.join()
        storer.join()
        for lease in others:
            count += self._runner.run(lease)
        return count

    def _load(self, first: Lease, until: float, ahead: _Ahead, others: list[Lease]) -> None:
        """Load and claim ahead. A task of another kind ends it: that one is run when the GPU's are done."""
        lease: Lease | None = first
        ahead.wait_for_room()
        try:
            while lease is not None:
                if lease.kind != "detail":
                    others.append(lease)
                    break
                self._load_one(lease, ahead)
                ahead.wait_for_room()
                stop = self._runner.draining.is_set() or time.monotonic() >= until or not self._runner.pace.claim_ahead
                lease = None if stop else self._runner.claim()
        finally:
            ahead.end()

    def _load_one(self, lease: Lease, ahead: _Ahead) -> None:
        started = time.monotonic()

        def load() -> _Ready:
            task = self._runner.task(lease)
            loaded = detail.load(task, self._runner.tools)
            return _Ready(lease, task, loaded, started, time.monotonic() - started)

        ready = self._runner.attempt(lease, load)
        if ready is None:
            ahead.leave_out()
        else:
            ahead.put(ready)

    def _compute(self, ready: _Ready, behind: queue.Queue[_Made | None]) -> None:
        tools = self._runner.tools
        begun = time.monotonic() - ready.started
        with self._runner.facts.engine.at_work():
            made = self._runner.attempt(ready.lease, lambda: detail.work(ready.task, tools, ready.loaded))
        if made is not None:
            behind.put(_Made(ready, made, (begun, time.monotonic() - ready.started)))

    def _store(self, behind: queue.Queue[_Made | None]) -> None:
        while (made := behind.get()) is not None:
            self._runner.attempt(made.ready.lease, partial(self._store_one, made))

    def _store_one(self, made: _Made) -> None:
        ready, tools = made.ready, self._runner.tools
        began, took = time.monotonic(), self._took(made)
        result = detail.store(tools, ready.loaded, made.made, took)
        if took is not None and isinstance(ready.loaded, detail.Loaded):
            stages = {"load": ready.download_s, "engine": made.gpu[1] - made.gpu[0], "store": time.monotonic() - began}
            told.detailed(tools.tally, ready.task.job.type, len(ready.loaded.members), stages)
        self._runner.finished(ready.lease, result, time.monotonic() - ready.started)

    def _took(self, made: _Made) -> Sample | None:
        """What a batch that was made took; nothing of one that was known."""
        ready = made.ready
        if isinstance(ready.loaded, detail.Known):
            return None
        return Sample(
            worker=ready.lease.worker,
            device=self._runner.tools.engine.device,
            download=(0.0, ready.download_s),
            gpu=made.gpu,
            pixel_steps=work_of(ready.task.job, ready.loaded.detail),
        )
