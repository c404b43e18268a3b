"""How far a batch is: one count over all of its cycles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from farm.detail.hooks import Chain
from workers.gpu.batch import OnStep


class Progress:
    """Counts the steps of all cycles, of which each may have its own number."""

    def __init__(self, on_step: OnStep, steps: Sequence[int], hooks: Chain[Tensor]) -> None:
        self._on_step = on_step
        self._steps = steps
        self._hooks = hooks

    def sampled(self, done: int) -> None:
        """So many steps of the cycle under way are done."""
        cycle = self._hooks.cycle
        # A hook of somebody else's may have changed the number of steps.
        self._on_step(sum(self._steps[:cycle]) + min(done, self._steps[cycle]), sum(self._steps))
