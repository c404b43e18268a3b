"""Which workers a machine runs: one per GPU, and some for the CPU's tasks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MOST_CPU_WORKERS = 4
"""CPU workers of a machine unless told otherwise: decoding and pasting for one GPU keep about two busy."""
_GPU = re.compile(r"nvidia\d+")


@dataclass(frozen=True)
class Share:
    """A worker process: what it serves and what it sees."""

    queues: str
    environment: Mapping[str, str] = field(default_factory=dict)


def worker_devices(workers: int | None, queues: str, *, on_cpu: bool) -> list[Share]:
    """The workers to start.

    Args:
        workers: processes for the CPU's tasks; None: as many as CPUs, 4 at the most.
        queues: of all workers, instead of a division by device.
        on_cpu: the engine is to run on the CPU even if there are GPUs.
    """
    count = workers if workers is not None else min(len(os.sched_getaffinity(0)), MOST_CPU_WORKERS)
    if queues:
        return [Share(queues)] * count
    gpus = [] if on_cpu else visible_gpus()
    if not gpus:
        return [Share("cpu,gpu")] * count
    return [*(Share("gpu", {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus), *([Share("cpu")] * count)]


def visible_gpus(devices: Path = Path("/dev")) -> list[str]:
    """The GPUs of this machine as CUDA names them, without asking CUDA: that would need torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    found = sorted(
        int(each.name.removeprefix("nvidia")) for each in devices.glob("nvidia*") if _GPU.fullmatch(each.name)
    )
    return [str(index) for index in range(len(found))]
