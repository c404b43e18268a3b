"""Offers through Celery on a real Redis: each to its queue and no other, small, by name, and outages said."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery.app.defaults import NAMESPACES, flatten

from farm.adapters.celery_queue import KEY_PREFIX, WAITING_MAX, WAITING_SPARE, CeleryQueue, make_app
from farm.adapters.daemon import free_port
from farm.adapters.servers import EmbeddedRedis
from farm.domain.queues import QUEUES
from farm.errors import Rejected, Unavailable
from farm.ports import Offer
from tests.chaos.wire import FAIR, Weather, Wires
from tests.servers import running
from workers.app import make_worker_app

NOWHERE = "redis://127.0.0.1:1/0"
OFFER = Offer("20260101-000000-000-abcdef", "detail.120.13", "detail", "gpu.24")


def received(url: str, queue: str) -> list[dict[str, object]]:
    """What a worker of this queue would be given, in order."""
    found: list[dict[str, object]] = []
    app = make_app(url)

    def take(body: Sequence[dict[str, object]], message: object) -> None:
        found.append({"name": message.headers["task"], **body[1]})  # type: ignore[attr-defined]  # kombu is untyped
        message.ack()  # type: ignore[attr-defined]  # kombu is untyped

    with (
        redis.Redis.from_url(url) as client,
        app.connection_for_read() as connection,
        connection.Consumer(app.amqp.queues[queue], callbacks=[take], accept=["json"]),
    ):
        while client.llen(f"{KEY_PREFIX}{queue}"):
            connection.drain_events(timeout=10)
    return found


@pytest.mark.servers
def test_each_offer_reaches_its_queue_and_no_other(redis_url: str) -> None:
    queue = CeleryQueue(make_app(redis_url))
    queue.send([Offer("job", f"t.{name}", "detail", name) for name in QUEUES])
    for name in QUEUES:
        assert received(redis_url, name) == [{"name": "farm.detail", "job": "job", "task": f"t.{name}", "queue": name}]


@pytest.mark.servers
def test_offers_arrive_in_the_order_in_which_they_were_sent(redis_url: str) -> None:
    queue = CeleryQueue(make_app(redis_url))
    queue.send([])
    queue.send([Offer("job", f"plan.{n}", "plan", "cpu") for n in range(700)])
    queue.send([Offer("job", "wrap.0", "encode", "cpu")])
    assert [found["task"] for found in received(redis_url, "cpu")] == [*(f"plan.{n}" for n in range(700)), "wrap.0"]


@pytest.mark.servers
@pytest.mark.parametrize(("alive", "most"), [(0, WAITING_MAX), (3, WAITING_SPARE + 6), (10_000, WAITING_MAX)])
def test_a_queue_that_is_not_read_does_not_fill_redis(redis_url: str, alive: int, most: int) -> None:
    queue = CeleryQueue(make_app(redis_url), lambda: alive)
    for first in range(0, 2 * WAITING_MAX, 300):
        queue.send([Offer("job", f"plan.{n}", "plan", "cpu") for n in range(first, first + 300)])
    queue.send([OFFER])
    assert [found["task"] for found in received(redis_url, "cpu")] == [f"plan.{n}" for n in range(most)]
    assert len(received(redis_url, OFFER.queue)) == 1, "other queues are not held up"
    CeleryQueue(make_app(redis_url)).send([Offer("job", "wrap.0", "encode", "cpu")])
    assert len(received(redis_url, "cpu")) == 1, "there is room again"


@pytest.mark.servers
def test_a_message_is_small_and_nothing_else_is_left_in_redis(redis_url: str) -> None:
    CeleryQueue(make_app(redis_url)).send([OFFER])
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.lindex(f"{KEY_PREFIX}gpu.24", 0) or b"") < 1024
        assert all(key.startswith(KEY_PREFIX.encode()) for key in client.scan_iter())
        assert not list(client.scan_iter("*result*"))


def test_a_queue_that_no_worker_has_is_refused() -> None:
    queue = CeleryQueue(make_app(NOWHERE))
    with pytest.raises(Rejected, match=r"gpu\.7"):
        queue.send([OFFER, OFFER._replace(queue="gpu.7")])


def test_no_broker_is_said_with_what_to_check() -> None:
    queue = CeleryQueue(make_app(NOWHERE))
    for offers in ([OFFER], [OFFER] * 3):
        with pytest.raises(Unavailable, match="FARM_REDIS_URL"):
            queue.send(offers)


@pytest.mark.servers
def test_a_restarted_broker_takes_offers_at_once(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, port=free_port())
    with running(server):
        queue = CeleryQueue(make_app(server.url))
        queue.send([OFFER])
        server.stop()
        server.start()
        queue.send([OFFER])
        assert len(received(server.url, "gpu.24")) == 2


@pytest.mark.servers
@pytest.mark.slow
def test_a_way_that_breaks_off_all_the_time_is_said_to_every_thread(redis_url: str) -> None:
    with Wires(seed=1) as wires:
        at = urlsplit(redis_url)
        assert at.port
        wire = wires.lay("127.0.0.1", at.port)
        queue = CeleryQueue(make_app(at._replace(netloc=f":{at.password}@127.0.0.1:{wire.port}").geturl()))
        wire.weather = Weather(cuts=0.12)

        def send(_: int) -> Exception | None:
            try:
                queue.send([OFFER] * 3)
            except Unavailable:
                return None
            except Exception as error:  # noqa: BLE001 - what must not come
                return error
            return None

        with ThreadPoolExecutor(6) as threads:
            assert [error for error in threads.map(send, range(24)) if error] == []
        wire.weather = FAIR
        queue.send([OFFER])


@pytest.mark.servers
def test_a_full_broker_is_said(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    with running(server), redis.Redis.from_url(server.url) as admin:
        queue = CeleryQueue(make_app(server.url))
        admin.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match="maxmemory"):
            queue.send([OFFER])
        admin.config_set("maxmemory", 0)
        queue.send([OFFER])


def test_every_setting_is_one_that_celery_knows() -> None:
    known = {name for name, _ in flatten(NAMESPACES)}
    for app in (make_app(NOWHERE), make_worker_app(NOWHERE)):
        set_here = {name for name in app.conf.changes if name != "deprecated_settings"}
        assert set_here - known == set()


def test_who_publishes_gives_up_in_seconds_and_who_consumes_waits_for_ever() -> None:
    sender = make_app(NOWHERE).conf.broker_transport_options
    worker = make_worker_app(NOWHERE).conf.broker_transport_options
    assert sender["socket_timeout"] <= 10
    assert worker == sender | {"socket_timeout": None}
