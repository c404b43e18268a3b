"""A user of Redis's with no more rights than the documentation says can run a farm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from farm.adapters.celery_queue import CeleryQueue, make_app
from farm.adapters.redis_ledger import RedisLedger
from farm.cli.checks_servers import check_redis
from farm.cli.findings import Verdict
from farm.domain.state import Outcome
from farm.errors import Unavailable
from farm.ports import Offer, WorkerStatus
from farm.settings import Settings
from tests.contract.ledger_world import CPU, TTL_S, chunk_tasks, job_facts

pytestmark = pytest.mark.servers
PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis-and-s3.md"


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    """The address for the documented user."""
    found = re.search(r"^ACL SETUSER (\w+) on >password (.*)$", PAGE.read_text(), re.M)
    assert found
    parts = urlsplit(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", found[1], "on", ">pass%word", *found[2].split())
        yield parts._replace(netloc=f"{found[1]}:pass%25word@127.0.0.1:{parts.port}").geturl()
        client.execute_command("ACL", "DELUSER", found[1])


def test_ledger_broker_and_doctor_work_with_the_documented_rights(url: str) -> None:
    ledger = RedisLedger(url)
    queue = CeleryQueue(make_app(url), ledger.alive)
    ledger.ping()
    ledger.create(job_facts(chunks=2))
    queue.send(ledger.extend("job", [task for n in range(2) for task in chunk_tasks(n)], 2))
    ledger.beat(WorkerStatus("w1", "host", 1, (CPU,), "cpu", 0), 60)
    first, second = (ledger.claim("w1", [CPU], Offer("job", f"plan.{n}", "plan", CPU), TTL_S) for n in range(2))
    assert first is not None
    assert second is not None
    assert ledger.renew([first, second], TTL_S) == ("ok", "ok")
    assert ledger.finish(first, "x").accepted
    assert ledger.fail(second, Outcome.ERROR, "no", 5).accepted
    ledger.sweep(10)
    ledger.tally({"a": 1})
    assert ledger.queues()
    assert ledger.tallied() == {"a": 1}
    assert ledger.workers()
    ledger.act("job", "pause", "", "ann")
    ledger.forget("job")
    ledger.close()
    assert all(found.verdict is not Verdict.BAD for found in check_redis(Settings.read(redis_url=url)))


def test_it_has_no_other_rights(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for command in (["FLUSHALL"], ["CONFIG", "SET", "maxmemory", "1"], ["SET", "other:key", "1"], ["KEYS", "*"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_a_user_without_rights_is_told_so(url: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "farm", "-@scripting")
    ledger = RedisLedger(url)
    with pytest.raises(Unavailable, match="user"):
        ledger.create(job_facts())
    ledger.close()
