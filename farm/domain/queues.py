"""The queues that tasks are offered on: by what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farm.errors import Rejected

CPU = "cpu"
GPU_CLASSES = (80, 48, 24, 16, 12, 8, 0)
"""GiB of GPU memory in queue names `gpu.<GiB>`; a task asks for the least class that holds it, 0 is any device."""
QUEUES = (CPU, *(f"gpu.{size}" for size in GPU_CLASSES))


def gpu_queue(vram_gb: float) -> str:
    """The queue of the least class of GPU that has `vram_gb` GiB. Raises Rejected above the largest class."""
    fitting = [size for size in GPU_CLASSES if size >= vram_gb]
    if not fitting:
        raise Rejected(
            f"vram_gb is {vram_gb:g}; the largest class of GPU is {max(GPU_CLASSES)} GiB. Ask for less: "
            f"smaller chunks and crops need less memory."
        )
    return f"gpu.{min(fitting)}"


def roomier(own: Sequence[str], others: Iterable[Sequence[str]]) -> str:
    """The queue of the least class of GPU above a worker's own that another worker serves; empty if there is none.

    Args:
        own: queues of the worker that had too little memory.
        others: the queues of each worker that is alive.
    """
    largest = max((_class(queue) for queue in own), default=0)
    served = {_class(queue) for queues in others for queue in queues}
    above = [size for size in served if size > largest]
    return f"gpu.{min(above)}" if above else ""


def _class(queue: str) -> int:
    """GiB of a GPU queue; -1 for any other."""
    kind, _, size = queue.partition(".")
    return int(size) if kind == "gpu" and size.isdigit() else -1
