"""What a check of `farm doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    check: str
    """Name of the check, with a part of it behind a dot: `redis.persistence`."""
    verdict: Verdict
    found: str
    cure: str = ""
    """What to do; empty where nothing is to be done, or `found` says it."""

    def words(self) -> dict[str, str]:
        """The text, for JSON."""
        return {"found": self.found, "cure": self.cure}


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def note(check: str, found: str, cure: str) -> Finding:
    """It works, and could be better."""
    return Finding(check, Verdict.NOTE, found, cure)


def bad(check: str, found: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.BAD, found, cure)
