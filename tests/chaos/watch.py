"""What became of the tasks that were held by whoever was struck; and whether the counts are true all the time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

import redis

from farm.adapters.redis_ledger import RedisLedger
from farm.domain.state import JOB_ENDED, TaskState
from farm.errors import NotFound, Unavailable
from farm.ports import TaskStatus

LOOK_S = 0.1
"""Seconds between two looks."""
ANSWER_S = 2.0
PREFIX = "farm:"


@dataclass
class Loss:
    """A task that was held by a worker when it was struck."""

    job: str
    task: str
    worker: str
    blow: str
    at: float
    """When, seconds since 1970."""
    attempts: int
    """That had ended by then."""
    fence: str = ""
    """Of the lease."""
    lost: bool = False
    """Its lease ran out; otherwise the worker came back in time, or handed it back."""
    declared_s: float | None = None
    """Seconds from the blow until a sweep found that its lease had run out."""
    recovered_s: float | None = None
    """Seconds from the blow to the next claim."""
    over: bool = False


class Watch:
    """Looks at a farm's ledger from a thread of its own, all the time."""

    def __init__(self, url: str) -> None:
        self._ledger = RedisLedger(url, answer_s=ANSWER_S)
        self._redis = redis.Redis.from_url(url, decode_responses=True, socket_timeout=ANSWER_S)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.losses: list[Loss] = []
        self.untrue: list[str] = []
        """Counts that contradict each other."""
        self.looks = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._ledger.close()
        self._redis.close()

    def struck(self, worker: str, blow: str) -> None:
        """Called right before a worker is struck: what it holds now is followed from here on, from the first blow."""
        # What ends in this very moment has no row, or no fence, any more.
        with suppress(Unavailable, NotFound, redis.RedisError, ValueError, KeyError):
            for member in self._redis.smembers(f"{PREFIX}leases-of:{worker}"):
                job, task = str(member).split("/", 1)
                fence = json.loads(str(self._redis.hget(f"{PREFIX}{{{job}}}:rows", task)))["fence"]
                attempts = len(self._ledger.task(job, task).history)
                with self._lock:
                    if fence not in {loss.fence for loss in self.losses}:
                        self.losses.append(Loss(job, task, worker, blow, time.time(), attempts, fence))

    def elected(self) -> str:
        """The worker that sweeps; "" if nobody does."""
        with suppress(redis.RedisError):
            kept = self._redis.get(f"{PREFIX}kept:sweeper")
            return str(kept).partition("|")[2] if kept else ""
        return ""

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            with suppress(Unavailable):
                self._follow()
                self._count()
                self.looks += 1

    def _follow(self) -> None:
        with self._lock:
            open_losses = [loss for loss in self.losses if not loss.over]
        for loss in open_losses:
            try:
                task = self._ledger.task(loss.job, loss.task)
            except NotFound:
                _gone(loss)
            else:
                _look(loss, task)

    def _count(self) -> None:
        for status in self._ledger.jobs(limit=20):
            counts, facts = status.counts, status.facts
            told = (
                (min(counts.values()) < 0, f"counts below 0: {_short(counts)}"),
                (status.frames_done > facts.frames, f"{status.frames_done} of {facts.frames} frames are done"),
                (status.frames_contiguous > status.frames_done, "more frames in a row than frames"),
                (status.chunks_done + status.chunks_failed > facts.chunks, "more chunks have ended than there are"),
                (status.state in JOB_ENDED and status.workers_active > 0, "workers in a job that has ended"),
                (status.chunks_failed > 0 or counts[TaskState.FAILED] > 0, f"failed: {status.activity}"),
            )
            new = {f"{facts.id}: {text}" for wrong, text in told if wrong} - set(self.untrue)
            self.untrue += sorted(new)


def _gone(loss: Loss) -> None:
    """Its chunk has ended and its row is gone: it was finished by somebody since the last look."""
    if loss.lost:
        loss.recovered_s = time.time() - loss.at
    loss.over = True


def _look(loss: Loss, task: TaskStatus) -> None:
    ended = task.history[loss.attempts :]
    if not ended:
        return  # it is still held, or a Redis that lost its last second knows nothing of it
    loss.lost = ended[0]["outcome"] == "lost"
    loss.declared_s = max(0.0, float(str(ended[0]["ended"])) - loss.at)
    later = [float(str(attempt["started"])) for attempt in ended[1:]]
    if not loss.lost:
        loss.over = True
    elif later:
        loss.recovered_s, loss.over = max(0.0, later[0] - loss.at), True
    elif task.state is TaskState.ACTIVE:
        loss.recovered_s, loss.over = time.time() - loss.at, True


def _short(counts: Mapping[TaskState, int]) -> str:
    return ", ".join(f"{state.value} {count}" for state, count in counts.items() if count)
