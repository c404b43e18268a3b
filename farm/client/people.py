"""Users, keys and the audit, as an admin asks for them over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from farm.client.answers import Answer
from farm.client.calls import Call
from farm.client.http import Http
from farm.domain.audit import AuditEntry
from farm.domain.people import Quota, Role

PAGE = 500
"""Entries of the audit that are asked for at once, at the most."""


class UseAnswer(Answer):
    """What a user has of the farm."""

    jobs: int = 0
    frames: int = 0
    upload_bytes: int = 0


class UserAnswer(Answer):
    """A user."""

    name: str
    role: Role
    quota: Quota = Quota()
    created: str = ""
    created_by: str = ""


class MeAnswer(Answer):
    """Whom the farm takes the client for."""

    name: str
    role: Role
    key: str = ""
    quota: Quota = Quota()
    use: UseAnswer = UseAnswer()


class KeyAnswer(Answer):
    """A key, without itself."""

    id: str
    user: str
    label: str = ""
    created: str = ""
    created_by: str = ""
    expires: str | None = None
    revoked: str | None = None
    live: bool = True


class MadeKey(KeyAnswer):
    """A new key; it is told this once."""

    key: str


class People:
    """Who may use a farm. Every call but `me` and `audit` of a job raises Rejected for all but admins."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def me(self) -> MeAnswer:
        """Whom the farm takes this client for, and what they have of it."""
        return MeAnswer.model_validate(self._http.get("/me"))

    def users(self) -> list[UserAnswer]:
        """All users, by name."""
        return [UserAnswer.model_validate(item) for item in self._http.get("/users")["items"]]

    def add(self, name: str, role: Role, quota: Quota = Quota(), reason: str = "") -> UserAnswer:
        """Add a user. Raises Conflict: there is one of that name."""
        body = {"name": name, "role": role.value, "quota": quota.model_dump(exclude_none=True), "reason": reason}
        return UserAnswer.model_validate(self._http.post("/users", body))

    def change(
        self, name: str, role: Role | None = None, quota: Mapping[str, int | None] | None = None, reason: str = ""
    ) -> UserAnswer:
        """Another role, or other quotas; what is not named stays, None is the farm's default again."""
        body: dict[str, Any] = {"reason": reason}
        if role is not None:
            body["role"] = role.value
        if quota:
            body["quota"] = dict(quota)
        call = Call("PATCH", f"/users/{_part(name)}", json=body, repeatable=True)
        return UserAnswer.model_validate(self._http.call(call))

    def remove(self, name: str, reason: str = "") -> None:
        """Remove a user and revoke their keys. Raises NotFound, Conflict: nobody could administer the farm then."""
        self._http.call(Call("DELETE", f"/users/{_part(name)}", {"reason": reason or None}))

    def keys(self, user: str = "") -> list[KeyAnswer]:
        """All keys, or one user's, also those that have ended."""
        return [KeyAnswer.model_validate(item) for item in self._http.get("/keys", {"user": user or None})["items"]]

    def create_key(self, user: str, label: str = "", days: float | None = None, reason: str = "") -> MadeKey:
        """A new key for a user."""
        body = {"user": user, "label": label, "days": days, "reason": reason}
        return MadeKey.model_validate(self._http.post("/keys", body))

    def revoke_key(self, key_id: str, reason: str = "") -> KeyAnswer:
        """Have a key open nothing any more. Raises NotFound, Conflict: nobody could administer the farm then."""
        answer = self._http.call(Call("DELETE", f"/keys/{_part(key_id)}", {"reason": reason or None}))
        return KeyAnswer.model_validate(answer)

    def audit(self, limit: int = 100, **which: str) -> Iterator[AuditEntry]:
        """Changes, newest first, at most `limit`.

        Args:
            which: `actor`, `action`, `job`, `since`, `until` (ISO 8601 with a time zone).
        """
        asked = {name: value or None for name, value in which.items()}
        yield from self._entries("/audit", asked, limit)

    def job_audit(self, job_id: str, limit: int = 100) -> Iterator[AuditEntry]:
        """Changes of one job, newest first; also of one that is gone. Raises NotFound: there was never one."""
        yield from self._entries(f"/jobs/{_part(job_id)}/audit", {}, limit)

    def _entries(self, path: str, which: Mapping[str, str | None], limit: int) -> Iterator[AuditEntry]:
        cursor: str | None = None
        while limit > 0:
            page = self._http.get(path, {**which, "cursor": cursor, "limit": min(limit, PAGE)})
            limit -= len(page["items"])
            yield from (AuditEntry.model_validate(item) for item in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _part(text: str) -> str:
    return quote(text, safe="")
