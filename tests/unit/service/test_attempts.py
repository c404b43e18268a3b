"""Attempts outlive the rows of the ledger, and the ledger."""

from __future__ import annotations

from collections import Counter

from farm.adapters.memory_ledger import MemoryLedger
from farm.domain.state import JobState, Outcome
from farm.ports import TaskFilter
from farm.service.attempts import DETAIL_NAMES, attempts_of, keep_chunks, keep_rest
from tests.unit.service.test_farm import World


def test_every_attempt_is_told_once_whether_its_row_is_still_there_or_not() -> None:
    world = World(window=3)
    job = world.submit()
    world.run()
    assert world.farm.status(job).state is JobState.COMPLETED
    there = {task.id for task in world.farm.tasks(job, TaskFilter(), limit=1000)}
    assert set(world.ran) > there
    for _ in range(2):  # what was left is written down when the job ends, and still told once
        assert Counter(attempt.task for attempt in attempts_of(job, world.ledger, world.blobs)) == Counter(world.ran)
        keep_rest(job, world.ledger, world.blobs)


def test_what_the_store_was_told_is_there_without_a_ledger() -> None:
    world = World(window=3)
    job = world.submit()
    world.run()
    keep_rest(job, world.ledger, world.blobs)
    told = attempts_of(job, MemoryLedger(), world.blobs)
    assert Counter(attempt.task for attempt in told) == Counter(world.ran)


def test_an_attempt_that_ended_badly_says_who_when_and_why() -> None:
    world = World()
    job = world.submit()
    lease = world.ledger.claim("w", ["cpu"], None, 15)
    assert lease is not None
    world.ledger.fail(lease, Outcome.ERROR, "no such file", 0)
    world.run()
    bad, good = (attempt for attempt in attempts_of(job, world.ledger, world.blobs) if attempt.task == lease.task)
    assert (bad.worker, bad.outcome, bad.error) == ("w", "error", "no such file")
    assert good.ok
    assert bad.started <= bad.ended <= good.started


def test_all_detail_tasks_of_a_large_chunk_are_kept() -> None:
    world = World()
    world.details = 2 * DETAIL_NAMES + 3
    job = world.submit()
    world.run(most=60)
    keep_chunks(job, [0], world.ledger, world.blobs)
    world.ledger.forget(job)
    kept = [attempt.task for attempt in attempts_of(job, world.ledger, world.blobs)]
    assert len(kept) == len(set(kept)) > DETAIL_NAMES / 2
