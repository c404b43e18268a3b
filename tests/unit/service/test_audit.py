"""The audit: written before the change, read newest first, and never lost without a word."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from farm.adapters.memory_blobs import MemoryBlobs
from farm.domain.audit import AuditEntry, AuditFilter, By
from farm.domain.people import Role
from farm.errors import Conflict, Unavailable
from farm.service import audit as module
from farm.service.audit import Audit, Change

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = By("ann", Role.ARTIST, "10.0.0.9", "0123456789ab")
BOB = By("bob", Role.ADMIN)


class Away(MemoryBlobs):
    """A store that takes only so many objects."""

    takes = 0

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        if self.takes <= 0:
            raise Unavailable("The store does not answer.")
        self.takes -= 1
        super().put(name, data, content_type)


def audit_of(blobs: MemoryBlobs, hours: float = 1.0) -> Audit:
    """An audit whose clock goes `hours` with each entry."""
    count = itertools.count()
    return Audit(blobs, lambda: NOW + timedelta(hours=hours * next(count)), lambda: f"{random.random():.8f}"[2:])


def told(audit: Audit, which: AuditFilter = AuditFilter(), limit: int = 100) -> list[AuditEntry]:
    """All pages."""
    found, cursor = audit.page(which, "", limit)
    while cursor:
        more, cursor = audit.page(which, cursor, limit)
        found += more
    return found


def done(audit: Audit, action: str, job: str = "", by: By = ANN) -> None:
    """A change that is made."""
    with audit.change(by, Change(action, job)):
        pass


def test_an_entry_says_who_did_what_when_from_where_and_why() -> None:
    blobs = MemoryBlobs()
    audit = audit_of(blobs)
    with audit.change(ANN, Change("job.adjust", "j1", reason="a deadline", details={"priority": 80})):
        pass
    (entry,) = told(audit)
    assert entry.model_dump(exclude={"id"}) == {
        "at": "2026-01-02T03:04:05.000000+00:00",
        "actor": "ann",
        "role": Role.ARTIST,
        "address": "10.0.0.9",
        "key": "0123456789ab",
        "action": "job.adjust",
        "job": "j1",
        "target": "",
        "reason": "a deadline",
        "details": {"priority": 80},
        "outcome": "done",
        "error": "",
    }


def test_a_change_is_in_the_store_before_it_is_made() -> None:
    blobs = MemoryBlobs()
    audit = audit_of(blobs)
    with audit.change(ANN, Change("job.pause", "j1")):
        assert [entry.action for entry in told(audit)] == ["job.pause"]


def test_what_cannot_be_written_down_is_not_done() -> None:
    made = []
    with pytest.raises(Unavailable), audit_of(Away()).change(ANN, Change("job.pause", "j1")):
        made.append("it")
    assert made == []


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (Conflict("The job has ended."), "refused", "has ended"),
        (Unavailable("Redis is away."), "failed", "Redis is away"),
        (KeyError("a mistake"), "failed", "did not foresee"),
    ],
)
def test_what_was_not_done_is_told_beside_the_entry(error: Exception, outcome: str, said: str) -> None:
    blobs = MemoryBlobs()
    audit = audit_of(blobs)
    with pytest.raises(type(error)), audit.change(ANN, Change("job.pause", "j1")):
        raise error
    names = list(blobs.list("audit/"))
    assert [name.rpartition(".job_pause.j1")[2] for name in names] == [".json", ".outcome.json"]
    assert AuditEntry.model_validate_json(blobs.get(names[0])).outcome == "done"
    (entry,) = told(audit)
    assert entry.outcome == outcome
    assert said in entry.error


def test_an_outcome_that_cannot_be_written_is_logged_and_hides_no_error() -> None:
    blobs = Away()
    blobs.takes = 1
    change = audit_of(blobs).change(ANN, Change("job.pause", "j1"))
    with structlog.testing.capture_logs() as logs, pytest.raises(Conflict, match="has ended"), change:
        raise Conflict("The job has ended.")
    assert [(line["event"], line["outcome"]) for line in logs] == [("audit_outcome_not_written", "refused")]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_have_every_entry_once_the_newest_first(limit: int) -> None:
    audit = audit_of(MemoryBlobs())
    for number in range(7):
        if number % 3:
            done(audit, f"job.{number}", "j1")
            continue
        with pytest.raises(Conflict), audit.change(ANN, Change(f"job.{number}", "j1")):
            raise Conflict("no")
    found = told(audit, limit=limit)
    assert [entry.action for entry in found] == [f"job.{number}" for number in reversed(range(7))]
    assert [entry.outcome == "refused" for entry in found] == [number % 3 == 0 for number in reversed(range(7))]


def test_entries_are_found_by_who_what_which_job_and_when() -> None:
    audit = audit_of(MemoryBlobs())
    done(audit, "job.submit", "j1")
    done(audit, "job.pause", "j1", BOB)
    done(audit, "user.add", "", BOB)
    done(audit, "job.submit", "j2")
    for which, actions in [
        (AuditFilter(actor="bob"), ["user.add", "job.pause"]),
        (AuditFilter(action="job.submit"), ["job.submit", "job.submit"]),
        (AuditFilter(action="job."), ["job.submit", "job.pause", "job.submit"]),
        (AuditFilter(job="j1"), ["job.pause", "job.submit"]),
        (AuditFilter(since=NOW + timedelta(hours=2)), ["job.submit", "user.add"]),
        (AuditFilter(until=NOW + timedelta(hours=1)), ["job.pause", "job.submit"]),
        (AuditFilter(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2)), ["user.add", "job.pause"]),
        (AuditFilter(actor="an"), []),
        (AuditFilter(action="job.sub"), []),
    ]:
        for limit in (1, 100):
            assert [entry.action for entry in told(audit, which, limit)] == actions, which


def test_names_that_look_alike_in_the_store_are_told_apart() -> None:
    audit = audit_of(MemoryBlobs())
    done(audit, "job.pause", "j1", By("a b", Role.ADMIN))
    done(audit, "job.pause", "j1", By("a/b.c", Role.ADMIN))
    done(audit, "job.pause", "j1", By("x" * 300, Role.ADMIN))
    assert [entry.actor for entry in told(audit, AuditFilter(actor="a/b.c"))] == ["a/b.c"]
    assert [entry.actor for entry in told(audit, AuditFilter(actor="x" * 300))] == ["x" * 300]


def test_a_page_looks_at_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCANNED", 3)
    audit = audit_of(MemoryBlobs())
    done(audit, "job.submit", "wanted")
    for _ in range(10):
        done(audit, "job.submit", "other")
    found, cursor = audit.page(AuditFilter(job="wanted"))
    assert (found, bool(cursor)) == ([], True)
    assert [entry.job for entry in told(audit, AuditFilter(job="wanted"))] == ["wanted"]
