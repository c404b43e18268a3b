"""What a person changed, when, from where and why: one entry per change, written before it is made."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from farm.domain.people import Role

FOLDER = "audit/"
END, OUTCOME_END = ".json", ".outcome.json"
"""Ends of an entry's name, and of what is added to it where the change was not made."""
_MOST_US = 10**16 - 1
"""Microseconds since 1970; the year 2286. Names count down from it, so that listings begin with the newest."""
_SLUG = 40
"""Characters of a word in a name."""

Outcome = Literal["done", "refused", "failed"]


class By(NamedTuple):
    """Who changes something."""

    actor: str
    role: Role
    address: str = ""
    """Of the client; the machine's name for what works on the store itself."""
    key: str = ""
    """Which of the actor's keys."""


class AuditEntry(BaseModel):
    """One change."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    id: str
    at: str
    """UTC, ISO 8601."""
    actor: str
    role: Role
    address: str = ""
    key: str = ""
    """Names the key that was used; the key itself is nowhere."""
    action: str
    """`job.pause`, `user.add` ..."""
    job: str = ""
    target: str = ""
    """What was changed, if not a job: a user, a key, a model, a worker."""
    reason: str = ""
    """As the person gave it."""
    details: dict[str, Any] = {}
    """What it was changed to."""
    outcome: Outcome = "done"
    """`refused`: the farm said no, and nothing was changed. `failed`: something did not answer, and it may have been
    changed or not; what it is now tells. `done` is also what an entry says whose process died at it."""
    error: str = ""
    """Why it was not done."""


class AuditFilter(NamedTuple):
    """Which entries are meant; "" and None mean all."""

    actor: str = ""
    action: str = ""
    """`job.pause`, or `job.` for all about jobs."""
    job: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def meets(self, entry: AuditEntry) -> bool:
        """Whether an entry is meant; its time is not looked at, since names tell it."""
        action = entry.action.startswith(self.action) if self.action.endswith(".") else entry.action == self.action
        return self.actor in ("", entry.actor) and (not self.action or action) and self.job in ("", entry.job)

    def may_meet(self, name: str) -> bool:
        """Whether the entry of that name may be meant: what need not be read is told by its name."""
        _, _, actor, action, job = name.rpartition("/")[2].split(".")[:5]
        wanted = _slug(self.action.rstrip("."))
        return (
            (not self.actor or actor == _slug(self.actor))
            and (not self.action or (action == wanted or (self.action.endswith(".") and action.startswith(wanted))))
            and (not self.job or job == _slug(self.job))
        )


def entry_name(when: datetime, mark: str, actor: str, action: str, job: str) -> str:
    """The object of an entry: newest first in a listing, and telling enough to be passed over unread.

    Args:
        mark: tells two entries of one microsecond apart.
    """
    count = f"{_counted_down(when):016d}"
    # A folder for three hours: a store of files reads a folder as a whole.
    return f"{FOLDER}{count[:6]}/{count}.{mark}.{_slug(actor)}.{_slug(action)}.{_slug(job)}{END}"


def before(when: datetime) -> str:
    """A name behind which, in a listing, are all entries of that time and earlier, and none later."""
    count = f"{_counted_down(when):016d}"
    return f"{FOLDER}{count[:6]}/{count}"


def _counted_down(when: datetime) -> int:
    since = when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return _MOST_US - (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_SLUG]
