"""Celery as plain as can be: tasks that do nothing, alone or as one chord per frame. What dispatch costs without us."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from celery import Celery, chord

from tests.bench.measures import ROOT

URL = "BENCH_REDIS_URL"
PASTED = "bench:pasted"
READY_S = 120.0
POLL_S = 0.01

app = Celery("plain", broker=os.environ.get(URL, "memory://"), backend=os.environ.get(URL, "cache+memory://"))
app.conf.update(worker_hijack_root_logger=False, worker_prefetch_multiplier=1, result_expires=3600)


@app.task(name="plain.nothing", ignore_result=True)  # type: ignore[untyped-decorator]  # celery is untyped
def nothing(number: int) -> None:
    """Do nothing."""


@app.task(name="plain.segment")  # type: ignore[untyped-decorator]  # celery is untyped
def segment(number: int) -> int:
    """Do nothing; a part of a chord."""
    return number


@app.task(name="plain.paste", ignore_result=True)  # type: ignore[untyped-decorator]  # celery is untyped
def paste(segments: list[int]) -> None:
    """Count a frame whose parts are all there."""
    app.backend.client.incr(PASTED)


@contextmanager
def workers(url: str, count: int) -> Iterator[None]:
    """So many solo workers, ready to work."""
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.plain_celery", "worker", "--pool=solo"]
    quiet = ["--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    running = [
        subprocess.Popen(
            [*command, *quiet, f"--hostname=plain{number}"],
            cwd=ROOT,
            env={**os.environ, URL: url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    try:
        with redis.Redis.from_url(url) as client:
            _await(lambda: sum(_consumes(one) for one in client.client_list()) >= count, "Celery workers")
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=60)


def no_ops(url: str, count: int) -> float:
    """Seconds from sending the first of so many tasks until the last was done."""
    app.conf.update(broker_url=url, result_backend=url)
    with redis.Redis.from_url(url) as client:
        begin = time.perf_counter()
        for number in range(count):
            nothing.delay(number)
        _await(lambda: not client.llen("celery") and not client.hlen("unacked"), "no-ops")
        return time.perf_counter() - begin


def chords(url: str, frames: int, parts: int) -> float:
    """Seconds from sending the first of so many chords, each of `parts` tasks and a body, until the last body ran."""
    app.conf.update(broker_url=url, result_backend=url)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.delete(PASTED)
        begin = time.perf_counter()
        for frame in range(frames):
            chord([segment.s(frame * parts + part) for part in range(parts)])(paste.s())
        _await(lambda: int(client.get(PASTED) or 0) >= frames, "chords")
        return time.perf_counter() - begin


def _consumes(client: dict[str, str]) -> bool:
    return client["cmd"] == "brpop"


def _await(done: Callable[[], bool], what: str) -> None:
    idle_until = time.perf_counter() + READY_S
    while not done():
        if what == "Celery workers" and time.perf_counter() > idle_until:
            raise RuntimeError(f"{what} were not there in {READY_S:g} s")
        time.sleep(POLL_S)
