"""The audit: an append-only log in the store of what people change. It outlives Redis, and the jobs that it tells of.

An entry is written *before* its change is made. If it cannot be written, the change is not made, and the caller hears
that the store is away: so there is no change without an entry, and none is half made for want of one. Where the change
is refused or fails after that, an object beside the entry says so; if that cannot be written, the process's log says
so, and the audit tells of more than happened, never of less.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from farm.domain.audit import END, FOLDER, OUTCOME_END, AuditEntry, AuditFilter, By, Outcome, before, entry_name
from farm.errors import FarmError, NotFound, Rejected, Unavailable
from farm.ports import Blobs
from farm.service.documents import compact

log = structlog.get_logger(__name__)

SCANNED = 5000
"""Names that one page is looked for in; the next page goes on behind them."""
UNFORESEEN = "The farm made a mistake that it did not foresee; its log has the details."


@dataclass(frozen=True)
class Change:
    """What somebody is about to do."""

    action: str
    """`job.pause`, `user.add` ..."""
    job: str = ""
    target: str = ""
    reason: str = ""
    details: dict[str, object] | None = None


class Audit:
    """Writes and reads the log. There is nothing that changes or removes an entry."""

    def __init__(self, blobs: Blobs, now: Callable[[], datetime], mark: Callable[[], str]) -> None:
        """
        Args:
            now: UTC.   mark: random letters and digits, another one each time.
        """
        self._blobs = blobs
        self._now = now
        self._mark = mark

    @contextmanager
    def change(self, by: By, what: Change) -> Iterator[AuditEntry]:
        """Record what is done inside. Raises Unavailable, before that, where the entry cannot be written."""
        name, entry = self._write(by, what)
        why = UNFORESEEN
        outcome: Outcome = "failed"
        try:
            yield entry
            why = ""
        except FarmError as error:
            why, outcome = str(error), "refused" if isinstance(error, Rejected) else "failed"
            raise
        finally:
            if why:
                self._add(name, outcome, why)

    def page(self, which: AuditFilter, cursor: str = "", limit: int = 100) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and where to go on; "" at the end. A page may be short although there are more."""
        found: list[AuditEntry] = []
        after, last = self._begin(which, cursor), before(which.since) + "~" if which.since is not None else ""
        pending, seen = "", after
        for count, name in enumerate(self._blobs.list(FOLDER, after)):
            if name.endswith(OUTCOME_END):
                if pending and name.removesuffix(OUTCOME_END) == pending.removesuffix(END):
                    self._take(found, which, pending, name)
                    pending = ""
                seen = name
                continue
            if pending:
                self._take(found, which, pending, "")
                pending = ""
            if last and name > last:
                return found, ""
            if len(found) == limit or count >= SCANNED:
                return found, seen.removeprefix(FOLDER)
            seen = name
            pending = name if which.may_meet(name) else ""
        if pending:
            self._take(found, which, pending, "")
        return found, ""

    def _begin(self, which: AuditFilter, cursor: str) -> str:
        # A name of its own microsecond is longer than `before`, and so behind it.
        first = before(which.until) if which.until is not None else ""
        return max(first, f"{FOLDER}{cursor}" if cursor else "")

    def _take(self, found: list[AuditEntry], which: AuditFilter, name: str, outcome: str) -> None:
        try:
            entry = AuditEntry.model_validate_json(self._blobs.get(name))
            more = json.loads(self._blobs.get(outcome)) if outcome else {}
        except NotFound:
            return  # an operator has removed it from the store meanwhile
        if which.meets(entry):
            found.append(entry.model_copy(update=more))

    def _write(self, by: By, what: Change) -> tuple[str, AuditEntry]:
        now = self._now()
        name = entry_name(now, self._mark(), by.actor, what.action, what.job)
        entry = AuditEntry(
            id=".".join(name.rpartition("/")[2].split(".")[:2]),
            at=now.isoformat(timespec="microseconds"),
            **by._asdict(),
            action=what.action,
            job=what.job,
            target=what.target,
            reason=what.reason,
            details=what.details or {},
        )
        self._blobs.put(name, entry.model_dump_json(exclude={"outcome", "error"}).encode(), "application/json")
        return name, entry

    def _add(self, name: str, outcome: Outcome, why: str) -> None:
        try:
            self._blobs.put(
                name.removesuffix(END) + OUTCOME_END, compact({"outcome": outcome, "error": why}), "application/json"
            )
        except Unavailable as error:
            log.error("audit_outcome_not_written", entry=name, outcome=outcome, why=why, error=str(error))
