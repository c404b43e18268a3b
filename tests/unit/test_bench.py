"""The benchmarks run, at the smallest size, and reckon rightly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.bench.engine import COLUMNS, plan_of, rows
from tests.bench.measures import idle_share, share_covered
from tests.bench.random_models import TINY, operations
from tests.bench.worker import busy_worker

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("intervals", "share"),
    [
        ([], 0),
        ([(0, 4), (6, 8)], 0.6),
        ([(6, 8), (0, 4), (1, 2), (3, 5)], 0.7),
        ([(0, 10), (0, 10)], 1),
    ],
    ids=str,
)
def test_time_that_several_kernels_share_counts_once(intervals: list[tuple[float, float]], share: float) -> None:
    assert share_covered(intervals, 10) == pytest.approx(share)


def test_a_cpu_has_no_idle_share() -> None:
    ran = []
    assert idle_share(lambda: ran.append(1), CPU) is None
    assert ran == [1]


def test_twice_the_steps_are_twice_the_work_of_the_unet() -> None:
    one, two, four = (operations(TINY, 64, steps) for steps in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one))


# diffusers' own scheduler is behind numpy's times.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_engine_is_measured_beside_plain_diffusers() -> None:
    plan = replace(plan_of(CPU), sides=(64,), batches=(2,), steps=2, repeats=1, matrix=64)
    found = [*rows(plan), *rows(plan, motion=True)]
    assert [row.batch for row in found] == [2, 16]
    for row in found:
        assert row.per_second > 0
        assert row.plain_per_second > 0
        assert len(row.cells()) == len(COLUMNS)


def test_a_busy_worker_is_measured() -> None:
    assert 0 < busy_worker(TINY, CPU, "fp32", 64, 2) <= 1
