"""How a worker ends: asked by a person, told by its machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from farm.ports import Drain, Lease
from workers import leaving
from workers.leaving import Leaving

LEASE = Lease("job", "detail.0.0", "detail", "gpu.0", 0, "", "", 1, "fence", "w1")


@dataclass
class Holding:
    """As much of a heartbeat as leaving looks at."""

    leases: tuple[Lease, ...] = ()

    def held(self) -> tuple[Lease, ...]:
        return self.leases


@dataclass
class AtWork:
    """As much of a runner as leaving touches."""

    heartbeat: Holding = field(default_factory=Holding)
    draining: threading.Event = field(default_factory=threading.Event)
    grace_over: threading.Event = field(default_factory=threading.Event)
    looks: int = 0

    def look(self) -> None:
        self.looks += 1

    def hand_back(self) -> None:
        self.heartbeat.leases = ()


@dataclass
class Process:
    """A worker that may end."""

    runner: AtWork
    ends: list[str]
    leaving: Leaving

    def until(self, what: Callable[[], bool]) -> None:
        """Wait for something that must come."""
        end = time.monotonic() + 30
        while not what():
            assert time.monotonic() < end
            time.sleep(0.005)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setattr(leaving, "LOOK_S", 0.005)
    monkeypatch.setattr(leaving, "LAST_STEP_S", 0.05)
    monkeypatch.setattr(leaving, "IDLE_S", 0.05)
    runner, ends = AtWork(), list[str]()
    made = Leaving(
        runner,  # type: ignore[arg-type]  # only what is used of it
        600.0,
        lambda: ends.append("at once"),
        lambda: ends.append("gently"),
    )
    yield Process(runner, ends, made)
    made.heed(None)
    made.over()


def test_an_idle_worker_that_is_asked_ends_and_others_are_told_of_what_is_ready(process: Process) -> None:
    process.leaving.heed(None)
    assert not process.runner.draining.is_set()
    process.leaving.heed(Drain("ann"))
    assert process.runner.draining.is_set()
    process.until(lambda: process.ends == ["gently"])
    assert process.leaving.drained
    assert process.runner.looks == 1


def test_one_at_work_finishes_first(process: Process) -> None:
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(Drain("ann"))
    process.leaving.heed(Drain("ann"))
    time.sleep(0.05)
    assert process.ends == []
    assert not process.runner.grace_over.is_set()
    process.runner.heartbeat.leases = ()
    process.until(lambda: process.ends == ["gently"])


def test_after_the_grace_that_the_person_gave_tasks_are_handed_back(process: Process) -> None:
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(Drain("ann", grace_s=0.02))
    process.until(lambda: process.ends == ["gently"])
    assert process.runner.grace_over.is_set()
    assert process.runner.heartbeat.held() == ()


def test_a_shorter_grace_may_be_given_later(process: Process) -> None:
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(Drain("ann"))
    process.leaving.heed(Drain("ann", grace_s=0.0))
    process.until(lambda: process.ends == ["gently"])


def test_a_wish_that_is_taken_back_lets_it_go_on(process: Process) -> None:
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(Drain("ann", grace_s=0.0))
    process.until(process.runner.grace_over.is_set)
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(None)
    assert not process.runner.draining.is_set()
    assert process.runner.looks == 2
    process.runner.heartbeat.leases = ()
    time.sleep(0.05)
    assert "at once" not in process.ends


def test_what_its_machine_says_is_not_taken_back(process: Process) -> None:
    process.runner.heartbeat.leases = (LEASE,)
    process.leaving.heed(Drain("ann"))
    process.leaving.told()
    process.leaving.told()
    process.leaving.heed(None)
    assert process.runner.draining.is_set()
    process.runner.heartbeat.leases = ()
    process.until(lambda: "at once" in process.ends)
