"""Users, their roles and quotas, and their keys: for admins. And, for everybody, who they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api.access import Access
from api.auth import Asker
from api.problems import RESPONSES
from api.quotas import Quotas, Use
from api.recorder import Record
from api.roles import needs
from api.shapes import Answer, Asked
from api.views import ROOT
from farm.domain.numbers import NUMBER
from farm.domain.people import NAME, KeyRecord, Quota, Role, User, UserName
from farm.errors import Rejected

router = APIRouter(tags=["people"], responses=RESPONSES)

InPath = Annotated[str, Path(pattern=NAME)]
KeyInPath = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
ReasonQuery = Annotated[str, Query(max_length=500, description="Why; kept in the audit.")]
Reason = Annotated[str, Field(max_length=500)]


class Me(Answer):
    """Whom the farm takes you for."""

    name: str
    """`local` where the farm has no keys."""
    role: Role
    key: str
    """Names the key that was sent; empty where the farm has no keys."""
    quota: Quota
    """What you may have at once; 0: no limit."""
    use: Use
    """What you have."""


class Users(Answer):
    """Users by name. The owners of FARM_API_KEYS are not among them."""

    items: tuple[User, ...]


class NewUser(Asked):
    """Somebody who is to use the farm."""

    name: UserName
    role: Role = Role.ARTIST
    quota: Quota = Quota()
    reason: Reason = ""


class UserChange(Asked):
    """What is to be changed of a user; what is left out stays."""

    role: Role | None = None
    quota: Quota | None = None
    """Of it, too, what is left out stays; null: the farm's default again."""
    reason: Reason = ""


class KeyView(Answer):
    """A key, without itself."""

    id: str
    user: str
    label: str
    created: str
    created_by: str
    expires: str | None
    revoked: str | None
    live: bool
    """Whether it opens anything now."""


class KeyList(Answer):
    """Keys, the oldest first."""

    items: tuple[KeyView, ...]


class NewKey(Asked):
    """A key that is to be made."""

    user: UserName
    label: Annotated[str, Field(max_length=200, examples=["ann's laptop"])] = ""
    """What it is for."""
    days: Annotated[float, Field(gt=0, le=36_500), NUMBER] | None = None
    """After which it ends; never, if left out."""
    reason: Reason = ""


class MadeKey(KeyView):
    """A new key. It is told this once: the farm keeps its digest."""

    key: str


@router.get("/me")
def me(request: Request, person: Asker) -> Me:
    """Who you are, what you may do, and what you have of the farm."""
    quotas: Quotas = request.app.state.quotas
    return Me(
        name=person.name,
        role=person.role,
        key=person.key,
        quota=quotas.quota(person.name),
        use=quotas.use(person.name),
    )


@router.get("/users")
@needs(Role.ADMIN)
def users(request: Request) -> Users:
    """All users."""
    return Users(items=tuple(_access(request).people.users()))


@router.post("/users", status_code=201)
@needs(Role.ADMIN)
def add_user(new: NewUser, request: Request, response: Response, record: Record) -> User:
    """Add a user. They can do nothing until they have a key."""
    quota = new.quota.model_dump(exclude_none=True)
    with record.change("user.add", target=new.name, reason=new.reason, role=new.role.value, quota=quota):
        made = _access(request).people.add(new.name, new.role, new.quota, record.by.actor)
    _access(request).forget()
    response.headers["Location"] = f"{ROOT}/users/{made.name}"
    return made


@router.get("/users/{name}")
@needs(Role.ADMIN)
def user(name: InPath, request: Request) -> User:
    """One user."""
    return _access(request).people.user(name)


@router.patch("/users/{name}")
@needs(Role.ADMIN)
def change_user(name: InPath, change: UserChange, request: Request, record: Record) -> User:
    """Give a user another role or another quota; it holds for all of their keys, within seconds."""
    people = _access(request).people
    if change.role is None and change.quota is None:
        raise Rejected("Nothing to change was given. Send `role`, `quota` or both.")
    told = change.quota.model_dump(exclude_unset=True) if change.quota is not None else {}
    quota = people.user(name).quota.model_copy(update=told) if told else None
    details: dict[str, Any] = {"role": change.role.value if change.role else None, "quota": told or None}
    kept = {key: value for key, value in details.items() if value is not None}
    with record.change("user.set", target=name, reason=change.reason, **kept):
        changed = people.change(name, change.role, quota)
    _access(request).forget()
    return changed


@router.delete("/users/{name}", status_code=204)
@needs(Role.ADMIN)
def remove_user(name: InPath, request: Request, record: Record, reason: ReasonQuery = "") -> None:
    """Remove a user and revoke their keys. Their jobs stay, with their name."""
    with record.change("user.remove", target=name, reason=reason):
        _access(request).people.remove(name)
    _access(request).forget()


@router.get("/keys")
@needs(Role.ADMIN)
def keys(request: Request, user: Annotated[str, Query(max_length=64, description="Only theirs.")] = "") -> KeyList:
    """All keys that were made, also those that have ended. What they are is not kept."""
    found = _access(request).people.keys(user or None)
    return KeyList(items=tuple(KeyView(**_shown(key)) for key in found))


@router.post("/keys", status_code=201)
@needs(Role.ADMIN)
def create_key(new: NewKey, request: Request, record: Record) -> MadeKey:
    """Make a key for a user. The answer has it, this once."""
    people = _access(request).people
    key_id = people.next_key_id()
    details: dict[str, Any] = {"user": new.user, "label": new.label, "days": new.days}
    with record.change("key.create", target=key_id, reason=new.reason, **details):
        made, key = people.create_key(key_id, new.user, new.label, new.days, record.by.actor)
    _access(request).forget()
    return MadeKey(key=key, **_shown(made))


@router.delete("/keys/{key_id}")
@needs(Role.ADMIN)
def revoke_key(key_id: KeyInPath, request: Request, record: Record, reason: ReasonQuery = "") -> KeyView:
    """Have a key open nothing any more: here at once, in other API processes within seconds; its sessions end too."""
    with record.change("key.revoke", target=key_id, reason=reason):
        revoked = _access(request).people.revoke(key_id)
    _access(request).forget()
    return KeyView(**_shown(revoked))


def _access(request: Request) -> Access:
    found: Access = request.app.state.access
    return found


def _shown(key: KeyRecord) -> dict[str, Any]:
    return {**key.model_dump(exclude={"digest"}), "live": key.live(datetime.now(UTC))}
