"""`farm user`, `farm key`, `farm audit`: words, JSON, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.fixture
def ann(near: Run) -> str:
    """The key of an artist."""
    assert near("user", "add", "ann", "--jobs", 1).code == 0
    return near("key", "create", "ann", "--label", "laptop", "--days", 30).out.strip()


def test_a_user_is_added_with_a_key_and_listed_without_it(near: Run, ann: str) -> None:
    assert ann.startswith("farm_")
    users = near("user", "list")
    assert all(word in users.out for word in ("ann", "artist", "default"))
    keys = near("key", "list")
    assert ann.split("_")[1] in keys.out
    assert ann.split("_")[2] not in keys.out + near("key", "list", "--json").out
    assert near("key", "list", "nobody", "--json").json() == []


def test_who_makes_a_key_is_told_that_it_is_shown_once(near: Run) -> None:
    near("user", "add", "ann")
    said = near("key", "create", "ann")
    assert "not shown again" in said.err
    assert "farm key revoke" in said.err


def test_a_user_sees_who_they_are(near: Run, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_API_KEY", ann)
    said = near("user", "me")
    assert all(word in said.out for word in ("ann", "artist", "0 of 1", "no limit"))
    assert near("user", "me", "--json").json()["quota"]["jobs"] == 1


def test_an_artist_is_told_that_they_need_another_role(near: Run, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_API_KEY", ann)
    said = near("user", "list")
    assert said.code == 65
    assert "needs the role admin; 'ann' is artist" in said.err


def test_a_revoked_key_is_refused_and_listed_on_demand(near: Run, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ann.split("_")[1]
    assert near("key", "revoke", key, "--reason", "lost laptop").code == 0
    assert key not in near("key", "list").out
    assert "revoked" in near("key", "list", "--all").out
    monkeypatch.setenv("FARM_API_KEY", ann)
    said = near("job", "list")
    assert said.code == 65
    assert "refused the API key" in said.err


def test_a_quota_is_changed_taken_away_and_back_to_the_default(near: Run, ann: str) -> None:
    assert near("user", "set", "ann", "--jobs", 5, "--json").json()["quota"]["jobs"] == 5
    assert "no limit jobs" in near("user", "set", "ann", "--jobs", 0).out
    assert near("user", "set", "ann", "--jobs", -1, "--json").json()["quota"]["jobs"] is None
    assert near("user", "set", "ann", "--role", "viewer", "--json").json()["role"] == "viewer"
    assert near("user", "set", "ann").code == 64


def test_a_user_is_removed(near: Run, ann: str) -> None:
    assert near("user", "remove", "ann", "--yes", "--reason", "left").code == 0
    assert near("user", "list", "--json").json() == []
    assert near("user", "remove", "ann", "--yes").code == 65


def test_the_audit_tells_it_all(near: Run, ann: str, clip: Path, mask: Path) -> None:
    job = near("job", "submit", clip, "--mask", mask).out.strip()
    near("job", "cancel", job, "--reason", "a new cut")
    near("job", "delete", job, "--yes", "--reason", "tidy")
    said = near("audit")
    assert all(word in said.out for word in ("user.add", "key.create", "job.submit", "a new cut", "tidy", "127.0.0.1"))
    actions = [entry["action"] for entry in near("audit", job, "--json").json()]
    assert actions == ["job.delete", "job.cancel", "job.submit"]
    narrowed = near("audit", "--action", "job.", "--since", "1h", "--actor", "tests", "--json").json()
    assert [entry["action"] for entry in narrowed] == actions
    assert near("audit", job, "--action", "job.cancel", "--json").json()[0]["reason"] == "a new cut"
    assert near("audit", "--until", "2020-01-01", "--json").json() == []
    assert near("audit", "--since", "soon").code == 64
    assert len(near("audit", "--limit", 1, "--json").json()) == 1
