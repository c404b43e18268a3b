"""`farm job eat`, `unblock`, `priority`, `limit`: words, JSON, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def job(near: Run, clip: Path, mask: Path) -> str:
    """A job that nobody has begun."""
    return near("job", "submit", clip, "--mask", mask, "--max-workers", 3).out.strip()


def test_a_priority_and_a_limit_are_changed(near: Run, job: str) -> None:
    assert near("job", "get", job, "--json").json()["max_workers"] == 3
    said = near("job", "priority", job, 80, "--reason", "a deadline")
    assert said.code == 0, said.err
    assert "priority 80, at most 3 workers" in said.out
    assert near("job", "limit", "last", 0, "--json").json()["max_workers"] == 0
    shown = near("job", "get", job)
    assert "80" in shown.out


def test_a_priority_out_of_range_is_wrong_usage(near: Run, job: str) -> None:
    assert near("job", "priority", job, 101).code == 64


def test_nothing_is_eaten_that_has_not_failed(near: Run, job: str) -> None:
    said = near("job", "eat", job, "--chunk", 0)
    assert said.code == 65
    assert "No detail task of chunk 0 has failed" in said.err


@pytest.mark.parametrize("given", [(), ("plan.0", "--chunk", 0), ("--chunk", 0, "--frame", 1)])
def test_one_kind_of_thing_is_eaten_at_a_time(given: tuple[object, ...], near: Run, job: str) -> None:
    said = near("job", "eat", job, *given)
    assert said.code == 64
    assert "one of the three" in said.err


def test_who_is_not_blocked_is_not_unblocked(near: Run, job: str) -> None:
    assert "0 blocks are gone" in near("job", "unblock", job).out
    assert near("job", "unblock", job, "w1", "--json").json()["affected"] == 0
