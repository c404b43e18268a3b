"""Ids and stamps for a farm's service, from the machine's clock."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from farm.service.farm import Clock
from farm.service.people import Mint


def system_clock() -> Clock:
    """Job ids are `<UTC date>-<time>-<6 random hex digits>`: they sort by time and do not collide."""

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="microseconds")

    def new_id() -> str:
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:19] + f"-{secrets.token_hex(3)}"

    return Clock(new_id=new_id, now=now)


def system_mint() -> Mint:
    """Keys of 256 random bits."""
    return Mint(
        now=lambda: datetime.now(UTC),
        key_id=lambda: secrets.token_hex(6),
        secret=lambda: secrets.token_urlsafe(32),
    )


def random_mark() -> str:
    """Tells two things of one moment apart."""
    return secrets.token_hex(4)
