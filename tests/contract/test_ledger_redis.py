"""What only a real server can do to the ledger: fall silent, come back, be wiped, full, a replica, out of reach."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from farm.adapters.daemon import free_port
from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.servers import EmbeddedRedis
from farm.domain.state import JobState, TaskState
from farm.errors import Rejected, Unavailable
from tests.contract.ledger_world import ALL, TTL_S, WRAP, HandClock, World, chunk_tasks, detail
from tests.servers import running

pytestmark = pytest.mark.servers


@pytest.fixture
def world(redis_url: str) -> Iterator[World]:
    """A ledger by the server's own clock."""
    ledger = RedisLedger(redis_url)
    yield World(ledger, HandClock())
    ledger.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may stop."""
    server = EmbeddedRedis(tmp_path, port=free_port())
    with running(server):
        yield server


def test_the_servers_own_time_is_used(world: World, redis_url: str) -> None:
    world.open(chunks=1)
    world.run_all()
    world.ledger.extend("job", [WRAP], 1)
    world.do("wrap.0")
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()
    status = world.ledger.status("job")
    assert status.started is not None
    assert status.ended is not None
    assert seconds - 300 < status.started <= status.ended < seconds + 1


def test_scripts_that_the_server_forgot_are_sent_again(world: World, redis_url: str) -> None:
    world.open(chunks=1)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    assert len(world.run_all()) == 5


def test_every_key_of_a_job_goes_with_it(world: World, redis_url: str) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0), detail(0, 1)])
    world.take("detail.0.0")
    world.ledger.forget("job")
    with redis.Redis.from_url(redis_url) as client:
        left = [b"farm:events", b"farm:events-floor", b"farm:fence", b"farm:incarnation"]
        assert sorted(client.keys("farm:*")) == left


def test_two_farms_can_share_a_server(world: World, redis_url: str) -> None:
    other = RedisLedger(redis_url, prefix="other:")
    world.open(chunks=1)
    assert other.jobs() == ()
    assert other.claim("w1", ALL, None, TTL_S) is None
    other.close()


def test_many_tasks_are_added_at_once(world: World) -> None:
    world.open(chunks=1)
    offers = world.do("plan.0", [detail(0, k) for k in range(9_000)]).offers
    assert len(offers) == 9_000
    assert world.ledger.status("job").counts[TaskState.QUEUED] == 9_000
    assert len(world.ledger.outputs("job", [f"detail.0.{k}" for k in range(9_000)])) == 0
    assert world.ledger.act("job", "cancel", "", "").state is JobState.CANCELED


def test_text_in_any_script_comes_back_as_it_was(world: World) -> None:
    world.open(chunks=1)
    world.ledger.finish(world.take("plan.0", worker="wörker 1 ☂"), 'naïve "output" \\ 🙂')
    assert world.ledger.outputs("job", ["plan.0"]) == {"plan.0": 'naïve "output" \\ 🙂'}
    assert world.ledger.act("job", "pause", "日本", "ändré").activity == "paused by ändré: 日本"


def test_a_zombie_of_a_wiped_ledger_is_refused(world: World, redis_url: str) -> None:
    world.open(chunks=1)
    zombie = world.take("plan.0")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert not world.ledger.finish(zombie, "from another life").accepted
    world.open(chunks=1)
    heir = world.take("plan.0")
    assert heir.fence != zombie.fence
    assert heir.fence.rpartition("-")[2] == zombie.fence.rpartition("-")[2], "only the incarnation tells them apart"
    assert world.ledger.renew([zombie, heir], TTL_S) == ("lost", "ok")
    assert not world.ledger.finish(zombie, "from another life").accepted


def test_a_zombie_of_what_a_power_cut_took_back_is_refused(world: World, redis_url: str) -> None:
    """The last second of a server's file, or of a primary's replica, may be lost: with it claims, and their numbers."""
    world.open(chunks=2)
    world.do("plan.0")
    with redis.Redis.from_url(redis_url) as client:
        kept = {name: client.dump(name) for name in client.keys("farm:*")}
        zombie = world.take("plan.1", worker="before")
        client.flushall()
        for name, value in kept.items():
            client.restore(name, 0, value)
    heir = world.take("plan.1", worker="after")
    assert heir.fence != zombie.fence
    assert world.ledger.renew([zombie, heir], TTL_S) == ("lost", "ok")
    assert not world.ledger.finish(zombie, "from a time that never was").accepted
    assert world.ledger.finish(heir, "x").accepted


def test_a_claim_whose_answer_was_lost_gives_the_same_lease_when_it_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open(chunks=2)
    other = world.claim(worker="w1")
    with monkeypatch.context() as sent_twice:
        sent_twice.setattr("farm.adapters.redis_ledger.ledger.secrets.token_hex", lambda _: "abcdef12")
        first, again = world.claim(worker="w1"), world.claim(worker="w1")
    assert other is not None
    assert first is not None
    assert first == again != other
    assert world.ledger.status("job").counts[TaskState.ACTIVE] == 2
    assert world.ledger.finish(first, "x").accepted


def test_a_restarted_server_has_everything(own_server: EmbeddedRedis) -> None:
    ledger = RedisLedger(own_server.url)
    world = World(ledger, HandClock())
    world.open(chunks=2)
    lease = world.take("plan.0")
    before = ledger.status("job")
    own_server.stop()
    with pytest.raises(Unavailable, match="cannot be reached"):
        ledger.status("job")
    own_server.start()
    assert ledger.status("job") == before
    assert ledger.finish(lease, "x").accepted
    assert len(world.run_all()) == 7
    ledger.close()


def test_a_patient_ledger_rides_out_a_restart(own_server: EmbeddedRedis) -> None:
    ledger = RedisLedger(own_server.url, patience_s=120)
    world = World(ledger, HandClock())
    world.open(chunks=1)
    own_server.stop()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ledger.status, "job")
        time.sleep(0.5)  # long enough for some tries in vain; none is needed for the test to pass
        # Started here: the server ends with the thread that started it.
        own_server.start()
        assert answer.result().state is JobState.QUEUED
    assert len(world.run_all()) == 5
    ledger.close()


def test_a_server_that_hangs_is_told_from_one_that_is_gone(own_server: EmbeddedRedis) -> None:
    ledger = RedisLedger(own_server.url, answer_s=0.2)
    ledger.ping()
    pid = own_server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="did not answer"):
            ledger.ping()
    finally:
        os.kill(pid, signal.SIGCONT)
    ledger.ping()
    ledger.close()


def test_a_full_server_takes_nothing_new_and_lets_what_was_begun_end(own_server: EmbeddedRedis) -> None:
    ledger = RedisLedger(own_server.url)
    world = World(ledger, HandClock())
    world.open(chunks=1)
    with redis.Redis.from_url(own_server.url) as admin:
        admin.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match="maxmemory"):
            world.open("other", chunks=1)
        with pytest.raises(Unavailable, match="maxmemory"):
            ledger.extend("job", chunk_tasks(1), 2)
        assert ledger.chunk_states("job", [0, 1]) == {0: "open"}
        lease = world.take("plan.0")
        assert ledger.progress(lease, 1, 2) == "ok"
        assert ledger.renew([lease], TTL_S) == ("ok",)
        assert ledger.finish(lease, "x").accepted
        assert ledger.sweep(0.0).jobs == ("job",)
        assert len(world.run_all()) == 2
        ledger.drop("job", [0])
        assert world.states() == {}
        admin.config_set("maxmemory", 0)
    assert ledger.status("job").chunks_done == 1
    ledger.close()


def test_a_replica_is_no_place_for_a_ledger(own_server: EmbeddedRedis) -> None:
    ledger = RedisLedger(own_server.url)
    world = World(ledger, HandClock())
    world.open(chunks=1)
    with redis.Redis.from_url(own_server.url) as admin:
        admin.config_set("replica-serve-stale-data", "yes")
        admin.replicaof("127.0.0.1", "1")
        with pytest.raises(Unavailable, match="read-only replica"):
            world.claim()
        admin.replicaof("NO", "ONE")
    assert world.claim() is not None
    ledger.close()


def test_a_wrong_password_is_said_at_once(redis_url: str) -> None:
    wrong = redis_url.replace(redis_url.split(":")[2].split("@")[0], "guess")
    ledger = RedisLedger(wrong, patience_s=600)
    with pytest.raises(Unavailable, match="password") as caught:
        ledger.ping()
    assert "guess" not in str(caught.value)
    ledger.close()


def test_nobody_at_home_is_said_with_the_address_and_without_the_password() -> None:
    ledger = RedisLedger("redis://:secret@127.0.0.1:1/0")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as caught:
        ledger.ping()
    assert "secret" not in str(caught.value)
    ledger.close()


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(Rejected, match="proxy"):
        RedisLedger("sentinel://host:26379/0")
