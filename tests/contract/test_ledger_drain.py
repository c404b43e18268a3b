"""Workers that people ask to end."""

from __future__ import annotations

import pytest

from farm.adapters.ledger_rules import FAULTS_MAX, REASON_MAX
from farm.errors import NotFound
from farm.ports import Drain, WorkerStatus
from tests.contract.ledger_faults import beat, block
from tests.contract.ledger_world import ALL, START_S, World

WISH = Drain("ann", "a new driver", grace_s=30.0)


def drains(world: World) -> dict[str, Drain | None]:
    return {worker.id: worker.drain for worker in world.ledger.workers()}


def test_a_drained_worker_is_given_nothing_from_that_moment_on_and_keeps_what_it_has(world: World) -> None:
    world.open(chunks=3)
    beat(world, "w1", "w2")
    held = world.take("plan.0", worker="w1")
    kept = world.ledger.drain("w1", WISH)
    assert kept == Drain("ann", "a new driver", START_S, 30.0)
    assert world.claim(worker="w1") is None
    assert world.claim(worker="w2") is not None
    assert world.ledger.renew([held], 15) == ("ok",)
    assert world.ledger.finish(held, "x").accepted
    assert drains(world) == {"w1": kept, "w2": None}


def test_a_worker_hears_of_the_wish_with_its_next_sign_of_life(world: World) -> None:
    status = WorkerStatus("w1", "host", 1, ALL, "cpu", seen=0)
    assert world.ledger.beat(status, 15) is None
    world.pass_time(3)
    world.ledger.drain("w1", Drain())
    world.pass_time(2)
    assert world.ledger.beat(status, 15) == Drain(since=START_S + 3)
    assert world.ledger.undrain("w1")
    assert not world.ledger.undrain("w1")
    assert world.ledger.beat(status, 15) is None


def test_a_wish_that_is_taken_back_lets_the_worker_claim_again(world: World) -> None:
    world.open()
    beat(world, "w1")
    world.ledger.drain("w1", WISH)
    assert world.claim() is None
    world.ledger.undrain("w1")
    assert world.claim() is not None


def test_a_later_wish_takes_the_place_of_an_earlier_one(world: World) -> None:
    beat(world, "w1")
    world.ledger.drain("w1", WISH)
    world.pass_time(1)
    world.ledger.drain("w1", Drain("bob", "x" * 3000, grace_s=0.5))
    assert drains(world) == {"w1": Drain("bob", "x" * REASON_MAX, START_S + 1, 0.5)}


@pytest.mark.parametrize("worker", ["nobody", "w1"])
def test_only_workers_that_are_alive_can_be_asked(world: World, worker: str) -> None:
    world.ledger.beat(WorkerStatus("w1", "host", 1, ALL, "cpu", seen=0), 15)
    world.pass_time(15)
    with pytest.raises(NotFound, match=f"No worker '{worker}' is alive"):
        world.ledger.drain(worker, WISH)
    with pytest.raises(NotFound, match="farm workers"):
        world.ledger.undrain(worker)


@pytest.mark.parametrize("how", ["it leaves", "it is silent"])
def test_the_wish_ends_with_the_worker(world: World, how: str) -> None:
    status = WorkerStatus("w1", "host", 1, ALL, "cpu", seen=0)
    world.ledger.beat(status, 15)
    world.ledger.drain("w1", WISH)
    if how == "it leaves":
        world.ledger.leave("w1")
    else:
        world.pass_time(15)
        world.ledger.sweep(1000)
    assert world.ledger.workers() == ()
    assert world.ledger.alive() == 0
    assert world.ledger.beat(status, 15) is None
    assert drains(world) == {"w1": None}


def test_to_leave_twice_or_unknown_is_no_error(world: World) -> None:
    world.ledger.leave("nobody")
    beat(world, "w1")
    world.ledger.leave("w1")
    world.ledger.leave("w1")


def test_nothing_is_kept_for_a_worker_that_is_drained(world: World) -> None:
    world.open(chunks=FAULTS_MAX + 1)
    beat(world, "w1", "w2")
    block(world, "w1")
    assert world.claim(worker="w1") is None, "the other one could do it"
    world.ledger.drain("w2", WISH)
    assert world.claim(worker="w1") is not None
