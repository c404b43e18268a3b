"""Ledger and broker behind Sentinels: real servers, a real failover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from farm.adapters.celery_queue import CeleryQueue, make_app
from farm.adapters.redis_ledger import RedisLedger
from farm.errors import Unavailable
from farm.ports import Offer
from tests.contract.ledger_world import CPU, TTL_S, chunk_tasks, job_facts
from tests.sentinels import PASSWORD, Watched, watched

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("sentinels")) as found:
        yield found


def waiting(servers: Watched) -> int:
    """Messages on the queue of CPU tasks, as a worker's own connection sees them."""
    app = make_app(servers.url)
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        return int(channel.queue_declare(CPU).message_count)


def test_wrong_passwords_are_said_without_being_shown(servers: Watched) -> None:
    ledger = RedisLedger(servers.url.replace("p%40ss", "guess"), patience_s=600)
    with pytest.raises(Unavailable, match="password") as caught:
        ledger.ping()
    assert "guess" not in str(caught.value)
    ledger.close()


def test_what_was_done_is_there_after_the_primary_is_lost_and_work_goes_on(servers: Watched) -> None:
    ledger = RedisLedger(servers.url, patience_s=60.0)
    queue = CeleryQueue(make_app(servers.url))
    ledger.create(job_facts(chunks=2))
    offers = ledger.extend("job", [task for n in range(2) for task in chunk_tasks(n)], 2)
    queue.send(offers)
    assert waiting(servers) == len(offers) == 2
    lease = ledger.claim("w1", [CPU], None, TTL_S)
    assert lease is not None
    before = servers.primary()
    servers.await_replica()
    servers.kill(before)
    # The same client, which is patient: it asks the Sentinels until they name another.
    assert ledger.finish(lease, "plan").accepted
    assert servers.primary() != before
    assert ledger.status("job").counts
    queue.send([Offer("job", "plan.1", "plan", CPU)])
    assert waiting(servers) >= 1
    # The one that was lost comes back as a replica: nobody takes it for the primary.
    servers.start_server(before)
    again = RedisLedger(servers.url, patience_s=60.0)
    assert again.claim("w2", [CPU], None, TTL_S) is not None
    for one in (ledger, again):
        assert PASSWORD not in repr(one)
        one.close()


def test_no_sentinel_at_home_is_said_with_their_addresses() -> None:
    ledger = RedisLedger("sentinel://:secret@127.0.0.1:1,127.0.0.1:2/0?master=x")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1,127\.0\.0\.1:2") as caught:
        ledger.ping()
    assert "secret" not in str(caught.value)
    ledger.close()
