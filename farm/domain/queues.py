"""The queues that tasks are offered on: by what they need."""

from __future__ import annotations

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
