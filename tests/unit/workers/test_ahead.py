"""How many tasks a worker keeps to itself: the one that its engine makes, and as many ahead as it was told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.domain.detailer import JobType
from farm.domain.state import TaskState
from farm.ports import TaskFilter
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.farm_under_test import until
from tests.e2e.shots import hand_in, make_shot, request
from workers.gpu.batch import Batch, OnStep
from workers.gpu.fake import FakeEngine
from workers.heartbeat import Pace
from workers.runner import Runner

FRAMES = 3
LONG_S = 0.1
"""Seconds of a batch, in which whatever may be claimed is claimed many times over."""


class Counting(FakeEngine):
    """Writes down how many tasks its worker holds in each batch, when those before are stored."""

    def __init__(self, stored: Callable[[], int], held: Callable[[], int]) -> None:
        super().__init__()
        self._stored = stored
        self._held = held
        self.seen: list[int] = []

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """As always, but slowly."""
        until("the batches before are stored", lambda: self._stored() == len(self.seen))
        time.sleep(LONG_S)
        self.seen.append(self._held())
        return super().detail(batch, on_step)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_worker_holds_what_it_makes_and_no_more_than_it_may_claim_ahead(tmp_path: Path, ahead: int) -> None:
    shot = make_shot(tmp_path / "shot", FRAMES)
    with AnyOrderFarm(tmp_path / "cache", engine=lambda: engine) as farm:
        wanted = request(hand_in(shot, farm), JobType.MASK, prompts={"right": "x"}, chunk=1)
        job = farm.farm.submit(wanted).facts.id
        pace = Pace(lease_ttl=600, heartbeat=60, claim_ahead=ahead)
        gpu = Runner("gpu", farm.farm, farm.tools, ("gpu.0",), pace)
        cpu = Runner("cpu", farm.farm, farm.tools, ("cpu",), pace)

        def stored() -> int:
            done = TaskFilter(states=(TaskState.COMPLETED,))
            return sum(task.kind == "detail" for task in farm.farm.ledger.tasks(job, done))

        engine = Counting(stored, lambda: len(gpu.heartbeat.held()))
        cpu.serve(None)
        gpu.serve(None)
        gpu.heartbeat.stop()
        cpu.heartbeat.stop()
    assert len(engine.seen) == FRAMES * len(shot.masks)
    assert max(engine.seen) == 1 + ahead
