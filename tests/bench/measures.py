"""What benchmarks share: machine and commit, times, shares, tables."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

out = Console(width=120, highlight=False)
ROOT = Path(__file__).parents[2]


def machine(device: torch.device) -> str:
    """The machine and the commit, in one line."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} CPU cores, torch {torch.__version__}, commit {commit()}"


def commit() -> str:
    """The commit of the tree, with `+` where it was changed since."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes, the device's work with it."""
    wait(device)
    begin = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - begin


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations per second of a product of two `side` x `side` matrices: the best of several."""
    a, b = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
    a @ b
    return 2.0 * side**3 / min(timed(lambda: a @ b, device) for _ in range(8))


def share_covered(intervals: Iterable[tuple[float, float]], whole: float) -> float:
    """Share of `whole` that lies in at least one of the intervals (start, end)."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered / whole


def idle_share(call: Callable[[], object], device: torch.device) -> float | None:
    """Share of a call's time in which a GPU ran no kernel; None on a CPU."""
    if device.type != "cuda":
        call()
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        seconds = timed(call, device)
    kernels = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type.name == "CUDA"
    ]
    return 1 - share_covered(kernels, seconds * 1e6)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    drawn = Table(title=title, title_justify="left")
    for column in columns:
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(*row)
    out.print(drawn)
