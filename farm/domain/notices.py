"""Who is told of what happens: webhooks and mails, as a job asks for them and as a farm does. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from farm.domain.events import Event, known_kinds
from farm.errors import Rejected

DEFAULT_KINDS = ("job.completed", "job.failed", "job.canceled", "approval.wanted")
"""What a webhook hears of that asks for nothing else."""
MAIL_KINDS = ("job.completed", "job.failed", "approval.wanted")
"""What mails are sent for."""
OWN = "notice."
"""Begins the kinds of events that tell of notices: nobody is told of these, or there would be no end."""
TRIES = 15
"""Attempts at a notice; with the waits between them some fourteen hours."""
FIRST_WAIT_S = 5.0
"""Seconds before the second attempt; doubled for each one after it."""
LONGEST_WAIT_S = 4 * 3600.0
ERROR_MAX = 300
"""Characters of an attempt's error that are kept."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")

Kinds = Annotated[tuple[str, ...], Field(max_length=40)]


class WebhookRequest(BaseModel):
    """Where a job's events are sent to."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: Annotated[str, Field(max_length=2000, examples=["https://pipeline.example/hooks/farm"])]
    """`https://…` or `http://…`, on the public network unless the farm's operator allows others. Each event is one
    POST."""
    secret: Annotated[str | None, Field(repr=False)] = None
    """Signs what is sent (HMAC-SHA256, header `Farm-Signature`). 16 to 256 characters. Never shown again."""
    kinds: Kinds = DEFAULT_KINDS
    """Kinds of events; `job` stands for all that begin with `job.`."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str) -> str:
        try:
            check_url(url)
        except Rejected as error:
            raise ValueError(str(error)) from None
        return url

    @field_validator("secret")
    @classmethod
    def _is_long(cls, secret: str | None) -> str | None:
        if secret is not None and not 16 <= len(secret) <= 256:
            raise ValueError("the secret must have 16 to 256 characters.")
        return secret

    @field_validator("kinds")
    @classmethod
    def _are_known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        try:
            found = known_kinds(kinds)
        except Rejected as error:
            raise ValueError(str(error)) from None
        if any(kind.startswith(OWN) for kind in found):
            raise ValueError("`notice` events tell of notices themselves; they are in the event stream only.")
        return kinds


class Webhook(BaseModel):
    """Where a job's events are sent to, as everybody may see it. Address and secret lie apart in the store, since an
    address is often a secret itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str
    """Scheme and host of the address."""
    kinds: Kinds
    signed: bool = False
    """Whether there is a secret."""


class WebhookTarget(BaseModel):
    """What is needed to send: kept where no route reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(repr=False)]
    secret: Annotated[str | None, Field(repr=False)] = None


class Attempted(BaseModel):
    """One attempt to deliver a notice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    """Seconds since 1970."""
    error: str = ""
    """Why it failed; "": it did not."""


class Delivery(BaseModel):
    """A notice on its way, or how that ended. One object of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The same in every attempt: who receives it twice can tell."""
    job: str = ""
    kind: str
    event: str
    """Id of the event."""
    time: float
    """Of the event, seconds since 1970."""
    data: dict[str, object]
    """Of the event."""
    by: Literal["webhook", "mail"]
    to: str
    """Mail address, or scheme and host of the webhook."""
    of: Literal["job", "farm"] = "job"
    """Who asked for it: that decides which secret signs it."""
    state: Literal["waiting", "sent", "dead"] = "waiting"
    attempts: tuple[Attempted, ...] = ()
    due: float = 0.0
    """When the next attempt may begin, seconds since 1970."""

    def after(self, attempt: Attempted, *, hopeless: bool = False) -> Delivery:
        """As it stands after an attempt; `hopeless`: another one would end the same."""
        attempts = (*self.attempts, attempt)
        if not attempt.error:
            return self.model_copy(update={"attempts": attempts, "state": "sent"})
        if hopeless or len(attempts) >= TRIES:
            return self.model_copy(update={"attempts": attempts, "state": "dead"})
        return self.model_copy(update={"attempts": attempts, "due": attempt.at + wait_s(len(attempts))})


def wait_s(attempts: int) -> float:
    """Seconds until the next attempt, after so many."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempts - 1)))


def delivery_id(event: Event, by: str, to: str) -> str:
    """The same for the same event and receiver, whoever works it out; sorts by event."""
    milliseconds, _, count = event.id.partition("-")
    digest = hashlib.sha256(f"{by} {to}".encode()).hexdigest()[:12]
    return f"{int(milliseconds):015d}-{int(count):06d}-{digest}"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The header `Farm-Signature`: `t=<seconds since 1970>,v1=<hex>`; what is signed is `<seconds>.<body>`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def check_url(url: str) -> None:
    """Raises Rejected for an address that cannot be a webhook's."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\]", url) or not url.isascii():
        raise Rejected(f"{url[:80]!r} cannot be a webhook. Give https://host/path, or http://, in plain letters.")
    if parts.username is not None or parts.password is not None:
        raise Rejected(
            "The webhook's address holds a user or a password. Leave them out; give a `secret`, and check the "
            "signature."
        )


def shown(url: str) -> str:
    """As much of an address as everybody may see."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def is_address(text: str) -> bool:
    """Whether mail can be sent there."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def check_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError for what is no address."""
    wrong = [text for text in addresses if not is_address(text)]
    if wrong:
        raise ValueError(f"{wrong[0][:80]!r} is no mail address, such as ann@example.org.")
    return addresses
