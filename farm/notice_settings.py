"""The part of the settings that says who is told of what happens, and how."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from farm.domain.events import known_kinds
from farm.domain.notices import DEFAULT_KINDS, check_url, is_address
from farm.errors import Rejected


class NoticeSettings(BaseSettings):
    """Events, webhooks and mails."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    events_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 50_000
    """Events that Redis keeps at the most, and for a week at the longest: some 15 MB. A job of 20,000 frames has some
    20,000. Who comes back after more than that is told so."""

    public_url: str | None = None
    """Where people reach the API and its dashboard, for links in mails and webhooks. Not set: `FARM_URL`."""

    webhook_url: str | None = Field(default=None, repr=False)
    """Address that the events of all jobs, and of workers, are sent to."""

    webhook_secret: str | None = Field(default=None, repr=False, min_length=16)
    """Signs what is sent there."""

    webhook_kinds: Annotated[tuple[str, ...], NoDecode] = DEFAULT_KINDS
    """Kinds of events that are sent there, with commas; `job` stands for all that begin with `job.`."""

    webhook_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Networks besides the public one that webhooks may lead to, with commas: `10.1.0.0/16,127.0.0.1/32`. Without it
    private, loopback, link-local and metadata addresses are refused, whatever name they go by."""

    smtp_url: str | None = Field(default=None, repr=False)
    """Server that mails are handed to: `smtp://[user:password@]host[:587]` (encrypted if it offers that, and always
    where there is a password) or `smtps://…[:465]`. Not set: no mails."""

    mail_from: str | None = None
    """Sender of mails, such as `farm@example.org`. Needed for mails."""

    @field_validator("webhook_kinds", "webhook_networks", mode="before")
    @classmethod
    def _with_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_kinds")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            known_kinds(value)
        except Rejected as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("webhook_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        try:
            check_url(value or "http://host")
        except Rejected as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "smtp://host")
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("must begin with smtp:// or smtps:// and name a host")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, value: str | None) -> str | None:
        if value is not None and not is_address(value):
            raise ValueError("must be a mail address such as farm@example.org")
        return value

    @property
    def mails(self) -> bool:
        """Whether mails can be sent."""
        return self.smtp_url is not None and self.mail_from is not None
