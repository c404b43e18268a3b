"""A job from submission to its end, as a node sees it: progress on the page, stopped where the page says so."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .api import Api, FarmError

WAIT_S = 2.0
"""Seconds of one look: the page's stop button is heeded that often."""
ENDED = frozenset({"completed", "failed", "canceled"})
SHOWN = 3
"""Faults that are told."""

Watch = Callable[[int, int], None]
"""Told of frames that are done, and of all; raises where the work is to stop."""


def run(api: Api, document: Mapping[str, Any], watch: Watch) -> str:
    """Submit a job and wait until it has ended; its id. Who stops the waiting cancels the job.

    Raises:
        FarmError: the farm refuses the job, or it did not complete.
    """
    job = api.submit(document)
    try:
        _wait(api, job, watch)
    except FarmError:
        raise
    except BaseException:
        with suppress(FarmError):
            api.cancel(job, "stopped in ComfyUI")
        raise
    return job


def _wait(api: Api, job: str, watch: Watch) -> None:
    revision: int | None = None
    while True:
        now = api.job(job, revision, WAIT_S)
        revision = now["revision"]
        watch(now["frames"]["done"], now["frames"]["total"])
        if now["status"] in ENDED:
            break
    if now["status"] != "completed":
        faults = "; ".join(api.faults(job)[:SHOWN])
        raise FarmError(f"Job {job} has {now['status']}. {faults or now.get('activity', '')}")


def watcher() -> Watch:
    """Shows progress and heeds the stop button, where this runs inside of ComfyUI; else does nothing."""
    stopped = _part("comfy.model_management", "throw_exception_if_processing_interrupted")
    bars = _part("comfy.utils", "ProgressBar")
    shown: list[Any] = []

    def watch(done: int, total: int) -> None:
        if stopped is not None:
            stopped()
        if bars is not None:
            if not shown:
                shown.append(bars(total))
            shown[0].update_absolute(done, total)

    return watch


def _part(module: str, name: str) -> Callable[..., Any] | None:
    try:
        found: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return found
