"""Users and keys in the store, which is their truth: a lost Redis loses nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from farm.domain.people import KeyRecord, Quota, Role, User, digest, key_of
from farm.errors import Conflict, NotFound
from farm.ports import Blobs

USERS, KEYS = "access/users/", "access/keys/"
"""Where their documents lie."""


@dataclass(frozen=True)
class Mint:
    """Where times and secrets come from, so that the service itself is pure."""

    now: Callable[[], datetime]
    """UTC."""
    key_id: Callable[[], str]
    """12 random hex digits."""
    secret: Callable[[], str]
    """At least 256 random bits, of letters, digits, `-` and `_`."""


class People:
    """Who there is, and by which keys they are known. Every read asks the store; whoever asks often keeps answers."""

    def __init__(self, blobs: Blobs, mint: Mint, has_other_admin: bool) -> None:
        """
        Args:
            has_other_admin: whether somebody administers this farm by a key that is not in the store (FARM_API_KEYS);
                if not, the first key must be an admin's, and the last admin's stays.
        """
        self._blobs = blobs
        self._mint = mint
        self._has_other_admin = has_other_admin

    # --- users ---

    def users(self) -> list[User]:
        """By name."""
        return [user for name in self._blobs.list(USERS) if (user := self._read_user(name)) is not None]

    def user(self, name: str) -> User:
        """Raises NotFound."""
        found = self.find(name)
        if found is None:
            raise NotFound(f"There is no user {name!r}. `farm user list` lists those that there are.")
        return found

    def find(self, name: str) -> User | None:
        """The user of that name, or None."""
        return self._read_user(f"{USERS}{name}.json")

    def add(self, name: str, role: Role, quota: Quota, by: str) -> User:
        """A new user. Raises Conflict: there is one of that name."""
        if self.find(name) is not None:
            raise Conflict(f"There is a user {name!r} already. Change what they may do with `farm user set {name}`.")
        user = User(name=name, role=role, quota=quota, created=self._stamp(), created_by=by)
        self._put_user(user)
        return user

    def change(self, name: str, role: Role | None, quota: Quota | None) -> User:
        """Another role, or another quota (as a whole). Raises NotFound, Conflict: it was the last admin's."""
        before = self.user(name)
        changes = {"role": role or before.role, "quota": before.quota if quota is None else quota}
        if before.role is Role.ADMIN and changes["role"] is not Role.ADMIN:
            self._keep_an_admin(f"making {name!r} no admin", lambda key: key.user == name)
        after = before.model_copy(update=changes)
        self._put_user(after)
        return after

    def remove(self, name: str) -> int:
        """Forget a user and revoke their keys; how many. Their jobs stay, with the name. Raises NotFound, Conflict."""
        self.user(name)
        self._keep_an_admin(f"removing {name!r}", lambda key: key.user == name)
        revoked = 0
        # Keys first: a user who comes back under the name must not find them good.
        for key in self.keys(name):
            revoked += self._revoke(key)
        self._blobs.delete([f"{USERS}{name}.json"])
        return revoked

    # --- keys ---

    def keys(self, user: str | None = None) -> list[KeyRecord]:
        """All keys or one user's, the oldest first; revoked ones too."""
        found = (self._read_key(name) for name in self._blobs.list(KEYS))
        kept = [key for key in found if key is not None and user in (None, key.user)]
        return sorted(kept, key=lambda key: (key.created, key.id))

    def key(self, key_id: str) -> KeyRecord | None:
        """The key of that id, or None."""
        return self._read_key(f"{KEYS}{key_id}.json")

    def has_keys(self) -> bool:
        """Whether a key was ever made, good or not: from then on the farm asks for one."""
        return any(True for _ in islice(self._blobs.list(KEYS), 1))

    def next_key_id(self) -> str:
        """An id for a new key."""
        return self._mint.key_id()

    def create_key(self, key_id: str, user: str, label: str, days: float | None, by: str) -> tuple[KeyRecord, str]:
        """A new key for a user, and the key itself, which is told this once.

        Args:
            key_id: of `next_key_id`.
            days: after which it ends; None: never.
        Raises:
            NotFound: no such user.   Conflict: it would be the farm's first key, and not an admin's.
        """
        owner = self.user(user)
        if owner.role is not Role.ADMIN and not self._has_other_admin and not self._admins(lambda _: False):
            raise Conflict(
                f"{user!r} is {owner.role.value}, and nobody could administer this farm any more: from its first key "
                f"on it asks everybody for one. Create a key for an admin first: farm user add NAME --role admin"
            )
        now = self._mint.now()
        key = key_of(key_id, self._mint.secret())
        record = KeyRecord(
            id=key_id,
            user=user,
            label=label,
            digest=digest(key).hex(),
            created=_text(now),
            created_by=by,
            expires=None if days is None else _text(now + timedelta(days=days)),
        )
        self._put_key(record)
        return record, key

    def revoke(self, key_id: str) -> KeyRecord:
        """Have a key open nothing any more; one that was revoked stays so. Raises NotFound, Conflict."""
        key = self.key(key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id!r}. `farm key list` lists those that there are.")
        self._keep_an_admin(f"revoking {key_id}", lambda other: other.id == key_id)
        self._revoke(key)
        return self.key(key_id) or key

    def _revoke(self, key: KeyRecord) -> bool:
        if key.revoked is not None:
            return False
        self._put_key(key.model_copy(update={"revoked": self._stamp()}))
        return True

    def _keep_an_admin(self, what: str, gone: Callable[[KeyRecord], bool]) -> None:
        """Raises Conflict if the last key of an admin would be gone."""
        if self._has_other_admin or not self._admins(lambda _: False) or self._admins(gone):
            return
        raise Conflict(
            f"After {what} nobody could administer this farm any more. Create a key for another admin first, or start "
            f"the API with one in FARM_API_KEYS."
        )

    def _admins(self, gone: Callable[[KeyRecord], bool]) -> bool:
        """Whether an admin has a good key that is not gone."""
        now = self._mint.now()
        good = {key.user for key in self.keys() if key.live(now) and not gone(key)}
        return any((user := self.find(name)) is not None and user.role is Role.ADMIN for name in sorted(good))

    def _read_user(self, name: str) -> User | None:
        try:
            return User.model_validate_json(self._blobs.get(name))
        except NotFound:
            return None

    def _read_key(self, name: str) -> KeyRecord | None:
        try:
            return KeyRecord.model_validate_json(self._blobs.get(name))
        except NotFound:
            return None

    def _put_user(self, user: User) -> None:
        self._blobs.put(f"{USERS}{user.name}.json", user.model_dump_json().encode(), "application/json")

    def _put_key(self, key: KeyRecord) -> None:
        self._blobs.put(f"{KEYS}{key.id}.json", key.model_dump_json().encode(), "application/json")

    def _stamp(self) -> str:
        return _text(self._mint.now())


def _text(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
