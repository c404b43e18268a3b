"""What the ledger tells of what happens: all of it, once, in order, and bounded."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.redis_ledger import RedisLedger
from farm.domain.events import Event, position
from farm.domain.state import Outcome
from farm.errors import Rejected
from farm.ports import Ledger, WorkerStatus
from tests.contract.ledger_world import CPU, WRAP, HandClock, World, detail, job_facts

KEPT = 20
Small = tuple[Ledger, HandClock]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def small(request: pytest.FixtureRequest) -> Small:
    """A ledger that keeps few events."""
    clock = HandClock()
    if request.param == "memory":
        return MemoryLedger(clock, KEPT), clock
    return RedisLedger(request.getfixturevalue("redis_url"), clock=clock, events_kept=KEPT), clock


def told(world: World, after: str = "") -> list[str]:
    """Kinds of all events behind an id."""
    return [event.kind for event in world.ledger.events(after).events]


def only(world: World, kind: str) -> Event:
    """The one event of a kind."""
    (found,) = [event for event in world.ledger.events().events if event.kind == kind]
    return found


def test_a_jobs_way_is_told_in_the_order_in_which_it_went(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0)])
    world.do("detail.0.0")
    world.do("paste.0", frames=16)
    world.do("encode.0")
    world.ledger.extend("job", [WRAP], 1)
    world.do("wrap.0")
    assert told(world) == [
        "job.submitted",
        *("task.started", "job.started", "task.finished"),
        *("task.started", "task.finished"),
        *("task.started", "task.finished", "frames.finished"),
        *("task.started", "task.finished", "chunk.done"),
        *("task.started", "task.finished", "job.completed"),
    ]


def test_an_event_says_what_and_who(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0)])
    world.pass_time(7)
    lease = world.take("detail.0.0", worker="w7")
    world.ledger.finish(lease, "x", (), 0, 1.5)
    event = world.ledger.events().events[-1]
    assert (event.kind, event.job, event.at) == ("task.finished", "job", world.clock.now)
    own = {"task": "detail.0.0", "kind": "detail", "chunk": 0, "layer": "detail:face"}
    assert event.data == {**own, "worker": "w7", "attempt": 1, "seconds": 1.5}
    assert only(world, "job.submitted").data == {"name": "name of job", "user": "ann"}


def test_an_attempt_that_ends_badly_is_told_with_its_error(world: World) -> None:
    world.open(max_attempts=2)
    for retry_in in (5.0, 0.0):
        world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "a" + "ä" * 400, retry_in)
        world.pass_time(10)
        world.ledger.sweep(100)
    retried, failed = only(world, "task.retried"), only(world, "task.failed")
    # At most 300 bytes, never half a character.
    assert retried.data["error"] == failed.data["error"] == "a" + "ä" * 149
    assert (retried.data["outcome"], retried.data["attempt"]) == ("error", 1)
    assert "chunk.failed" in told(world)
    # What fell with it is told by its cause alone.
    assert told(world).count("task.failed") == 1


def test_what_people_decide_is_told_with_their_words(world: World) -> None:
    world.open()
    for action in ("pause", "resume", "cancel"):
        world.ledger.act("job", action, "so be it", "ann")
    found = [event for event in world.ledger.events().events if "activity" in event.data]
    assert [event.kind for event in found] == ["job.paused", "job.resumed", "job.canceling"]
    assert found[0].data["activity"] == "paused by ann: so be it"
    assert told(world)[-1] == "job.canceled"


def test_workers_that_come_and_go_are_told_once(world: World) -> None:
    worker = WorkerStatus("w1", "host", 1, (CPU,), "cuda:0", seen=0)
    for _ in range(3):
        world.ledger.beat(worker, 10)
        world.pass_time(5)
    world.pass_time(10)
    for _ in range(2):
        world.ledger.sweep(100)
    world.ledger.beat(worker, 10)
    assert told(world) == ["worker.joined", "worker.left", "worker.joined"]
    assert world.ledger.events().events[0].data == {"worker": "w1", "host": "host", "device": "cuda:0"}


def test_a_worker_that_is_blocked_is_told_when_it_is(world: World) -> None:
    world.open(chunks=4)
    for chunk in range(4):
        world.ledger.fail(world.take(f"plan.{chunk}"), Outcome.ERROR, "broken", 5.0)
    assert only(world, "worker.blocked").data == {"worker": "w1", "kind": "plan"}
    world.ledger.unblock("job", "w1", "mended", "ann")
    assert only(world, "worker.unblocked").data["worker"] == "w1"


def test_a_job_that_is_recovered_is_not_submitted_again(world: World) -> None:
    world.ledger.create(job_facts(chunks=1), [(0, 16)], recovered=True)
    world.ledger.extend("job", [WRAP._replace(output="manifest")], 1)
    assert told(world) == ["job.recovered", "job.completed"]
    assert only(world, "job.completed").data["recovered"] is True


def test_a_call_that_is_sent_twice_is_told_once(world: World) -> None:
    world.open()
    lease = world.take("plan.0")
    before = len(told(world))
    for _ in range(2):
        world.ledger.finish(lease, "output", [detail(0, 0)])
    assert told(world)[before:] == ["task.finished"]


def test_ids_grow_and_pages_join_without_a_gap(world: World) -> None:
    ids = [world.ledger.announce("notice.sent", "", {"n": n}) for n in range(25)]
    assert ids == sorted(set(ids), key=position)
    found, after = [], ""
    while page := world.ledger.events(after, 4).events:
        found += [event.id for event in page]
        after = page[-1].id
    assert found == ids
    assert world.ledger.events(ids[-1]).events == ()
    assert world.ledger.events().newest == ids[-1]


def test_who_waits_hears_at_once(world: World) -> None:
    first = world.ledger.announce("notice.sent", "", {})
    heard: list[str] = []

    def listen() -> None:
        while not heard:
            heard.extend(event.id for event in world.ledger.events(first, wait_s=1.0).events)

    listener = Thread(target=listen)
    listener.start()
    second = world.ledger.announce("notice.sent", "", {})
    listener.join(timeout=30)
    assert heard == [second]


def test_the_log_is_bounded_in_number_and_says_from_where_on_it_is_whole(small: Small) -> None:
    ledger, _ = small
    ids = [ledger.announce("notice.sent", "", {"n": n}) for n in range(50)]
    ledger.sweep(100)
    page = ledger.events()
    assert [event.id for event in page.events] == ids[-KEPT:]
    assert not page.knows(ids[-KEPT - 2])
    assert page.knows(ids[-KEPT])
    assert page.knows(ids[-1])


def test_the_log_is_bounded_in_age(small: Small) -> None:
    ledger, clock = small
    old = [ledger.announce("notice.sent", "", {}) for _ in range(5)]
    clock.now += 8 * 24 * 3600
    new = ledger.announce("notice.sent", "", {})
    ledger.sweep(100)
    page = ledger.events()
    assert [event.id for event in page.events] == [new]
    assert not page.knows(old[0])
    clock.now += 8 * 24 * 3600
    ledger.sweep(100)
    page = ledger.events()
    assert page.events == ()
    # Who has the last event has missed nothing, however long ago it was.
    assert page.knows(new)
    assert not page.knows(old[-1])


@pytest.mark.parametrize("after", ["x", "1", "1-2-3", "-1-1", "1-18446744073709551616"])
def test_what_is_no_id_is_refused(world: World, after: str) -> None:
    with pytest.raises(Rejected, match="not the id of an event"):
        world.ledger.events(after)


def test_a_bookmark_is_kept(world: World) -> None:
    assert world.ledger.bookmark("notices") == ""
    for value in ("1-1", "2-0"):
        world.ledger.keep_bookmark("notices", value)
        assert world.ledger.bookmark("notices") == value


@pytest.mark.servers
def test_a_server_that_was_wiped_knows_no_id_of_before(redis_url: str) -> None:
    ledger = RedisLedger(redis_url)
    before = ledger.announce("notice.sent", "", {})
    time.sleep(0.005)  # ids are told apart by the millisecond; no server forgets and answers within one
    ledger._connection.redis.flushall()
    assert not ledger.events(before).knows(before)
    after = ledger.announce("notice.sent", "", {})
    page = ledger.events(before)
    assert not page.knows(before)
    assert page.knows(after)
    ledger.close()
