"""One worker that has enough to do: how much of its time the engine, and the GPU beneath it, is at work."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from farm.adapters.clock import system_clock
from farm.adapters.media import admit_path, limits_of
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.model_registry import add_model
from farm.adapters.pictures import encode_png
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.job import JobRequest
from farm.domain.state import JOB_ENDED
from farm.ports import Offer
from farm.service.farm import UPLOAD, Farm
from farm.settings import Settings
from tests.bench.measures import idle_share, out, share_covered
from tests.bench.plain import CFG
from tests.bench.random_models import Architecture, OneModel, random_model, random_parts
from workers.context import Tools
from workers.gpu.batch import Batch, OnStep
from workers.gpu.detailer import DTYPES, DiffusersEngine
from workers.heartbeat import Pace
from workers.runner import Runner

FRAMES = 32
BATCH = 8


class Watched(DiffusersEngine):
    """Notes when it was at work."""

    def __init__(self, device: str, dtype: Any) -> None:  # noqa: ANN401  one of the names of types
        super().__init__(device, dtype)
        self.busy: list[tuple[float, float]] = []

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """See DiffusersEngine."""
        begin = time.perf_counter()
        patches = super().detail(batch, on_step)
        self.busy.append((begin, time.perf_counter()))
        return patches


class _NoQueue:
    def send(self, offers: Sequence[Offer]) -> None:
        """Tasks are found by claiming."""


def busy_worker(kind: Architecture, device: torch.device, dtype: str, side: int, steps: int) -> float:
    """Run a job's detail tasks through the worker's pipeline; the engine's share of the time from its first task to the
    end of its last, which is printed, with the GPU's idle share in that time."""
    engine = Watched(device.type, dtype)
    engine.models = OneModel(random_model(random_parts(kind, device, DTYPES[dtype]), device, DTYPES[dtype]))
    with tempfile.TemporaryDirectory() as folder:
        blobs = MemoryBlobs()
        farm = Farm(blobs, MemoryLedger(), _NoQueue(), system_clock(), engine=ENGINE_VERSIONS["diffusers"])
        tools = Tools(blobs, Path(folder) / "cache", lambda: engine, 10**9)
        pace = Pace(lease_ttl=600, heartbeat=60, claim_slice=600, claim_ahead=2)
        details = Runner("gpu", farm, tools, ("gpu.0",), pace)
        others = Runner("cpu", farm, tools, ("cpu",), pace)
        try:
            job = farm.submit(_request(Path(folder), blobs, side, steps)).facts.id
            others.serve(None)
            idle = idle_share(lambda: details.serve(None), device)
            while farm.status(job).state not in JOB_ENDED:
                others.serve(None)
        finally:
            details.heartbeat.stop()
            others.heartbeat.stop()
    first, last = engine.busy[0][0], engine.busy[-1][1]
    share = share_covered(engine.busy, last - first)
    tasks = len(engine.busy)
    gpu = "" if idle is None else f"; the GPU ran no kernel in {idle:.0%} of the time"
    out.print(
        f"One busy worker, {kind.name} {dtype}, {tasks} tasks of {BATCH} crops at {side}x{side}: "
        f"{tasks * BATCH / (last - first):.2f} segments/s, the engine at work {share:.0%} of the time{gpu}."
    )
    return share


def _request(folder: Path, blobs: MemoryBlobs, side: int, steps: int) -> JobRequest:
    """A clip of noise with a mask in its middle, so that a crop is sampled at `side` x `side`."""
    clip, mask, model = folder / "clip", folder / "mask.png", folder / "model"
    clip.mkdir()
    width, height, crop = 2 * side, side, side // 2
    for frame in range(FRAMES):
        pixels = np.random.default_rng(frame).integers(0, 255, (height, width, 3), dtype=np.uint8)
        (clip / f"{frame:04d}.png").write_bytes(encode_png(pixels))
    area = np.zeros((height, width), dtype=np.uint8)
    area[height // 4 : height // 4 + crop, width // 4 : width // 4 + crop] = 255
    mask.write_bytes(encode_png(area))
    model.mkdir()
    (model / "model_index.json").write_text("{}")
    add_model("random", model, blobs)
    limits = limits_of(Settings.read(engine="fake"))
    clip_uri, mask_uri = (UPLOAD + admit_path(path, blobs, limits).id for path in (clip, mask))
    return JobRequest.model_validate(
        {
            "input": {"uri": clip_uri},
            "segments": [{"name": "middle", "mask": mask_uri, "prompt": "a face"}],
            "model": "random",
            "batch_limit": BATCH,
            "chunk": FRAMES,
            "outputs": [],
            "detailer": {"steps": steps, "denoise": 0.5, "cfg": CFG, "crop_factor": 1.0}
            | {"guide_size": side, "max_size": side, "size_multiple": 8},
        }
    )
