"""Makes a model's calls fit into the device's memory, and remembers what it took to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from farm.errors import OutOfMemory
from workers.gpu.rungs import UnetRung, VaeRung
from workers.gpu.vram import VramModel

Call = Callable[[slice, slice], Tensor]
"""Rows and texts -> what the network predicts for them, `[texts, rows, ...]`."""
R = TypeVar("R")

SPARE = 0.9
"""Share of the free memory that is reckoned with."""


class Meter:
    """The memory of one device. A CPU's is neither measured nor reckoned with: other processes live there too."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device

    def room(self) -> int | None:
        """Bytes that a call may take; None: unknown."""
        if not self._cuda:
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(SPARE * (free + idle))

    def measured(self, call: Callable[[], R]) -> tuple[R, int | None]:
        """What `call` returns, and the bytes that it held at its peak beyond what was held before."""
        if not self._cuda:
            return call(), None
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        result = call()
        return result, torch.cuda.max_memory_allocated(self._device) - before

    def clear(self) -> None:
        """Give back what is only kept for later."""
        if self._cuda:
            torch.cuda.empty_cache()


class Fitting:
    """What was learned about one model on one device; outlives the model's stay in memory."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter or Meter(torch.device("cpu"))
        self._vram = VramModel()
        self._unet: dict[tuple[int, int], UnetRung] = {}
        self._vae: dict[tuple[str, int], VaeRung] = {}
        self.slice_attention: Callable[[bool], None] = lambda _: None
        """Switches the network's attention between whole and slice by slice. Must not keep the network in memory."""

    def unet(self, call: Call, shape: tuple[int, int, int], together: bool = False) -> Tensor:
        """`call` for all rows and texts: at once if that fits, else in parts.

        Args:
            shape: rows, texts, latent pixels of a row.
            together: rows see each other and cannot be called apart.
        Raises:
            OutOfMemory: not even the smallest part fits.
        """
        rows, texts, pixels = shape
        size = (pixels, rows if together else 0)
        while True:
            rung = self._unet.get(size, UnetRung())
            at_once = rows if together else min(rows, rung.rows or self._expected(shape))
            texts_at_once = 1 if rung.texts_apart else texts
            self.slice_attention(rung.sliced)
            try:
                return self._in_parts(call, shape, at_once, texts_at_once)
            except OutOfMemory:
                lower = rung.lower(at_once, texts_at_once, together)
                if lower is None:
                    raise
            # Not before here: an error that is being handled keeps the tensors of its call alive.
            self._unet[size] = lower
            self._refused(pixels, at_once * texts_at_once)

    def vae(self, what: str, pixels: int, pictures: int, call: Callable[[VaeRung], R]) -> R:
        """`call` on the rung that holds it.

        Args:
            what: `encode` or `decode`.   pixels: of one picture.   pictures: in a call, to begin with.
        Raises:
            OutOfMemory: one picture in the finest tiles does not fit.
        """
        while True:
            rung = self._vae.get((what, pixels)) or VaeRung(pictures)
            try:
                return call(rung)
            except OutOfMemory:
                lower = rung.lower()
                if lower is None:
                    raise
            self._vae[what, pixels] = lower
            self._meter.clear()

    def tiles(self, what: str, pixels: int) -> int:
        """Tiles along the longer side in which the VAE does pictures of that size now; 1: it does them whole."""
        rung = self._vae.get((what, pixels))
        return rung.tiles if rung else 1

    def _in_parts(self, call: Call, shape: tuple[int, int, int], rows: int, texts: int) -> Tensor:
        parts = []
        for text in range(0, shape[1], texts):
            found = [
                self._measured(call, slice(row, min(row + rows, shape[0])), slice(text, text + texts), shape[2])
                for row in range(0, shape[0], rows)
            ]
            parts.append(found[0] if len(found) == 1 else torch.cat(found, dim=1))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _measured(self, call: Call, rows: slice, texts: slice, pixels: int) -> Tensor:
        result, used = self._meter.measured(lambda: call(rows, texts))
        if used is not None:
            self._vram = self._vram.observed(pixels, (rows.stop - rows.start) * (texts.stop - texts.start), used)
        return result

    def _expected(self, shape: tuple[int, int, int]) -> int:
        """Rows that are expected to fit, in parts of about one size."""
        rows, texts, pixels = shape
        room = self._meter.room()
        if room is None:
            return rows
        most = self._vram.batch(pixels * texts, room, rows)
        return -(-rows // -(-rows // most))

    def _refused(self, pixels: int, samples: int) -> None:
        self._meter.clear()
        room = self._meter.room()
        if room is not None:
            self._vram = self._vram.refused(pixels, samples, room)
