"""Who may ask: API keys, or, without any, this machine alone."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api import session
from api.problems import Forbidden, Unauthorized
from farm.errors import Rejected

log = structlog.get_logger(__name__)

GOOD_KEY_CHARS = 16
"""Characters of a key; fewer can be guessed, which is warned of."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

_bearer = HTTPBearer(auto_error=False, description="One of FARM_API_KEYS.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of FARM_API_KEYS.")


class OpenToTheWorld(Rejected):
    """The API would listen on a network without asking for a key."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The API is to listen on {host}, which other machines can reach, but FARM_API_KEYS is empty. "
            f"Set FARM_API_KEYS=name:key (a long random key; several with commas), or FARM_API_HOST=127.0.0.1."
        )


class Keys:
    """The keys that are accepted, as digests: `[name:]key` each."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._users: list[tuple[str, bytes]] = []
        for number, text in enumerate(keys, 1):
            name, colon, key = text.partition(":")
            if not colon:
                name, key = f"key-{number}", text
            if len(key) < GOOD_KEY_CHARS:
                log.warning("api_key_is_short", name=name, characters=len(key), good=GOOD_KEY_CHARS)
            self._users.append((name, _digest(key)))

    def __bool__(self) -> bool:
        return bool(self._users)

    def user(self, key: str) -> str | None:
        """Name of the key's owner, or None. Takes the same time wherever the key differs."""
        seen, found = _digest(key), None
        for name, digest in self._users:
            if hmac.compare_digest(seen, digest):
                found = name
        return found

    def session(self, user: str, key: str) -> str:
        """A browser's session cookie for a user who sent this key."""
        return session.sign(user, _digest(key), time.time())

    def session_user(self, cookie: str) -> str | None:
        """Name of a session's owner, or None if the session is not ours, has ended, or its key is gone."""
        user = session.owner(cookie)
        secrets = [digest for name, digest in self._users if name == user]
        return user if session.valid(cookie, secrets, time.time()) else None


def check_binding(host: str, keys: Keys) -> None:
    """Refuse to listen on a network without keys. Raises OpenToTheWorld."""
    if not keys and not is_loopback(host):
        raise OpenToTheWorld(host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and nothing else."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


async def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str:
    """Name of who asks; "local" where no keys are set.

    Raises:
        Unauthorized: no key or a wrong one.
        Forbidden: no keys are set, and the request is not plainly one of this machine's own programs.
    """
    keys: Keys = request.app.state.keys
    if not keys:
        _check_local(request)
        return "local"
    given = bearer.credentials if bearer is not None else header
    if not given:
        user = keys.session_user(request.cookies.get(session.COOKIE, ""))
        if user is not None:
            _check_own_page(request)
            return user
        raise Unauthorized("No API key was sent. Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.")
    user = keys.user(given)
    if user is None:
        raise Unauthorized("The API key is not one of this farm's. Ask its operator (FARM_API_KEYS) for one.")
    return user


User = Annotated[str, Depends(authenticate)]


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


def _digest(key: str) -> bytes:
    # Compared as digests: of one length, and not to be read in a memory dump.
    return hashlib.sha256(key.encode()).digest()
