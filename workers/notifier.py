"""The notifier: inside every worker that serves the CPU queue, one of them elected. Sends webhooks and mails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog

from farm.adapters import mailer, webhook
from farm.adapters.mailer import Mail
from farm.adapters.pictures import decode_rgb
from farm.domain import keys
from farm.domain.notices import (
    ERROR_MAX,
    Attempted,
    Delivery,
    Webhook,
    WebhookTarget,
    is_address,
    shown,
    signature,
)
from farm.errors import FarmError, Rejected
from farm.service.farm import Farm
from farm.service.notices import PAGE, FarmWide, Outbox
from farm.settings import Settings
from workers.loops import Loop

log = structlog.get_logger()
ELECTED_S = 60.0
"""Seconds for which one process is elected: longer than any sending takes."""
AT_ONCE = 4
"""Notices that are sent side by side."""
BATCH = 32
"""Notices that one turn sends."""
SAID = {
    "job.completed": "has completed",
    "job.failed": "has failed",
    "approval.wanted": "waits for your approval",
}


class Notifier:
    """Turns events into notices, and sends those that are due."""

    def __init__(
        self, worker: str, farm: Farm, settings: Settings, every_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            every_s: seconds between two turns.   clock: seconds since 1970.
        """
        self._worker = worker
        self._farm = farm
        self._settings = settings
        self._clock = clock
        wide, url = None, settings.webhook_url
        if url is not None:
            signed = settings.webhook_secret is not None
            wide = Webhook(to=shown(url), kinds=settings.webhook_kinds, signed=signed)
        self.outbox = Outbox(farm.blobs, farm.ledger, farm.documents, FarmWide(wide, settings.mails))
        self._loop = Loop("notifier", self.turn, every_s)

    def start(self) -> None:
        """Start."""
        self._loop.start()

    def stop(self) -> None:
        """End it; what was not sent is sent by another worker."""
        self._loop.stop(wait_s=5)

    def turn(self) -> None:
        """Look at what happened, and send what is due, if this process is elected."""
        if self._farm.ledger.remember("notifier", self._worker, ELECTED_S) != self._worker:
            self.outbox.resign()
            return
        # What happens meanwhile is for the next turn: on a busy farm there is always something more.
        while self.outbox.collect(self._clock()) >= PAGE:
            pass
        now = self._clock()
        due = sorted((one for one in self.outbox.waiting().values() if one.due <= now), key=lambda one: one.due)
        if not due:
            return
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notice") as pool:
            for delivery, attempt in [(one, pool.submit(self._attempt, one)) for one in due[:BATCH]]:
                unforeseen = attempt.exception()
                error = Attempted(at=now, error=repr(unforeseen)[:ERROR_MAX])
                ended = delivery.after(error) if unforeseen else attempt.result()
                log.info("notice", notice=ended.id, job=ended.job, kind=ended.kind, state=ended.state)
                self.outbox.settle(ended)

    def _attempt(self, delivery: Delivery) -> Delivery:
        """Try once; the delivery as it stands then."""
        error, hopeless = "", False
        try:
            (self._post if delivery.by == "webhook" else self._mail)(delivery)
        except Rejected as refused:
            error, hopeless = str(refused)[:ERROR_MAX], True
        except FarmError as failed:
            error = str(failed)[:ERROR_MAX]
        return delivery.after(Attempted(at=self._clock(), error=error), hopeless=hopeless)

    def _post(self, delivery: Delivery) -> None:
        target = self._target(delivery)
        body = json.dumps(
            {
                "id": delivery.event,
                "time": datetime.fromtimestamp(delivery.time, UTC).isoformat(timespec="milliseconds"),
                "kind": delivery.kind,
                "job": delivery.job,
                "data": delivery.data,
                "page": self._page(delivery.job),
            }
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "detail-farm",
            "Farm-Event": delivery.kind,
            "Farm-Delivery": delivery.id,
        }
        if target.secret:
            headers["Farm-Signature"] = signature(target.secret, int(self._clock()), body)
        webhook.post(target.url, headers, body, self._settings.webhook_networks)

    def _target(self, delivery: Delivery) -> WebhookTarget:
        """Raises Rejected where nobody is to be told any more."""
        if delivery.of == "farm":
            if self._settings.webhook_url is None:
                raise Rejected("The farm has no webhook any more (FARM_WEBHOOK_URL).")
            return WebhookTarget(url=self._settings.webhook_url, secret=self._settings.webhook_secret)
        return WebhookTarget.model_validate_json(self._farm.blobs.get(keys.webhook_target(delivery.job)))

    def _mail(self, delivery: Delivery) -> None:
        if self._settings.smtp_url is None or self._settings.mail_from is None:
            raise Rejected("The farm sends no mails any more (FARM_SMTP_URL, FARM_MAIL_FROM).")
        if not is_address(delivery.to):
            raise Rejected(f"{delivery.to[:80]!r} is no mail address.")
        mail = self._composed(delivery)
        mailer.send(mailer.composed(mail, self._settings.mail_from), self._settings.smtp_url)

    def _composed(self, delivery: Delivery) -> Mail:
        job = self._farm.document(delivery.job)
        said = SAID.get(delivery.kind, delivery.kind)
        name = job.name or job.id
        lines = [f"Job {name} ({job.id}) {said}."]
        if delivery.kind == "approval.wanted":
            lines.append(f"{delivery.data.get('chunks_done', 0)} of its chunks are done, every {job.approve_every}th.")
            lines.append(f"Look at their frames on its page, then press Approve, or: farm job approve {job.id}")
        else:
            lines.append(f"{delivery.data.get('frames_done', 0)} of {job.frames} frames are final.")
        if delivery.kind == "job.failed":
            lines.append(f"What failed, and why: farm job tasks {job.id} --state failed")
        return Mail(
            to=delivery.to,
            subject=f"{name} {said}",
            lines=tuple(lines),
            link=self._page(job.id),
            message_id=delivery.id,
            poster=self._poster(job.id),
        )

    def _poster(self, job_id: str) -> bytes | None:
        """A final frame, if there is one; a mail is sent without it rather than not at all."""
        try:
            chunk = next(iter(self._farm.blobs.list(keys.chunk_prefix(job_id))), None)
            frames = json.loads(self._farm.blobs.get(chunk)).get("frames", ()) if chunk else ()
            name = next((str(frame["object"]) for frame in frames if frame["variation"] == 0), None)
            if name is None:
                return None
            return mailer.poster(decode_rgb(self._farm.blobs.get(name), self._settings.max_pixels))
        except FarmError as error:
            log.warning("no_poster", job=job_id, error=str(error))
            return None

    def _page(self, job_id: str) -> str:
        base = (self._settings.public_url or self._settings.url).rstrip("/")
        return f"{base}/jobs/{job_id}" if job_id else base
