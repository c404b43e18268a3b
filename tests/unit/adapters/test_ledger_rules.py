"""What both ledgers hold to."""

import pytest

from farm.adapters.ledger_rules import chunk_of, in_words, milliseconds, uses_up
from farm.domain.state import Outcome


@pytest.mark.parametrize(
    ("task", "chunk"),
    [
        ("plan.0", 0),
        ("detail.7.3", 7),
        ("patched.120", 120),
        ("ingest.frame-0a1b2c3d4e5f.3", -1),
        ("ingest.12345678.3", -1),
        ("scan.3", -1),
        ("segments.0", -1),
        ("wrap.0", -1),
        ("odd", -1),
        ("plan.007", -1),
        ("plan.x", -1),
    ],
)
def test_a_chunk_is_read_from_ids_of_chunks_only(task: str, chunk: int) -> None:
    assert chunk_of(task) == chunk


def test_attempts_are_used_up_by_what_the_task_may_be_blamed_for() -> None:
    blamed = {outcome for outcome in Outcome if uses_up(outcome)}
    assert blamed == {Outcome.OK, Outcome.ERROR, Outcome.OOM, Outcome.TIMEOUT, Outcome.STUCK}


def test_a_decision_is_told_with_who_and_why_where_they_are_known() -> None:
    assert in_words("pause", "", "") == "paused"
    assert in_words("cancel", "wrong clip", "") == "cancel requested: wrong clip"
    assert in_words("retry", "new driver", "ann") == "retried by ann: new driver"


def test_times_are_whole_milliseconds() -> None:
    assert [milliseconds(seconds) for seconds in (0, 0.0004, 1.2346, 1_800_000_000.5)] == [0, 0, 1235, 1800000000500]
