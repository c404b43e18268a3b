"""Who asks, and whether they may: keys, sessions, roles, rates; or, without any key, this machine alone."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api import session
from api.access import LOCAL, Access, Keys, Person
from api.address import address_of, is_loopback
from api.context import Context
from api.listening import CHECK
from api.problems import Forbidden, RoleNeeded, TooMany, Unauthorized
from api.roles import Needs, needed
from api.throttle import Throttle
from farm.domain.people import Role
from farm.errors import Rejected, Unavailable

__all__ = [
    "Asker",
    "Keys",
    "OpenToTheWorld",
    "User",
    "address",
    "authenticate",
    "by_address",
    "check_binding",
    "is_loopback",
    "known",
]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

_bearer = HTTPBearer(auto_error=False, description="A key of this farm.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of this farm.")


class OpenToTheWorld(Rejected):
    """The API would listen on a network without asking for a key."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The API is to listen on {host}, which other machines can reach, but FARM_API_KEYS is empty. "
            f"Set FARM_API_KEYS=name:key (a long random key; several with commas), or FARM_API_HOST=127.0.0.1."
        )


def check_binding(host: str, access: Access) -> None:
    """Refuse to listen on a network without keys. Raises OpenToTheWorld, or Unavailable if only the store knows."""
    if not is_loopback(host) and access.opens():
        raise OpenToTheWorld(host)


def address(request: Request) -> str:
    """Where a request comes from."""
    return address_of(request, request.app.state.trusted)


async def by_address(request: Request) -> None:
    """Count a request that needs no key. Raises TooMany."""
    throttle: Throttle = request.app.state.throttle
    _check_rate(*await run_in_threadpool(throttle.request, address(request)))


async def known(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Person:
    """Who asks, and may: `local` where the farm has no keys.

    Raises:
        Unauthorized: no key, a wrong one, or one that has ended.
        TooMany: too often, or too many wrong keys from there.
        RoleNeeded: the route asks for more than this person's role, or for the job's owner.
        Forbidden: there are no keys, and the request is not plainly one of this machine's own programs.
    """
    throttle: Throttle = request.app.state.throttle
    given = bearer.credentials if bearer is not None else header
    try:
        person = await _person(request, given)
    except (Unauthorized, Forbidden):
        await by_address(request)
        raise
    _check_rate(*await run_in_threadpool(throttle.request, address(request), person.key))
    await _check_role(request, person)
    setattr(request.state, CHECK, partial(_may_still, request, given))
    return person


Asker = Annotated[Person, Depends(known)]


async def authenticate(person: Asker) -> str:
    """Name of who asks, and may; "local" where the farm has no keys. Raises as `known`."""
    return person.name


User = Annotated[str, Depends(authenticate)]


async def owner_of(request: Request, key: str) -> Person:
    """Whose key it is. Raises Unauthorized, TooMany."""
    access: Access = request.app.state.access
    throttle: Throttle = request.app.state.throttle
    here = address(request)
    _check_tries(throttle.shut_out(here))
    quick = access.quick(key)
    person = quick[0] if quick is not None else await run_in_threadpool(access.person, key)
    if person is None:
        _check_tries(await run_in_threadpool(throttle.wrong_key, here))
        raise Unauthorized(
            "The API key is not one of this farm's, or it has expired or was revoked. Ask its operator for one "
            "(farm key create, or FARM_API_KEYS)."
        )
    return person


async def _person(request: Request, given: str | None) -> Person:
    access: Access = request.app.state.access
    is_open = access.is_open()
    if is_open is None:
        is_open = await run_in_threadpool(access.opens)
    if is_open:
        _check_local(request)
        return LOCAL
    if given:
        return await owner_of(request, given)
    cookie = request.cookies.get(session.COOKIE, "")
    found = await run_in_threadpool(access.session_person, cookie) if cookie else None
    if found is None:
        raise Unauthorized("No API key was sent. Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.")
    _check_own_page(request)
    return found


async def _may_still(request: Request, given: str | None) -> bool:
    """Whether whoever began a request could begin it now."""
    try:
        await _check_role(request, await _person(request, given))
    except Unavailable:
        return True  # nobody can say; the next look may
    except Rejected:
        return False
    return True


async def _check_role(request: Request, person: Person) -> None:
    need = needed(getattr(request.scope.get("route"), "endpoint", None), request.method)
    if not person.role.covers(need.role):
        raise RoleNeeded(
            f"{request.method} {request.url.path} needs the role {need.role.value}; {person.name!r} is "
            f"{person.role.value}. Ask an admin of this farm for it (farm user set {person.name} "
            f"--role {need.role.value})."
        )
    if need.own_job and person.role is not Role.ADMIN:
        await _check_owner(request, person, need)


async def _check_owner(request: Request, person: Person, need: Needs) -> None:
    tools: Context = request.app.state.context
    job = str(request.path_params["job_id"])
    owner = (await run_in_threadpool(tools.farm.document, job)).user
    if owner != person.name:
        raise RoleNeeded(
            f"Job {job} is {owner!r}'s, and {person.name!r} is {person.role.value}: {need.role.value}s decide about "
            f"their own jobs, an admin about all. Ask {owner!r} or an admin."
        )


def _check_rate(wait: float, limit: str) -> None:
    if wait:
        raise TooMany(f"Too many requests: this farm takes {limit}. Ask again in {wait:.0f} s, and less often.", wait)


def _check_tries(wait: float) -> None:
    if wait:
        raise TooMany(
            f"Too many wrong keys came from this address (FARM_RATE_WRONG_KEYS). Keys are looked at again in "
            f"{wait:.0f} s.",
            wait,
        )


def _check_local(request: Request) -> None:
    client = request.client.host if request.client is not None else ""
    if not is_loopback(client) or any(name in request.headers for name in _FORWARDED):
        raise Forbidden(
            "This farm has no API keys, so it answers only programs of its own machine, not those of others or "
            "through a proxy. Set FARM_API_KEYS for the API, and send a key."
        )
    # A page in a local browser may be anybody's: by its own name for 127.0.0.1, or by plain cross-site requests.
    if not is_loopback(_host(f"//{request.headers.get('host', '')}")):
        raise Forbidden("Without API keys this farm answers only to 127.0.0.1 or localhost. Use that as its address.")
    origin = _foreign_origin(request)
    if origin:
        raise Forbidden(f"Without API keys this farm does not answer pages of {origin}. Set FARM_API_KEYS.")


def _check_own_page(request: Request) -> None:
    """A browser sends its cookie by itself: only a page of this farm may use it."""
    origin = _foreign_origin(request)
    if origin or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden(f"A session is good for this farm's own pages, not for {origin or 'others'}. Send an API key.")


def _foreign_origin(request: Request) -> str:
    """The page that asks, if it is not one of this server's."""
    origin = request.headers.get("origin")
    return "" if origin is None or urlsplit(origin).netloc == request.headers.get("host") else origin


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
