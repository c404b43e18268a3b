"""Stages that take too long are named once, slow ones that move are left alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from farm.domain.state import Outcome
from farm.ports import Lease
from workers.watch import HOPELESS_S, Limits, Watch

LIMITS = Limits(stuck=30.0, stages={"paste": 100.0})


@dataclass
class Hand:
    """A clock that is moved by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def lease(kind: str = "detail", fence: str = "1") -> Lease:
    """A lease on some task."""
    return Lease("job", f"{kind}.0", kind, "gpu.0", 0, "", "", 1, fence, "w")


def stepping(clock: Hand, watch: Watch, *seconds: float) -> None:
    """Steps that took these seconds each."""
    for each in seconds:
        clock.now += each
        watch.moved(lease())


def test_a_sampler_that_stands_still_is_stuck() -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease())
    stepping(clock, watch, 1, 1)
    clock.now += 30
    assert watch.overdue() == []
    clock.now += 1
    (found,) = watch.overdue()
    assert (found.lease, found.outcome) == (lease(), Outcome.STUCK)
    assert "no step for 31 s" in found.error
    assert watch.overdue() == [], "it is named once"


def test_before_the_first_step_it_loads_and_is_not_stuck() -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease())
    clock.now += 1000
    assert watch.overdue() == []


def test_a_slow_sampler_that_moves_is_left_alone() -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease())
    stepping(clock, watch, 1, 20)
    clock.now += 99
    assert watch.overdue() == []
    clock.now += 2
    assert [found.outcome for found in watch.overdue()] == [Outcome.STUCK]


def test_a_stage_has_its_time_by_its_kind() -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease("paste"))
    watch.begin(lease("plan", "2"))
    clock.now += 101
    assert [(found.lease.kind, found.outcome) for found in watch.overdue()] == [("paste", Outcome.TIMEOUT)]


def test_what_has_ended_is_not_overdue() -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease("paste"))
    watch.end(lease("paste"))
    clock.now += 1000
    watch.begin(lease("paste"))
    clock.now += 99
    assert watch.overdue() == [], "the next stage has its own time"


@pytest.mark.parametrize("ends", [True, False])
def test_a_stage_that_was_given_up_and_does_not_end_is_hopeless(ends: bool) -> None:
    watch = Watch(LIMITS, clock := Hand())
    watch.begin(lease("paste"))
    clock.now += 101
    watch.overdue()
    clock.now += HOPELESS_S
    assert not watch.hopeless()
    if ends:
        watch.end(lease("paste"))
    clock.now += 1
    assert watch.hopeless() is not ends


def test_without_limits_nothing_is_overdue() -> None:
    watch = Watch(Limits(), clock := Hand())
    watch.begin(lease())
    watch.moved(lease())
    clock.now += 1e6
    assert watch.overdue() == []
