"""Priority and the number of workers of a job that runs; users share the farm, each by a weight."""

from __future__ import annotations

import pytest

from farm.errors import NotFound, Rejected
from farm.ports import TaskFilter
from tests.contract.ledger_world import World


def test_a_priority_may_be_changed_while_a_job_runs(world: World) -> None:
    world.open("job1", chunks=3, priority=50)
    world.open("job2", chunks=3, priority=50)
    lease = world.claim()
    assert lease is not None
    world.ledger.finish(lease, "x", seconds=900.0)
    status = world.ledger.adjust("job1", 80, None, "a deadline", "ann")
    assert (status.facts.priority, status.activity) == (80, "adjusted by ann: a deadline")
    assert [lease.job for lease in (world.claim(), world.claim()) if lease] == ["job1", "job1"]
    world.ledger.adjust("job1", 20, None, "", "")
    lease = world.claim()
    assert lease is not None
    assert lease.job == "job2"
    with pytest.raises(Rejected, match="0 to 100"):
        world.ledger.adjust("job1", 101, None, "", "")
    with pytest.raises(NotFound):
        world.ledger.adjust("nothing", 1, None, "", "")


def test_a_job_that_changes_its_class_has_no_claim_on_the_past_and_no_debt(world: World) -> None:
    world.open("job1", chunks=9, priority=50)
    world.ledger.finish(world.take("plan.0", "job1"), "x", seconds=900.0)
    world.open("job2", chunks=9, priority=60)
    world.ledger.finish(world.take("plan.0", "job2"), "x", seconds=5.0)
    world.ledger.adjust("job1", 60, None, "", "")
    given = []
    for _ in range(6):
        lease = world.claim()
        assert lease is not None
        given.append(lease.job)
        world.ledger.finish(lease, "x", seconds=1.0)
    assert sorted(given) == ["job1"] * 3 + ["job2"] * 3


def test_no_more_workers_than_a_job_allows_are_at_work_on_it(world: World) -> None:
    world.open("job1", chunks=9)
    world.open("job2", chunks=9, priority=10)
    assert world.ledger.adjust("job1", None, 2, "", "").facts.max_workers == 2
    first = world.claim(worker="w1")
    second = world.claim(worker="w2")
    assert first is not None
    assert second is not None
    others = [world.claim(worker=worker) for worker in ("w3", "w1", "w4")]
    assert [lease.job for lease in (first, second, *others) if lease] == ["job1", "job1", "job2", "job1", "job2"]
    world.ledger.finish(second, "x")
    taken = world.claim(worker="w3")
    assert taken is not None
    assert taken.job == "job1"
    assert world.ledger.adjust("job1", None, 0, "", "").facts.max_workers == 0
    with pytest.raises(Rejected, match="At most"):
        world.ledger.adjust("job1", None, -1, "", "")


def shares(world: World, turns: int) -> dict[str, int]:
    """Tasks that each job is given when each takes a second."""
    given: dict[str, int] = {}
    for _ in range(turns):
        lease = world.claim()
        assert lease is not None
        given[lease.job] = given.get(lease.job, 0) + 1
        world.ledger.finish(lease, "x", seconds=1.0)
    return given


def test_users_share_not_jobs(world: World) -> None:
    for job, user in (("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob")):
        world.open_for(job, user)
    given = shares(world, 60)
    assert given["b1"] == 30
    assert [given[job] for job in ("a1", "a2", "a3")] == [10, 10, 10]
    for job in ("a2", "a3"):
        world.ledger.act(job, "cancel", "", "")
    given = shares(world, 20)
    assert abs(given["a1"] - given["b1"]) <= 2


def test_users_share_by_their_weights(world: World) -> None:
    world.open_for("a1", "ann", weight=3.0)
    world.open_for("b1", "bob")
    assert shares(world, 40) == {"a1": 30, "b1": 10}
    with pytest.raises(Rejected, match="above 0"):
        world.open_for("c1", "cyd", weight=0.0)


def test_what_a_user_has_unfinished_is_told_with_its_frames(world: World) -> None:
    world.open_for("ann1", "ann")
    world.open_for("ann2", "ann")
    world.open_for("bob1", "bob")
    frames = world.ledger.status("ann1").facts.frames
    assert world.ledger.unfinished("ann") == {"ann1": frames, "ann2": frames}
    world.ledger.act("ann1", "pause", "", "")
    assert set(world.ledger.unfinished("ann")) == {"ann1", "ann2"}
    world.ledger.act("ann1", "cancel", "", "")
    assert set(world.ledger.unfinished("ann")) == {"ann2"}
    world.ledger.retry("ann1", TaskFilter(), "", "")
    assert set(world.ledger.unfinished("ann")) == {"ann1", "ann2"}
    world.ledger.forget("ann2")
    assert (set(world.ledger.unfinished("ann")), world.ledger.unfinished("nobody")) == ({"ann1"}, {})
