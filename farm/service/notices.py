"""Who must be told of what happened, and how far that is: notices wait in the store until they are sent or given up.

A notice is in the store before the log's bookmark moves on, and leaves it after it was sent: a sender that dies loses
nothing, and what it had sent in its last moment may be sent again, under the same id.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from farm.domain import keys
from farm.domain.events import Event, known_kinds
from farm.domain.job import Job
from farm.domain.notices import MAIL_KINDS, OWN, Delivery, Webhook, delivery_id, is_address
from farm.errors import NotFound
from farm.ports import Blobs, Ledger
from farm.service.documents import Documents

BOOKMARK = "notices"
PAGE = 500
"""Events that are looked at together."""
LATEST = 50
"""Notices of a job that were sent, and as many that were given up, that are remembered in full."""
WAITING_MAX = 5000
"""Notices that may wait at once; more are given up: their receiver has been away for long."""
JOBS = 1000
"""Jobs of which it is remembered who wants to hear of them."""
REPEATED = ("job.completed", "job.failed", "job.canceled")
"""Kinds that a recovered job tells again, though it is no news."""


class Notices(BaseModel):
    """What became of a job's notices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent: int = 0
    dead: int = 0
    """Given up after many attempts."""
    latest_sent: tuple[Delivery, ...] = ()
    latest_dead: tuple[Delivery, ...] = ()

    def with_one(self, delivery: Delivery) -> Notices:
        """With one more; the newest first."""
        name = "sent" if delivery.state == "sent" else "dead"
        known: tuple[Delivery, ...] = getattr(self, f"latest_{name}")
        others = tuple(one for one in known if one.id != delivery.id)
        # One that is sent a second time, since nobody knew of the first, is counted once.
        count = getattr(self, name) + (len(others) == len(known))
        return self.model_copy(update={name: count, f"latest_{name}": (delivery, *others)[:LATEST]})


@dataclass(frozen=True)
class FarmWide:
    """What the farm's settings ask for."""

    webhook: Webhook | None = None
    mails: bool = False
    """Whether mails can be sent."""


def noted(job_id: str, blobs: Blobs) -> Notices:
    """What became of a job's notices; "": of those that are no job's."""
    try:
        return Notices.model_validate_json(blobs.get(keys.notices(job_id)))
    except NotFound:
        return Notices()


def waiting(blobs: Blobs, job_id: str | None = None) -> Iterator[Delivery]:
    """Notices on their way, of all jobs or of one; oldest first for each job."""
    for name in blobs.list(keys.waiting_notices(job_id)):
        try:
            yield Delivery.model_validate_json(blobs.get(name))
        except NotFound:
            continue  # sent meanwhile


class Outbox:
    """Turns events into notices, and keeps them. For one thread of one elected process."""

    def __init__(self, blobs: Blobs, ledger: Ledger, documents: Documents, farm_wide: FarmWide) -> None:
        self._blobs = blobs
        self._ledger = ledger
        self._documents = documents
        self._farm_wide = farm_wide
        self._jobs: OrderedDict[str, Job | None] = OrderedDict()
        self._waiting: dict[str, Delivery] | None = None

    def resign(self) -> None:
        """Another process is elected: what it does must be read anew if this one ever is again."""
        self._waiting = None

    def waiting(self) -> dict[str, Delivery]:
        """Notices on their way, by name of their object."""
        if self._waiting is None:
            self._waiting = {_name(delivery): delivery for delivery in waiting(self._blobs)}
        return self._waiting

    def collect(self, now: float) -> int:
        """Look at what happened since the last time; the number of events.

        Args:
            now: seconds since 1970.
        """
        known = self._ledger.bookmark(BOOKMARK)
        page = self._ledger.events(known, PAGE)
        if known and not page.knows(known):
            # Redis was wiped, or nobody has sent anything for as long as events are kept.
            page = self._ledger.events("", PAGE)
        for event in page.events:
            for delivery in self._deliveries(event, now):
                self._add(delivery)
        if page.events:
            self._ledger.keep_bookmark(BOOKMARK, page.events[-1].id)
        return len(page.events)

    def _add(self, delivery: Delivery) -> None:
        if len(self.waiting()) >= WAITING_MAX:
            self._record(delivery.model_copy(update={"state": "dead"}))
            return
        self._keep(delivery)

    def settle(self, delivery: Delivery) -> None:
        """Note how an attempt ended."""
        if delivery.state == "waiting":
            self._keep(delivery)
            return
        self._record(delivery)
        self._blobs.delete([_name(delivery)])
        self.waiting().pop(_name(delivery), None)
        told: dict[str, object] = {"kind": delivery.kind, "by": delivery.by, "to": delivery.to}
        told |= {"notice": delivery.id, "attempts": len(delivery.attempts)}
        if delivery.state == "dead":
            told["error"] = delivery.attempts[-1].error
        self._ledger.announce(f"notice.{'sent' if delivery.state == 'sent' else 'failed'}", delivery.job, told)

    def _keep(self, delivery: Delivery) -> None:
        name = _name(delivery)
        self._blobs.put(name, delivery.model_dump_json().encode(), "application/json")
        self.waiting()[name] = delivery

    def _record(self, delivery: Delivery) -> None:
        record = noted(delivery.job, self._blobs).with_one(delivery)
        self._blobs.put(keys.notices(delivery.job), record.model_dump_json().encode(), "application/json")

    def _deliveries(self, event: Event, now: float) -> Iterator[Delivery]:
        if event.kind.startswith(OWN) or (event.kind in REPEATED and event.data.get("recovered")):
            return
        wide = self._farm_wide.webhook
        if wide is not None and event.kind in known_kinds(wide.kinds):
            yield _delivery(event, now, "webhook", wide.to, "farm")
        job = self._job(event.job) if event.job else None
        if job is None:
            return
        if job.webhook is not None and event.kind in known_kinds(job.webhook.kinds):
            yield _delivery(event, now, "webhook", job.webhook.to, "job")
        if self._farm_wide.mails and event.kind in MAIL_KINDS:
            for address in job.notify or ((job.user,) if is_address(job.user) else ()):
                yield _delivery(event, now, "mail", address, "job")

    def _job(self, job_id: str) -> Job | None:
        """Of a job that was removed, nobody is told."""
        if job_id not in self._jobs:
            try:
                self._jobs[job_id] = self._documents.job(job_id)
            except NotFound:
                self._jobs[job_id] = None
            while len(self._jobs) > JOBS:
                self._jobs.popitem(last=False)
        self._jobs.move_to_end(job_id)
        return self._jobs[job_id]


def _delivery(event: Event, now: float, by: str, to: str, of: str) -> Delivery:
    return Delivery.model_validate(
        {
            "id": delivery_id(event, f"{of} {by}", to),
            "job": event.job,
            "kind": event.kind,
            "event": event.id,
            "time": event.at,
            "data": json.loads(json.dumps(dict(event.data))),
            "by": by,
            "to": to,
            "of": of,
            "due": now,
        }
    )


def _name(delivery: Delivery) -> str:
    return keys.waiting_notice(delivery.job, delivery.id)
