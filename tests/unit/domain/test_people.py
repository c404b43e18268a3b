"""Roles, quotas, keys and entries of FARM_API_KEYS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from farm.domain.people import KeyRecord, Quota, Role, User, declared, digest, id_in, key_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = key_of("0123456789ab", "s" * 43)


def record(**changes: object) -> KeyRecord:
    """The record of `KEY`."""
    base = {"id": "0123456789ab", "user": "ann", "digest": digest(KEY).hex(), "created": NOW.isoformat()}
    return KeyRecord.model_validate({**base, **changes})


def test_each_role_may_do_what_those_before_it_may() -> None:
    covered = [[least for least in Role if role.covers(least)] for role in Role]
    assert covered == [[Role.VIEWER], [Role.VIEWER, Role.ARTIST], list(Role)]


@pytest.mark.parametrize(
    ("text", "name", "role", "key"),
    [
        ("secret", "key-3", "admin", "secret"),
        ("ann:secret", "ann", "admin", "secret"),
        ("ann:viewer:secret", "ann", "viewer", "secret"),
        ("ann:artist:se:cret", "ann", "artist", "se:cret"),
        ("ann:admin:secret", "ann", "admin", "secret"),
        # Keys that hold colons, from before there were roles.
        ("ann:se:cret", "ann", "admin", "se:cret"),
        ("ann:viewer", "ann", "admin", "viewer"),
        ("ann:viewer:", "ann", "admin", "viewer:"),
        ("ann:Viewer:secret", "ann", "admin", "Viewer:secret"),
    ],
)
def test_an_entry_of_the_environment_is_a_key_with_a_name_and_a_role(text: str, name: str, role: str, key: str) -> None:
    assert declared(3, text).model_dump() == {"name": name, "role": Role(role), "key": key}


def test_a_key_names_its_record_and_only_fits_that() -> None:
    assert id_in(KEY) == "0123456789ab"
    assert record().fits(KEY)
    assert not record().fits(KEY[:-1] + "t")
    assert KEY not in record().model_dump_json()


@pytest.mark.parametrize("text", ["", "farm", "farm__", "farm_0123456789ab_", "farm_0123456789AB_" + "s" * 43, "a:b"])
def test_what_the_farm_did_not_make_has_no_id(text: str) -> None:
    assert id_in(text) is None


def test_a_key_lives_until_it_expires_or_is_revoked() -> None:
    until = (NOW + timedelta(days=1)).isoformat()
    assert record().live(NOW + timedelta(days=9999))
    assert record(expires=until).live(NOW + timedelta(hours=23))
    assert not record(expires=until).live(NOW + timedelta(days=1))
    assert not record(revoked=NOW.isoformat()).live(NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="time zone"):
        record(expires="2026-01-02T03:04:05")


def test_a_quota_is_the_users_own_and_else_the_farms() -> None:
    assert Quota(jobs=5, frames=0).over(Quota(jobs=1, frames=2, upload_bytes=3)) == Quota(
        jobs=5, frames=0, upload_bytes=3
    )


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a:b", "-a", "a b", "a" * 65, "ann\n"])
def test_a_name_that_could_leave_its_folder_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        User(name=name, role=Role.VIEWER, created="")
