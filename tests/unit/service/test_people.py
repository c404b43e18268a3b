"""Users and keys in the store."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.domain.people import Quota, Role
from farm.errors import Conflict, NotFound
from farm.service.people import Mint, People

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Office:
    """People in memory, and a clock that goes a second each time it is looked at."""

    def __init__(self, has_other_admin: bool = False) -> None:
        count = itertools.count()
        self.blobs = MemoryBlobs()
        mint = Mint(
            now=lambda: NOW + timedelta(seconds=next(count)),
            key_id=lambda: f"{next(count):012x}",
            secret=lambda: f"{next(count):043}",
        )
        self.people = People(self.blobs, mint, has_other_admin)

    def key(self, user: str, days: float | None = None) -> str:
        """The id of a new key."""
        record, _ = self.people.create_key(self.people.next_key_id(), user, "", days, "root")
        return record.id

    def user(self, name: str, role: Role) -> None:
        """A user."""
        self.people.add(name, role, Quota(), "root")


@pytest.fixture
def office() -> Office:
    found = Office()
    found.user("root", Role.ADMIN)
    found.user("ann", Role.ARTIST)
    return found


def test_users_are_known_by_any_process_of_the_same_store(office: Office) -> None:
    other = People(office.blobs, Mint(lambda: NOW, str, str), True)
    assert [(user.name, user.role) for user in other.users()] == [("ann", Role.ARTIST), ("root", Role.ADMIN)]
    with pytest.raises(Conflict, match="user 'ann' already"):
        office.user("ann", Role.VIEWER)
    with pytest.raises(NotFound, match="no user 'bob'"):
        other.user("bob")


def test_only_the_digest_of_a_key_is_kept(office: Office) -> None:
    record, key = office.people.create_key("0" * 12, "root", "laptop", None, "me")
    kept = office.people.key(record.id)
    assert kept == record
    assert record.fits(key)
    assert all(key.rpartition("_")[2].encode() not in office.blobs.get(name) for name in office.blobs.list(""))


def test_a_key_ends_when_its_days_are_over(office: Office) -> None:
    office.key("root")
    key = office.people.key(office.key("ann", days=2))
    assert key is not None
    assert key.expires is not None
    left = datetime.fromisoformat(key.expires) - datetime.fromisoformat(key.created)
    assert left == timedelta(days=2)


def test_a_revoked_key_stays_in_the_list_and_keeps_its_time(office: Office) -> None:
    office.key("root")
    ended = office.people.revoke(office.key("ann"))
    assert office.people.revoke(ended.id).revoked == ended.revoked
    found = office.people.keys(None)
    assert [(key.user, key.revoked is None) for key in found] == [("root", True), ("ann", False)]
    with pytest.raises(NotFound):
        office.people.revoke("f" * 12)


def test_who_is_removed_and_comes_back_finds_their_old_keys_revoked(office: Office) -> None:
    office.key("root")
    old = office.key("ann")
    assert office.people.remove("ann") == 1
    office.user("ann", Role.ARTIST)
    key = office.people.key(old)
    assert key is not None
    assert key.revoked is not None


def test_the_first_key_must_be_an_admins_since_from_it_on_the_farm_is_locked(office: Office) -> None:
    assert not office.people.has_keys()
    with pytest.raises(Conflict, match="Create a key for an admin first"):
        office.key("ann")
    office.key("root")
    office.key("ann")
    assert office.people.has_keys()


def test_the_last_admins_key_stays(office: Office) -> None:
    only = office.key("root")
    office.key("ann")
    for refused in (
        lambda: office.people.revoke(only),
        lambda: office.people.remove("root"),
        lambda: office.people.change("root", Role.ARTIST, None),
    ):
        with pytest.raises(Conflict, match="nobody could administer this farm"):
            refused()
    office.people.change("ann", Role.ADMIN, None)
    assert office.people.revoke(only).revoked is not None


def test_where_the_environment_has_an_admin_all_keys_may_go() -> None:
    office = Office(has_other_admin=True)
    office.user("ann", Role.ARTIST)
    assert office.people.revoke(office.key("ann")).revoked is not None
    office.user("root", Role.ADMIN)
    office.key("root")
    office.people.remove("root")
    assert [user.name for user in office.people.users()] == ["ann"]


def test_a_change_leaves_the_rest_as_it_was(office: Office) -> None:
    office.people.change("ann", None, Quota(jobs=3))
    changed = office.people.change("ann", Role.VIEWER, None)
    assert (changed.role, changed.quota, changed.created_by) == (Role.VIEWER, Quota(jobs=3), "root")
