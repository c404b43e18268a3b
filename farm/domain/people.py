"""People of a farm: users with a role and a quota, and the keys by which they are known. Pure; the store keeps them."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from farm.domain.numbers import WHOLE

KEY_PREFIX = "farm"
"""Begins every key that the farm makes, so that scanners of repositories and logs find one that was left there."""
_KEY = re.compile(rf"^{KEY_PREFIX}_([0-9a-f]{{12}})_[A-Za-z0-9_-]{{20,200}}$")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""What a user may be called: part of the names of objects, so no slash, and no colon, which parts FARM_API_KEYS."""

UserName = Annotated[str, Field(pattern=NAME, examples=["ann"])]
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", examples=["5f0c2a9b81d3"])]


class Role(StrEnum):
    """What somebody may do; each role may do all that those before it may."""

    VIEWER = "viewer"
    """Look at everything, download everything, change nothing."""
    ARTIST = "artist"
    """Also upload, add models, submit jobs, and decide about their own."""
    ADMIN = "admin"
    """Everything: others' jobs, workers, users and keys, the audit."""

    def covers(self, least: Role) -> bool:
        """Whether it is `least` or more."""
        order = list(Role)
        return order.index(self) >= order.index(least)


class Quota(BaseModel):
    """How much of the farm a user may have at once. None: the farm's default; 0: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    jobs: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] | None = None
    """Jobs that have not ended."""
    frames: Annotated[int, Field(ge=0, le=10**12), WHOLE] | None = None
    """Frames of jobs that have not ended, done or not."""
    upload_bytes: Annotated[int, Field(ge=0, le=10**18), WHOLE] | None = None
    """Bytes uploaded in a day (UTC), clips and models."""

    def over(self, default: Quota) -> Quota:
        """The same, with the farm's default where it says nothing."""
        own = {name: value for name, value in self.model_dump().items() if value is not None}
        return default.model_copy(update=own)


class User(BaseModel):
    """A user, as the store keeps one: `access/users/<name>.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: UserName
    role: Role
    quota: Quota = Quota()
    created: str
    """UTC, ISO 8601."""
    created_by: str = ""


class KeyRecord(BaseModel):
    """A key, as the store keeps it: `access/keys/<id>.json`. The key itself is nowhere."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: KeyId
    user: UserName
    label: Annotated[str, Field(max_length=200)] = ""
    """What it is for."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """sha256 of the key, which is random: 256 bits need no slow hash."""
    created: str
    created_by: str = ""
    expires: str | None = None
    """UTC, ISO 8601; None: never."""
    revoked: str | None = None
    """When; None: it is good."""

    @field_validator("created", "expires", "revoked")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("must say its time zone")
        return value

    def live(self, now: datetime) -> bool:
        """Whether it opens anything at this time."""
        return self.revoked is None and (self.expires is None or now < datetime.fromisoformat(self.expires))

    def fits(self, key: str) -> bool:
        """Whether `key` is this one; takes the same time wherever they differ."""
        return hmac.compare_digest(digest(key).hex(), self.digest)


class Declared(BaseModel):
    """One entry of FARM_API_KEYS, read."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: Role
    key: str


def declared(number: int, text: str) -> Declared:
    """An entry of FARM_API_KEYS: `key`, `name:key` or `name:role:key`. Without a role its owner is an admin.

    Args:
        number: its place from 1; names who has no name.
    """
    name, colon, key = text.partition(":")
    if not colon:
        return Declared(name=f"key-{number}", role=Role.ADMIN, key=text)
    role, colon, rest = key.partition(":")
    # A key may hold colons itself: only the three words in front of one are a role.
    if colon and rest and role in set(Role):
        return Declared(name=name, role=Role(role), key=rest)
    return Declared(name=name, role=Role.ADMIN, key=key)


def key_of(key_id: str, secret: str) -> str:
    """The key that a user is given, once."""
    return f"{KEY_PREFIX}_{key_id}_{secret}"


def id_in(key: str) -> str | None:
    """The id in a key that the farm has made; None if it made no such key."""
    found = _KEY.match(key)
    return found[1] if found else None


def digest(key: str) -> bytes:
    """What is kept and compared of a key: of one length, and not to be read in a memory dump."""
    return hashlib.sha256(key.encode()).digest()
