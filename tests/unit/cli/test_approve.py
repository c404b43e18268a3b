"""`farm job approve`, `reject`, `notices`, and what is typed of them at submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import Running


def submit(near: Run, clip: Path, mask: Path, *more: object) -> str:
    """A job's id."""
    said = near("job", "submit", clip, "--mask", mask, *more)
    assert said.code == 0, said.err
    return said.out.strip()


def test_a_job_without_the_question_is_not_approved(near: Run, clip: Path, mask: Path) -> None:
    job = submit(near, clip, mask)
    for verdict in ("approve", "reject"):
        said = near("job", verdict, job)
        assert said.code == 65
        assert "asks for no approval" in said.err


def test_a_job_is_approved_and_rejected(near: Run, clip: Path, mask: Path) -> None:
    asked = ("--approve-every", 2, "--chunk", 1)
    job, other = (submit(near, clip, mask, *asked) for _ in range(2))
    assert near("job", "approve", job, "--json").json()["id"] == job
    said = near("job", "reject", other, "--reason", "too much")
    assert "canceled" in said.out


def test_who_waits_for_a_job_is_told_that_it_waits_for_a_person(
    near: Run, running: Running, clip: Path, mask: Path
) -> None:
    job = submit(near, clip, mask, "--approve-every", 2, "--chunk", 1)
    running.work()
    said = near("job", "wait", job)
    assert said.code == 4
    assert f"farm job approve {job}" in said.err
    assert near("job", "wait", job, "--json").json()["status"] == "awaiting-approval"


def test_notices_are_typed_and_listed(near: Run, clip: Path, mask: Path) -> None:
    hook = '{"url": "https://hooks.example/x", "secret": "sixteen or more!", "kinds": ["job"]}'
    job = submit(near, clip, mask, "--webhook", hook, "--notify", "ann@example.org, bob@example.org")
    document = near("job", "get", job, "--json").json()["document"]
    assert document["webhook"] == {"to": "https://hooks.example/…", "kinds": ["job"], "signed": True}
    assert document["notify"] == ["ann@example.org", "bob@example.org"]
    said = near("job", "notices", job)
    assert "No notices" in said.out + said.err
    assert near("job", "notices", job, "--json").json()["sent"] == 0


@pytest.mark.parametrize(
    ("option", "value"), [("--webhook", "{nonsense"), ("--webhook", "ftp://x"), ("--notify", "nobody")]
)
def test_notices_that_cannot_be_are_refused_in_words(
    near: Run, clip: Path, mask: Path, option: str, value: str
) -> None:
    said = near("job", "submit", clip, "--mask", mask, option, value)
    assert said.code in (64, 65)
    assert said.err
