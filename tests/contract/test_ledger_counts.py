"""What monitors ask of the ledger: how much there is to do, and what was counted."""

from __future__ import annotations

import pytest

from farm.domain.queues import QUEUES
from farm.domain.state import Outcome, TaskState
from farm.ports import QueueLoad
from tests.contract.ledger_world import CPU, GPU, TTL_S, World, detail

DEPEND, QUEUED, COMPLETED = TaskState.DEPEND, TaskState.QUEUED, TaskState.COMPLETED


def loads(world: World) -> dict[str, tuple[int, int]]:
    """Queues with something to do: what waits, what runs."""
    found = world.ledger.queues()
    assert [load.queue for load in found] == list(QUEUES)
    assert all(isinstance(load, QueueLoad) for load in found)
    return {load.queue: (load.waiting, load.running) for load in found if load.waiting or load.running}


def test_a_queue_s_load_is_what_waits_and_what_runs(world: World) -> None:
    assert loads(world) == {}
    world.open(chunks=2)
    world.open("other", chunks=1)
    assert loads(world) == {CPU: (3, 0)}
    lease = world.take("plan.0")
    assert loads(world) == {CPU: (2, 1)}
    world.ledger.finish(lease, "x", [detail(0, k) for k in range(3)])
    assert loads(world) == {CPU: (2, 0), GPU: (3, 0)}
    world.take("detail.0.1")
    assert loads(world) == {CPU: (2, 0), GPU: (2, 1)}
    world.pass_time(TTL_S)
    world.ledger.sweep(1000)
    assert loads(world) == {CPU: (2, 0), GPU: (3, 0)}


def test_what_waits_in_a_paused_job_is_no_load_and_what_runs_is(world: World) -> None:
    world.open(chunks=3)
    world.take("plan.0")
    world.ledger.act("job", "pause", "", "ann")
    assert loads(world) == {CPU: (0, 1)}
    world.ledger.act("job", "resume", "", "ann")
    assert loads(world) == {CPU: (2, 1)}


def test_tasks_are_counted_by_kind_and_the_sums_are_those_by_state(world: World) -> None:
    world.open(chunks=2)
    assert world.ledger.status("job").kinds == {
        ("plan", QUEUED): 2,
        ("paste", DEPEND): 2,
        ("encode", DEPEND): 2,
    }
    world.do("plan.0", [detail(0, 0), detail(0, 1, output="known")])
    lease = world.take("detail.0.0")
    world.ledger.fail(lease, Outcome.ERROR, "no", 5.0)
    status = world.ledger.status("job")
    assert status.kinds["detail", TaskState.SOFT_FAILED] == 1
    assert status.kinds["detail", COMPLETED] == 1
    assert status.kinds["plan", COMPLETED] == 1
    for state in TaskState:
        assert sum(n for (_, of), n in status.kinds.items() if of is state) == status.counts[state]


def test_a_lease_tells_for_how_long_its_task_waited(world: World) -> None:
    world.open(chunks=2)
    world.pass_time(2.5)
    assert world.take("plan.0").waited_s == 2.5
    world.pass_time(TTL_S)
    world.ledger.sweep(1000)
    world.pass_time(1)
    # What is given out again has waited since then.
    assert world.take("plan.0").waited_s == 1
    assert world.take("plan.1").waited_s == TTL_S + 3.5


def test_counts_of_all_processes_add_up(world: World) -> None:
    world.ledger.tally({"a|x": 1, "b": 0.25})
    world.ledger.tally({})
    world.ledger.tally({"a|x": 2, "c": 3})
    assert world.ledger.tallied() == pytest.approx({"a|x": 3, "b": 0.25, "c": 3})
