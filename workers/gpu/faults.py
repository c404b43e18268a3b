"""How the engine says no, and what it makes of torch's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from farm.errors import CropRejected, OutOfMemory, Rejected


class BadModel(Rejected):
    """A model's folder cannot be used."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"The model cannot be used: {fault}. To have it run, {remedy}.")


class NotNumbers(CropRejected):
    """The model gave values that are not numbers."""

    def __init__(self, stage: str, dtype: str) -> None:
        """
        Args:
            dtype: what was computed in; half precision is what to change first.
        """
        half = "" if dtype.endswith("float32") else "Run the worker with FARM_DTYPE=fp32, or set"
        super().__init__(
            f"The model gave values that are not numbers (NaN or infinite) while {stage}, computed in {dtype}. "
            f"{half or 'Set'} another `sampler_name`, `scheduler` or a lower `cfg`; smaller weights in the prompt and "
            f"of LoRAs help too. If nothing does, `farm model verify` tells whether the model's files are whole."
        )


class ContextTooLong(Rejected):
    """A window is longer than the motion module can see."""

    def __init__(self, context_length: int, longest: int) -> None:
        super().__init__(
            f"`context_length` is {context_length}, but the model's motion module sees {longest} frames at the most. "
            f"Set `context_length` to {longest} or less."
        )


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turns torch's out-of-memory errors, of a GPU or of the CPU, into OutOfMemory; `doing` says at what."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"The GPU's memory is too small to {doing}: {error}") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error) and "out of memory" not in str(error).lower():
            raise
        raise OutOfMemory(f"The machine's memory is too small to {doing}: {error}") from error
