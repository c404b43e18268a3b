"""The load of the farm's benchmarks: a clip of any length, small procedural pictures, and a farm that details it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from farm.adapters.pictures import encode_png
from farm.adapters.servers import EmbeddedS3
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.shots import MODEL, make_model

WIDTH, HEIGHT = 96, 54
"""Pixels of the generated frames: a twentieth of 1920x1080 each way, so that 20,000 of them fit anywhere."""
DISKS = {"left": (24, 26, 11), "over": (36, 30, 8), "right": (78, 28, 10)}
"""Segment -> x, y, radius in pixels: two disjoint ones, and `over`, which lies partly on `left`."""
DETAILER: dict[str, object] = {"steps": 20, "guide_size": 64, "max_size": 64, "size_multiple": 8, "crop_factor": 1.4}
OWN_TIMES: dict[str, object] = {"lease_ttl_s": 15, "heartbeat_s": 5, "sweep_s": 1, "backoff_s": 2}
"""The farm's defaults, not those that make tests quick."""
INGEST_WORKERS = 2
FRAME = f"{WIDTH}x{HEIGHT} px, generated"

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """What a farm has taken in."""

    uri: str
    masks: dict[str, str]
    """Segment -> URI of its mask: one picture for all frames."""


def picture(frame: int) -> U8:
    """`[HEIGHT, WIDTH, 3]`: a gradient with grain that no frame shares with another."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    base = np.stack([columns * 2.0, rows * 3.0, np.full_like(rows, 96)], axis=2)
    grain = np.random.default_rng(frame).integers(0, 32, (HEIGHT, WIDTH, 3))
    pixels: U8 = np.clip(base + grain, 0, 255).astype(np.uint8)
    return pixels


def mask(name: str) -> U8:
    """`[HEIGHT, WIDTH]`: a disk."""
    x, y, radius = DISKS[name]
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    levels: U8 = ((np.hypot(columns - x, rows - y) < radius) * 255).astype(np.uint8)
    return levels


def take_in(farm: FarmUnderTest, frames: int) -> Clip:
    """Write a numbered sequence of `frames` pictures and three masks, and hand them to the farm, with a model."""
    with tempfile.TemporaryDirectory(prefix="farm-bench-clip-") as name:
        folder = Path(name)
        (folder / "clip").mkdir()
        for frame in range(frames):
            (folder / "clip" / f"{frame + 1:06d}.png").write_bytes(encode_png(picture(frame)))
        for disk in DISKS:
            (folder / f"{disk}.png").write_bytes(encode_png(mask(disk)))
        farm.add_model(MODEL, make_model(folder / "model"))
        return Clip(
            farm.admit(folder / "clip"),
            {disk: farm.admit(folder / f"{disk}.png") for disk in DISKS},
        )


def request(
    clip: Clip,
    kind: JobType = JobType.MASK,
    *,
    prompt: str = "a face",
    disks: tuple[str, ...] = tuple(DISKS),
    **changes: Any,  # noqa: ANN401 - values of any field, checked by the model itself
) -> JobRequest:
    """A job over these segments; another `prompt` is another job, of which nothing is done yet."""
    values: dict[str, object] = {
        "type": kind,
        "input": {"uri": clip.uri},
        "segments": [{"name": disk, "mask": clip.masks[disk], "prompt": prompt} for disk in disks],
        "detailer": DETAILER,
        "model": MODEL,
        "outputs": [],
    }
    return JobRequest.model_validate(values | changes)


@contextmanager
def bench_farm(**settings: object) -> Iterator[FarmUnderTest]:
    """A farm with a real Redis and a real S3 server of its own, on loopback; all of it is gone in the end."""
    structlog.configure(processors=[_swallow])
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as name:
        s3 = EmbeddedS3(Path(name))
        s3.start()
        try:
            for variable in [variable for variable in kept if variable.startswith("FARM_")]:
                del os.environ[variable]
            os.environ.update({n: v for n, v in s3.environment().items() if n.startswith("AWS_")})
            with FarmUnderTest(Path(name) / "farm", s3, **{**OWN_TIMES, **settings}) as farm:
                yield farm
        finally:
            os.environ.clear()
            os.environ.update(kept)
            s3.stop(grace_s=0)


def start_workers(farm: FarmUnderTest, count: int, queues: str, *, prefix: str = "w", timeout_s: float = 600.0) -> None:
    """Start workers, and return when all are alive: dozens take minutes on a small machine."""
    names = [farm.worker(f"{prefix}{number}", queues).name for number in range(count)]
    until("all workers are alive", lambda: set(names) <= {w.id for w in farm.farm.workers()}, timeout_s)


def ingest_all(farm: FarmUnderTest, clip: Clip) -> None:
    """Have all frames of the clip ingested, by a job and workers that are gone then."""
    workers = [farm.worker(f"ingest{number}", "cpu,gpu", fake_seconds=0) for number in range(INGEST_WORKERS)]
    farm.wait(farm.submit(request(clip, prompt="ingest", disks=("left",))), timeout_s=3600.0)
    for worker in workers:
        worker.end()
    until("nobody is alive", lambda: not farm.farm.workers(), 60.0)


def _swallow(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent
