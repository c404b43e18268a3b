"""Who is known by which key: those of FARM_API_KEYS, and those of the store, remembered for a few seconds."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Generic, TypeVar

import structlog

from api import session
from farm.domain.people import KeyRecord, Quota, Role, User, declared, digest, id_in
from farm.errors import Unavailable
from farm.ports import Ledger
from farm.service.people import People

log = structlog.get_logger(__name__)

GOOD_KEY_CHARS = 16
"""Characters of a key; fewer can be guessed, which is warned of."""
FRESH_S = 3.0
"""Seconds for which this process believes what the store said of a key: so long a revoked one may still open."""
STALE_S = 60.0
"""Seconds for which it believes it while the store does not answer."""
KEPT = 4096
"""Answers that are remembered, also that there is no such key."""
SECRET_S = 30 * 24 * 3600.0
"""Seconds that the farm's part of sessions' signatures lasts."""
STORED = "key:"
"""Begins the owner of a session that stands for a key of the store; no user's name has a colon."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Person:
    """Somebody whom the farm knows."""

    name: str
    role: Role
    key: str
    """Names the key, and does not tell it; "" where the farm has no keys."""


LOCAL = Person("local", Role.ADMIN, "")
"""Programs of this machine, where the farm has no keys."""


OPERATOR = Person("local", Role.ADMIN, "operator")
"""Whoever runs the farm: the same person as before it had keys, whose jobs are theirs."""


class Keys:
    """The keys of FARM_API_KEYS, as digests: `key`, `name:key` or `name:role:key` each."""

    def __init__(self, keys: Sequence[str], operator_key: str | None = None) -> None:
        """
        Args:
            operator_key: of whoever runs the farm: good, but a farm that has no other counts as one without keys.
        """
        self._operator = digest(operator_key) if operator_key else None
        self._people: list[tuple[Person, bytes]] = []
        for number, text in enumerate(keys, 1):
            entry = declared(number, text)
            if len(entry.key) < GOOD_KEY_CHARS:
                log.warning("api_key_is_short", name=entry.name, characters=len(entry.key), good=GOOD_KEY_CHARS)
            told = digest(entry.key)
            self._people.append((Person(entry.name, entry.role, f"{entry.name}#{told.hex()[:8]}"), told))

    def __bool__(self) -> bool:
        return bool(self._people)

    @property
    def has_admin(self) -> bool:
        """Whether one of them opens everything."""
        return self._operator is not None or any(person.role is Role.ADMIN for person, _ in self._people)

    def person(self, key: str) -> Person | None:
        """The key's owner, or None. Takes the same time wherever the key differs."""
        seen, found = digest(key), None
        if self._operator is not None and hmac.compare_digest(seen, self._operator):
            found = OPERATOR
        for person, kept in self._people:
            if hmac.compare_digest(seen, kept):
                found = person
        return found

    def user(self, key: str) -> str | None:
        """Name of the key's owner, or None."""
        found = self.person(key)
        return found.name if found else None

    def session(self, user: str, key: str) -> str:
        """A browser's session cookie for a user who sent this key."""
        return session.sign(user, digest(key), time.time())

    def session_person(self, cookie: str) -> Person | None:
        """A session's owner, or None if the session is not ours, has ended, or its key is gone."""
        name, now, found = session.owner(cookie), time.time(), None
        if self._operator is not None and name == OPERATOR.name and session.valid(cookie, [self._operator], now):
            found = OPERATOR
        for person, kept in self._people:
            if person.name == name and session.valid(cookie, [kept], now):
                found = person
        return found

    def session_user(self, cookie: str) -> str | None:
        """Name of a session's owner, or None."""
        found = self.session_person(cookie)
        return found.name if found else None


@dataclass(frozen=True)
class _Kept(Generic[_T]):
    answer: _T
    at: float
    """When the store said so."""
    until: float
    """When it is asked again."""


class Remembered(Generic[_T]):
    """Answers of a store, believed for a while. Safe for threads: while one asks anew, the others go on with what was
    known, so that a store that hangs does not stop them all."""

    def __init__(
        self, ask: Callable[[str], _T], clock: Callable[[], float] = time.monotonic, stale_s: float = STALE_S
    ) -> None:
        """
        Args:
            stale_s: for how long an answer is believed while the store gives none.
        """
        self._ask = ask
        self._clock = clock
        self._stale_s = stale_s
        self._kept: OrderedDict[str, _Kept[_T]] = OrderedDict()
        self._lock = Lock()

    def known(self, name: str) -> tuple[_T] | None:
        """The answer, if the store need not be asked; needs no thread. Alone in a tuple, since it may be None."""
        with self._lock:
            kept = self._kept.get(name)
        return (kept.answer,) if kept is not None and self._clock() < kept.until else None

    def get(self, name: str) -> _T:
        """The answer, asked for anew if it is not fresh. Raises Unavailable where no answer is remembered either."""
        found = self.known(name)
        if found is not None:
            return found[0]
        old = self._believe_longer(name)
        try:
            answer = self._ask(name)
        except Unavailable:
            if old is None or self._believe_longer(name) is None:
                raise
            return old.answer
        now = self._clock()
        with self._lock:
            self._kept[name] = _Kept(answer, now, now + FRESH_S)
            self._kept.move_to_end(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _believe_longer(self, name: str) -> _Kept[_T] | None:
        """Have an old answer be believed for a moment more; None if there is none, or if it is too old."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or now - kept.at >= self._stale_s:
                return None
            self._kept[name] = replace(kept, until=min(now + FRESH_S, kept.at + self._stale_s))
        return kept

    def forget(self) -> None:
        """Ask anew next time: something was changed by this process."""
        with self._lock:
            self._kept.clear()


class Access:
    """Everybody who may come in."""

    def __init__(self, keys: Keys, people: People, ledger: Ledger) -> None:
        self.keys = keys
        self.people = people
        self._ledger = ledger
        self._stored: Remembered[tuple[KeyRecord, User] | None] = Remembered(self._look_up)
        self._any: Remembered[bool] = Remembered(lambda _: people.has_keys(), stale_s=math.inf)
        self._secret: Remembered[str] = Remembered(self._farm_secret)
        self._quotas: Remembered[Quota] = Remembered(self._quota)

    def is_open(self) -> bool | None:
        """Whether nobody has a key; None: the store must be asked, `opens` does."""
        if self.keys:
            return False
        found = self._any.known("")
        return None if found is None else not found[0]

    def opens(self) -> bool:
        """Whether nobody has a key, so that programs of this machine need none. Raises Unavailable."""
        return not self.keys and not self._any.get("")

    def quick(self, key: str) -> tuple[Person | None] | None:
        """Whose key it is, as far as that is known without asking the store; None: `person` must be asked."""
        found = self.keys.person(key)
        key_id = id_in(key)
        if found is not None or key_id is None:
            return (found,)
        kept = self._stored.known(key_id)
        return None if kept is None else (self._checked(kept[0], key),)

    def person(self, key: str) -> Person | None:
        """Whose key it is; None: nobody's, or one that has ended. Raises Unavailable."""
        found = self.quick(key)
        if found is not None:
            return found[0]
        return self._checked(self._stored.get(id_in(key) or ""), key)

    def session(self, key: str, person: Person) -> str:
        """A browser's session cookie for a person who sent this key. Raises Unavailable."""
        if self.keys.person(key) is not None:
            return self.keys.session(person.name, key)
        return session.sign(f"{STORED}{person.key}", self._session_secret(digest(key).hex()), time.time())

    def session_person(self, cookie: str) -> Person | None:
        """A session's owner, or None if the session is not ours, has ended, or its key has. Raises Unavailable."""
        owner = session.owner(cookie)
        if not owner.startswith(STORED):
            return self.keys.session_person(cookie)
        found = self._stored.get(owner.removeprefix(STORED))
        if found is None or not session.valid(cookie, [self._session_secret(found[0].digest)], time.time()):
            return None
        return _person(*found)

    def quota(self, name: str) -> Quota:
        """A user's own quota, where the store knows that user. Raises Unavailable."""
        return self._quotas.get(name)

    def forget(self) -> None:
        """What was remembered may be wrong: this process has changed users or keys."""
        for kept in (self._stored, self._any, self._quotas):
            kept.forget()

    def _look_up(self, key_id: str) -> tuple[KeyRecord, User] | None:
        key = self.people.key(key_id)
        user = self.people.find(key.user) if key is not None else None
        return (key, user) if key is not None and user is not None else None

    def _quota(self, name: str) -> Quota:
        user = self.people.find(name)
        return Quota() if user is None else user.quota

    def _checked(self, found: tuple[KeyRecord, User] | None, key: str) -> Person | None:
        return _person(*found) if found is not None and found[0].fits(key) else None

    def _session_secret(self, kept: str) -> bytes:
        """What signs a session: the store's digest alone would let whoever reads a backup of it sign one."""
        return hmac.new(self._secret.get("").encode(), bytes.fromhex(kept), hashlib.sha256).digest()

    def _farm_secret(self, _: str) -> str:
        return self._ledger.remember("session-secret", secrets.token_hex(32), SECRET_S)


def _person(key: KeyRecord, user: User) -> Person | None:
    return Person(user.name, user.role, key.id) if key.live(datetime.now(UTC)) else None
