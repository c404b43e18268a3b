"""The engines by name, and what every engine promises."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from farm.settings import GIB, Settings
from workers.gpu.batch import Batch, OnStep

EngineKind = Literal["diffusers", "fake"]
Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "fp32", "bf16", "fp16"]


class Engine(Protocol):
    """Makes patches out of crops."""

    @property
    def name(self) -> str:
        """Name and version; part of every content key, so it changes whenever pixels do."""

    @property
    def device(self) -> str:
        """Where it computes, in words for people: `cpu`, or the name of the GPU."""

    def prepare(self, batch: Batch) -> Batch:
        """The same batch, with what can be done before the model's turn comes; from any thread."""

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """Repaint each crop of the batch; what had to be done otherwise for want of memory is in `batch.rungs` then.

        Returns:
            One patch per crop, in order: `[h, w, 3]` uint8, at the size of the crop's pixels.
        Raises:
            OutOfMemory: the device cannot hold the batch; a smaller one may fit.
            BadModel: the model's folder cannot be used, or it gave values that are not numbers.
            UnknownSampler, UnknownScheduler: the name is not one of `farm.domain.sampling_names`.
            Whatever `on_step` raises.
        """


def open_engine(
    kind: EngineKind,
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: int = 1,
    fake_seconds: float = 0.0,
    model_bytes: int | None = None,
    compile_recurring: bool = False,
) -> Engine:
    """The engine of that kind; torch is imported only if it is `diffusers`.

    Args:
        kind: `diffusers`, or `fake`: deterministic pixels without a model.
        device: `auto` takes the GPU if torch sees one.
        dtype: of the UNet; `auto` is fp16 on a GPU and fp32 on a CPU.
        threads: of the CPU. The last bit of a result depends on it, so all workers of a farm must agree.
        fake_seconds: time that the fake engine takes per crop, in seconds.
        model_bytes: for the weights of the models that are kept loaded; None: by the device's memory.
        compile_recurring: on a GPU, compile the UNet for sizes that recur, beside the work.
    """
    if kind == "fake":
        from workers.gpu.fake import FakeEngine

        return FakeEngine(seconds_per_crop=fake_seconds)
    from workers.gpu.detailer import DiffusersEngine

    return DiffusersEngine(device, dtype, threads, model_bytes, compile_recurring)


def engine_of(settings: Settings) -> Engine:
    """The engine that the settings ask for."""
    gib = settings.model_memory_gib
    return open_engine(
        settings.engine,
        settings.device,
        settings.dtype,
        settings.torch_threads,
        settings.fake_seconds,
        None if gib is None else int(gib * GIB),
        settings.compile,
    )
