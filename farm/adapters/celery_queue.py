"""Offers to workers through Celery on Redis. Celery carries; what is done, and by whom, the ledger says."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.entity import Exchange
from kombu.entity import Queue as KombuQueue
from kombu.exceptions import BatchPublishError, OperationalError
from redis.exceptions import RedisError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from farm.adapters.redis_address import RedisAddress
from farm.domain.queues import QUEUES
from farm.errors import Rejected, Unavailable
from farm.ports import Offer

KEY_PREFIX = "farm:celery:"
"""Before every key of Celery's: two deployments that share a database need two prefixes, one deployment has one."""


PUBLISH_TIMEOUT_S = 10
"""Seconds after which a half-open connection is given up by whoever publishes."""

WAITING_MAX = 1000
"""Messages that wait in a queue before no more are sent, where nobody is alive to read them."""
WAITING_SPARE = 16
"""Messages that may wait in a queue besides two for each worker that is alive. Any message makes a worker claim the
best task there is, again and again for a minute: more messages than idle workers only fill Redis, and cost time."""
ROOM_S = 1.0
"""Seconds after which a sender looks again how many messages wait."""
FULL_S = 0.02
"""Seconds for which it is believed that a queue is full. Not longer: the messages may just have been taken by workers
that found nothing. Not shorter: many tasks end within that time, each with an offer for the same queue."""
ALIVE_S = 5.0
"""Seconds after which it asks again how many workers there are: a heartbeat."""

_UNREACHABLE = (OperationalError, BatchPublishError, RedisError)
"""What kombu, its batches and the client beneath raise."""


class UnknownQueue(Rejected):
    """An offer that no worker would ever see."""

    def __init__(self, offer: Offer) -> None:
        super().__init__(
            f"Task {offer.task} of job {offer.job} asks for the queue {offer.queue!r}; there are {', '.join(QUEUES)}. "
            f"Use the least GPU class that holds the task."
        )


def _queue(name: str) -> KombuQueue:
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]  # kombu is untyped
    return KombuQueue(name, exchange, routing_key=name)  # type: ignore[no-untyped-call]  # kombu is untyped


def make_app(redis_url: str) -> Celery:
    """The Celery application, the same for those who send and those who work. No connection is made yet."""
    broker = RedisAddress.read(redis_url).broker()
    app = Celery("farm", broker=broker.url, set_as_current=False)
    app.conf.update(
        broker_use_ssl=broker.tls,
        # The ledger holds results and states; a result key per task would cost 350 bytes each and nobody reads it.
        task_ignore_result=True,
        # JSON only: a message is names, and pickles run code.
        task_serializer="json",
        accept_content=["json"],
        # A queue that nobody declared is a typing error, not a new queue.
        task_create_missing_queues=False,
        # Each its own exchange and key: left out, Celery binds all of them to the default queue's.
        task_queues=[_queue(name) for name in QUEUES],
        task_default_queue="cpu",
        # A few connections are enough, and waiting for one must end: the API does not hang.
        broker_pool_limit=4,
        broker_pool_acquire_timeout=30,
        # Run for ever: Redis may start after us, restart, or fail over to a replica (READONLY is a channel error).
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # `CeleryQueue` tries again itself. kombu's own retry closes the producer's channel and gives it another, in the
        # middle of a batch: what comes of that is an AttributeError, at times only in the next thread that sends.
        task_publish_retry=False,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            # Our tasks return within a minute or keep their own lease: redelivery after an hour is only a last resort.
            "visibility_timeout": 3600,
            # One list per queue: priority is decided by the ledger, not by message order.
            "priority_steps": [0],
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            "socket_timeout": PUBLISH_TIMEOUT_S,
            "health_check_interval": 25,
            "client_name": "farm",
            # An offer that is not sent is sent again by the sweeper, so who connects to send it does not try for long.
            **{"max_retries": 3, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5},
            **broker.options,
        },
    )
    return app


@dataclass
class _Room:
    """How many messages a queue takes, as far as this process knows."""

    left: int
    until: float
    """When to look again, by the process's clock."""
    full_until: float = float("-inf")
    """Until then there is none."""


class CeleryQueue:
    """Sends offers as Celery messages."""

    def __init__(self, app: Celery, alive: Callable[[], int] | None = None) -> None:
        """
        Args:
            alive: how many workers there are; None: nobody knows.
        """
        self._app = app
        self._alive = alive or (lambda: 0)
        self._rooms: dict[str, _Room] = {}
        self._limit = WAITING_MAX
        self._counted = float("-inf")

    def send(self, offers: Sequence[Offer]) -> None:
        """Send each offer to its queue, by the name of its task: the sender needs no code of the workers. Where
        enough messages wait already, it is left out: who takes one of those finds this task too.

        An offer that is lost is offered again by the sweeper, one that arrives twice does no harm; so what became of a
        half-sent batch is not looked into.

        Raises:
            Rejected: an offer names a queue that no worker has.
            Unavailable: Redis cannot be reached.
        """
        for offer in offers:
            if offer.queue not in QUEUES:
                raise UnknownQueue(offer)
        offers = [offer for offer in offers if not self._full(offer.queue)]
        if not offers:
            return
        try:
            # Twice: a pooled connection may be one that a restarted server does not know any more.
            Retrying(stop=stop_after_attempt(2), retry=retry_if_exception_type(_UNREACHABLE), reraise=True)(
                self._send_all, offers
            )
        except _UNREACHABLE as error:
            seen = str(error.__cause__ or error).rstrip(".")
            raise Unavailable(
                f"Offers cannot be sent, Redis does not take them: {seen}. They are sent again when it does; check "
                f"FARM_REDIS_URL if it never did."
            ) from error

    def _full(self, queue: str) -> bool:
        room = self._rooms.get(queue)
        return room is not None and time.monotonic() < room.full_until

    def _send_all(self, offers: Sequence[Offer]) -> None:
        # One round trip for hundreds of messages: four times as fast as one each, and an API far away from its Redis
        # does not wait for each.
        with self._app.producer_or_acquire() as producer:
            taken = self._taken(offers, producer)
            if taken:
                with producer.batch():
                    for offer in taken:
                        self._send(offer, producer)

    def _taken(self, offers: Sequence[Offer], producer: Any) -> list[Offer]:  # noqa: ANN401 - kombu is untyped
        """The offers for which there is room in their queues; they are counted then."""
        found: list[Offer] = []
        for queue in dict.fromkeys(offer.queue for offer in offers):
            meant = [offer for offer in offers if offer.queue == queue]
            room = self._rooms.get(queue)
            if room is None or room.left < len(meant) or time.monotonic() >= room.until:
                # The list itself, by the connection that is there: kombu's own way to ask makes a client each time.
                waiting = producer.channel.client.llen(queue)
                room = self._rooms[queue] = _Room(self._most() - waiting, time.monotonic() + ROOM_S)
            if room.left <= 0:
                room.full_until = time.monotonic() + FULL_S
            found += meant[: max(0, room.left)]
            room.left -= len(meant)
        return found

    def _most(self) -> int:
        """Messages that may wait in a queue."""
        if time.monotonic() >= self._counted:
            alive = self._alive()
            self._limit = min(WAITING_MAX, WAITING_SPARE + 2 * alive) if alive else WAITING_MAX
            self._counted = time.monotonic() + ALIVE_S
        return self._limit

    def _send(self, offer: Offer, producer: object) -> None:
        self._app.send_task(
            f"farm.{offer.kind}",
            kwargs={"job": offer.job, "task": offer.task, "queue": offer.queue},
            queue=offer.queue,
            producer=producer,
            # A message stays below 1 kB: no second copy of the names for monitors, and a short id, which Celery writes
            # three times.
            task_id=secrets.token_hex(6),
            argsrepr="",
            kwargsrepr="",
        )
