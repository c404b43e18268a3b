"""The address of the farm's Redis: one server, with TLS or without, or the primary that Sentinels watch over.

Ledger and broker read the same address, so that both find the same primary after a failover.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis import Redis
from redis.sentinel import Sentinel

from farm.errors import Rejected

SECURE = ("rediss", "sentinels")
"""Schemes with TLS."""
SENTINEL_PORT = 26379
SENTINEL_ANSWER_S = 2.0
"""Seconds for a Sentinel to answer before the next one is asked: they only look into their memory."""
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OF_SENTINEL = ("master", "sentinel_username", "sentinel_password")


class BadRedisAddress(Rejected):
    """An address that leads to no Redis."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"The farm cannot use {where!r} as its Redis: {why}. Set FARM_REDIS_URL to the address of one server, "
            f"redis://[user:password@]host:6379/0 (rediss:// with TLS, unix:// for a socket) or that of a proxy, or, "
            f"behind Sentinels, to sentinel://[user:password@]host:26379,host2:26379/0?master=NAME (sentinels:// with "
            f"TLS)."
        )


@dataclass(frozen=True)
class Broker:
    """What Celery needs to know of the same address."""

    url: str = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of its transport."""
    tls: dict[str, Any] | None = None


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, and how to speak to it."""

    url: str = field(repr=False)
    where: str
    """For people: without user, passwords and options."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each; none: the address is that of the server."""
    db: int = 0
    login: tuple[str | None, str | None] = field(default=(None, None), repr=False)
    """User and password of the server."""
    options: dict[str, str] = field(default_factory=dict, repr=False)
    """Of the query: `master`, `sentinel_…`, `ssl_…`."""

    @staticmethod
    def read(url: str) -> RedisAddress:
        """Take an address apart. Raises BadRedisAddress; passwords are not in what it says."""
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        where = f"{parts.scheme}://{hosts}{parts.path}"
        if parts.scheme in ("redis", "rediss", "unix"):
            return RedisAddress(url, where, options=dict(parse_qsl(parts.query)))
        if parts.scheme not in ("sentinel", "sentinels"):
            raise BadRedisAddress(where, f"it begins with {parts.scheme or 'no scheme'}")
        options = dict(parse_qsl(parts.query))
        unknown = options.keys() - {*_OF_SENTINEL, *_TLS}
        if unknown:
            raise BadRedisAddress(where, f"it has the unknown option {', '.join(sorted(unknown))}")
        if not options.get("master"):
            raise BadRedisAddress(where, "it does not say which primary its Sentinels are to be asked for")
        db = parts.path.strip("/") or "0"
        if not db.isdigit():
            raise BadRedisAddress(where, f"{db!r} is no number of a database")
        user, _, password = login.partition(":")
        known = (unquote(user) or None, unquote(password) or None)
        return RedisAddress(url, where, _hosts(hosts, where), int(db), known, options)

    @property
    def secure(self) -> bool:
        """Whether it is spoken to with TLS."""
        return urlsplit(self.url).scheme in SECURE

    def client(self, **options: Any) -> Redis:  # noqa: ANN401 - options of redis-py
        """A client of the server, or of whoever is the primary. No request is made yet."""
        if not self.sentinels:
            return Redis.from_url(self.url, **options)
        user, password = self.login
        watchers = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's is untyped
            self.sentinels,
            sentinel_kwargs=self._to_sentinels(),
            username=user,
            password=password,
            db=self.db,
            **self._tls(),
            **options,
        )
        client: Redis = watchers.master_for(self.options["master"])  # type: ignore[no-untyped-call]  # as above
        return client

    def broker(self) -> Broker:
        """The same for Celery."""
        files = {name: self.options[name] for name in _TLS if name in self.options}
        tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **files} if self.secure else None
        if not self.sentinels:
            # Options of TLS are told apart from the address.
            return Broker(urlsplit(self.url)._replace(query="").geturl() if self.secure else self.url, tls=tls)
        user, password = (quote(word or "", safe="") for word in self.login)
        login = f"{user}:{password}@" if user or password else ""
        urls = (f"sentinel://{login}{_bracketed(host)}:{port}/{self.db}" for host, port in self.sentinels)
        options = {"master_name": self.options["master"], "sentinel_kwargs": self._to_sentinels()}
        return Broker(";".join(urls), options, tls)

    def _tls(self) -> dict[str, Any]:
        files = {name: self.options[name] for name in _TLS if name in self.options}
        return {"ssl": True, **files} if self.secure else {}

    def _to_sentinels(self) -> dict[str, Any]:
        given = {"username": "sentinel_username", "password": "sentinel_password"}
        login = {name: self.options[option] for name, option in given.items() if option in self.options}
        times = {"socket_timeout": SENTINEL_ANSWER_S, "socket_connect_timeout": SENTINEL_ANSWER_S}
        return {**times, **login, **self._tls()}


def _hosts(text: str, where: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in filter(None, text.split(",")):
        try:
            one = urlsplit(f"//{part}")
            host, port = one.hostname, one.port
        except ValueError:
            host, port = None, None
        if not host:
            raise BadRedisAddress(where, f"{part!r} is not host:port")
        found.append((host, port or SENTINEL_PORT))
    if not found:
        raise BadRedisAddress(where, "it names no host")
    return tuple(found)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
