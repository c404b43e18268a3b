"""The engine against diffusers' own pipelines, one crop at a time: `python -m tests.bench.engine`.

On a GPU: the full-size architectures of SD 1.5 and SDXL with random weights. Without one: tiny ones, which show that
the benchmark runs and nothing of what a GPU would do.
"""

from __future__ import annotations

import argparse
import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
import torch

from farm.detail.enhance import CropInput
from farm.domain.detailer import Detailer, JobType
from tests.bench.measures import idle_share, machine, matrix_rate, out, table, timed
from tests.bench.plain import CFG, plain_clip, plain_images
from tests.bench.random_models import (
    SD15,
    SDXL,
    TINY,
    Architecture,
    OneModel,
    Parts,
    operations,
    random_model,
    random_parts,
)
from tests.bench.worker import busy_worker
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine

DENOISE = 0.5
FRAMES = 16
GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    device: torch.device
    dtypes: tuple[str, ...]
    kinds: tuple[Architecture, ...]
    sides: tuple[int, ...]
    batches: tuple[int, ...]
    steps: int
    repeats: int
    matrix: int


def plan_of(device: torch.device) -> Plan:
    """The whole on a GPU; on a CPU what takes a minute."""
    if device.type == "cuda":
        return Plan(device, ("bf16", "fp16"), (SD15, SDXL), (512, 768), (1, 4, 16, 64), 20, 2, 8192)
    return Plan(device, ("fp32",), (TINY,), (64, 96), (1, 4, 8), 4, 2, 512)


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    dtype: str
    side: int
    batch: int
    per_second: float
    """Segments of one frame per second."""
    plain_per_second: float
    rate_share: float
    """Share of the matrix rate that was measured."""
    vram: float | None
    """GiB at the peak."""
    idle: float | None
    """Share of the time in which the GPU ran nothing."""

    def cells(self) -> tuple[str, ...]:
        """For a table: ratios first."""
        return (
            f"{self.per_second / self.plain_per_second:.2f}x",
            f"{self.rate_share:.0%}",
            "" if self.idle is None else f"{self.idle:.0%}",
            self.what,
            self.dtype,
            f"{self.side}x{self.side}",
            str(self.batch),
            f"{self.per_second:.2f}",
            f"{self.plain_per_second:.2f}",
            "" if self.vram is None else f"{self.vram:.1f}",
        )


COLUMNS = (
    "to plain",
    "of matrix rate",
    "GPU idle",
    "model",
    "type",
    "crop",
    "batch",
    "segments/s",
    "plain/s",
    "VRAM GiB",
)


def batch_of(count: int, side: int, steps: int, job_type: JobType) -> Batch:
    """Crops of half the side, without masks."""
    pixels = np.random.default_rng(0).random((count, side // 2, side // 2, 3), dtype=np.float32)
    crops = tuple(CropInput(pixels[k], None, (side, side), k, k) for k in range(count))
    detailer = Detailer(steps=steps, denoise=DENOISE, cfg=CFG, prompt="a face", negative="blurry")
    return Batch(job_type, detailer, crops, Path(), None, count)


def rows(plan: Plan, motion: bool = False) -> Iterator[Row]:
    """All measurements, of single crops or of clips."""
    for dtype in plan.dtypes:
        engine = DiffusersEngine(plan.device.type, dtype)
        torch_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)
        rate = matrix_rate(plan.device, torch.bfloat16 if plan.device.type == "cuda" else torch.float32, plan.matrix)
        for kind in plan.kinds:
            if motion and not kind.motion:
                continue
            parts = random_parts(kind, plan.device, torch_dtype, motion)
            plain = {side: _plain(parts, side, plan, motion) for side in plan.sides}
            engine.models = OneModel(random_model(parts, plan.device, torch_dtype, motion))
            for side in plan.sides:
                work = operations(kind, side, plan.steps, FRAMES if motion else 0)
                for batch in (FRAMES,) if motion else plan.batches:
                    per_second, vram, idle = _ours(engine, batch, side, plan, motion)
                    share = per_second * work / rate
                    name = f"{kind.name} + motion" if motion else kind.name
                    yield Row(name, dtype, side, batch, per_second, plain[side], share, vram, idle)
            del parts
            gc.collect()
            if plan.device.type == "cuda":
                torch.cuda.empty_cache()


def _plain(parts: Parts, side: int, plan: Plan, motion: bool) -> float:
    """Segments of one frame per second, by diffusers."""
    if motion:
        call, frames = plain_clip(parts, side, FRAMES, plan.steps, DENOISE), FRAMES
    else:
        call, frames = plain_images(parts, side, plan.steps, DENOISE), 1
    with torch.inference_mode():
        call()
        return frames / min(timed(call, plan.device) for _ in range(plan.repeats))


def _ours(
    engine: DiffusersEngine, batch: int, side: int, plan: Plan, motion: bool
) -> tuple[float, float | None, float | None]:
    """Segments per second, GiB at the peak, share of idle time."""
    asked = batch_of(batch, side, plan.steps, JobType.ANIMATEDIFF if motion else JobType.MASK)

    def call() -> None:
        engine.detail(asked, lambda *_: None)

    call()
    on_gpu = plan.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(plan.device)
    seconds = min(timed(call, plan.device) for _ in range(plan.repeats))
    vram = torch.cuda.max_memory_allocated(plan.device) / GIB if on_gpu else None
    # Profiling is slow: once per size, where there is most to do.
    idle = idle_share(call, plan.device) if on_gpu and (motion or batch == max(plan.batches)) else None
    return batch / seconds, vram, idle


def report(found: Sequence[Row], plan: Plan) -> None:
    """Ratios first, then all rows."""
    best: dict[tuple[str, int], Row] = {}
    for row in found:
        at = row.what, row.side
        if at not in best or row.per_second > best[at].per_second:
            best[at] = row
    for (what, side), row in best.items():
        out.print(
            f"{what} at {side}x{side}: {row.per_second / row.plain_per_second:.1f} times plain diffusers, "
            f"{row.rate_share:.0%} of the matrix rate ({row.dtype}, batch {row.batch})"
        )
    steps = f"{plan.steps} steps, denoise {DENOISE}, cfg {CFG:g}; plain: diffusers' pipelines, one at a time"
    table(steps, COLUMNS, [row.cells() for row in found])


def asked(plan: Plan) -> Plan:
    """The plan, cut to what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", action="append", choices=plan.dtypes, help="of the UNet; all if left out")
    parser.add_argument("--model", action="append", choices=[kind.name for kind in plan.kinds])
    parser.add_argument("--side", action="append", type=int, help="pixels of a crop's side")
    parser.add_argument("--batch", action="append", type=int, help="crops in a batch")
    chosen = parser.parse_args()
    return replace(
        plan,
        dtypes=tuple(chosen.dtype or plan.dtypes),
        kinds=tuple(kind for kind in plan.kinds if not chosen.model or kind.name in chosen.model),
        sides=tuple(chosen.side or plan.sides),
        batches=tuple(chosen.batch or plan.batches),
    )


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    plan = asked(plan_of(device))
    out.print(machine(device))
    if device.type != "cuda":
        out.print("No GPU is here: tiny models, to show that this runs. The figures say nothing of a GPU.")
    report([*rows(plan), *rows(plan, motion=True)], plan)
    busy_worker(plan.kinds[0], device, plan.dtypes[-1], plan.sides[0], plan.steps)


if __name__ == "__main__":
    main()
