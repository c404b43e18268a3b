"""What can be known at submission of the notices that a job asks for."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from farm.adapters.webhook import checked
from farm.domain.job import JobRequest
from farm.settings import Settings


def check_notices(request: JobRequest, settings: Settings) -> tuple[str, ...]:
    """Warnings for the job.

    A webhook's name is looked up only when something is sent, and again each time; an address is refused here.

    Raises:
        Rejected: the webhook is at an address that is not public, and not allowed.
    """
    if request.webhook is not None:
        host = (urlsplit(request.webhook.url).hostname or "").rstrip(".")
        checked(host, _plainly(host), settings.webhook_networks)
    if request.notify and not settings.mails:
        return ("`notify`: this farm sends no mails; its operator sets FARM_SMTP_URL and FARM_MAIL_FROM.",)
    return ()


def _plainly(host: str) -> list[str]:
    """The addresses of a host that need no looking up."""
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    return []
