"""`python -m tests.shows.users`: two API processes on one Redis and one S3: keys, roles, rates and the audit."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import redis

from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.shows.stage import Stage, say, stage

ROOT = "a-long-key-of-the-operator"
DEAD_S = 5.0
"""Seconds within which a revoked key must be dead in every process."""
PER_KEY, WRONG = 200, 20
"""Requests a minute with one key, and with wrong ones from one address."""
ASIDE_S = 1.0
"""Seconds that no request may take for a Redis that is gone."""


class Show:
    """Two processes of one farm's API, and what came of asking them."""

    def __init__(self, farm: FarmUnderTest, urls: tuple[str, str]) -> None:
        self._farm = farm
        self.urls = urls
        self.wrong = 0
        self.tries = 0
        """Requests with a key that opens nothing, so far."""

    def claim(self, told: str, holds: bool) -> None:
        """Tell what was seen, and whether it is what was promised."""
        self.wrong += not holds
        say(f"{'ok   ' if holds else 'WRONG'} {told}")

    def farm(self, *arguments: str, key: str = ROOT) -> str:
        """What a command of the command line writes."""
        kept = self._farm.values
        self._farm.values = {**kept, "api_key": key}
        done = self._farm.command(*arguments, url=self.urls[0])
        self._farm.values = kept
        return done.stdout.strip() or done.stderr.strip()

    def status(self, process: int, path: str, key: str) -> int:
        """What a process answers."""
        return httpx.get(f"{self.urls[process]}{path}", headers={"X-API-Key": key}, timeout=30).status_code

    def wait_for(self, process: int, key: str, status: int) -> float:
        """Seconds until a process answers so."""
        begin = time.monotonic()
        until("the key is dead", lambda: self.status(process, "/api/v1/models", key) == status)
        return time.monotonic() - begin


def keys(show: Show) -> None:
    """A key made by one process opens the other, and is dead in both soon after it was revoked."""
    say(show.farm("user", "add", "ann"), show.farm("user", "add", "vic", "--role", "viewer"))
    ann, vic = (show.farm("key", "create", name) for name in ("ann", "vic"))
    seen = [show.status(process, "/api/v1/models", key) for process in (0, 1) for key in (ann, vic)]
    show.claim(f"keys of two users at two processes: {seen}", seen == [200] * 4)
    refused = [show.farm("user", "list", key=key) for key in (ann, vic)]
    show.claim(f"an artist asks for users: {refused[0]}", all("needs the role admin" in text for text in refused))
    # Both have just looked it up: nobody has to ask the store again so soon.
    seen = [show.status(process, "/api/v1/models", ann) for process in (0, 1)]
    revoke = f"{show.urls[0]}/api/v1/keys/{ann.split('_')[1]}"
    httpx.delete(revoke, params={"reason": "a lost laptop"}, headers={"X-API-Key": ROOT}).raise_for_status()
    here, there = (show.wait_for(process, ann, 401) for process in (0, 1))
    show.claim(f"revoked key: dead after {here:.1f} s where it was revoked, {there:.1f} s elsewhere", there <= DEAD_S)
    show.tries = 2


def rates(show: Show) -> None:
    """Processes count together; wrong keys shut their address out of both."""
    fast = show.farm("key", "create", "vic")
    answers = Counter(show.status(number % 2, "/api/v1/me", fast) for number in range(PER_KEY + 50))
    # A request that falls into the next bucket of the window counts there.
    close = abs(answers[200] - PER_KEY) <= PER_KEY // 50
    show.claim(f"{PER_KEY + 50} requests at two processes, {PER_KEY} a minute: {dict(answers)}", close)
    guesses = Counter(show.status(0, "/api/v1/me", f"guess-{number}") for number in range(2 * WRONG))
    show.claim(
        f"{2 * WRONG} wrong keys, {WRONG} a minute, {show.tries} before: {dict(guesses)}",
        guesses[429] == WRONG + show.tries,
    )
    next_door = [show.status(1, "/api/v1/me", f"guess-{number}") for number in range(3)]
    show.claim(f"the next ones at the other process: {next_door}", next_door == [429] * 3)


def losses(show: Show, farm: FarmUnderTest) -> None:
    """A Redis that is gone keeps nobody out; one that has lost everything has lost nobody."""
    with redis.Redis.from_url(farm.redis.url) as client:
        client.flushall()
    time.sleep(61)  # this machine's address was shut out for at most a minute
    users = show.farm("user", "list")
    show.claim("users after Redis lost everything: " + " ".join(users.split()), "ann" in users and "vic" in users)
    told = show.farm("audit").splitlines()
    show.claim(f"the audit has {len(told) - 1} changes, the last: {told[1]}", len(told) - 1 == 6)
    farm.redis.stop(15.0)
    slowest = 0.0
    seen = Counter[int]()
    for _ in range(30):
        begin = time.monotonic()
        seen[show.status(0, "/api/v1/models", ROOT)] += 1
        slowest = max(slowest, time.monotonic() - begin)
    show.claim(
        f"30 requests without Redis: {dict(seen)}, the slowest took {slowest:.2f} s",
        seen == {200: 30} and slowest <= ASIDE_S,
    )


@contextmanager
def two(here: Stage) -> Iterator[tuple[FarmUnderTest, Show]]:
    """A farm with two API processes."""
    limits = {"rate_per_key": PER_KEY, "rate_wrong_keys": WRONG}
    with here.farm(api_keys=f"root:{ROOT}", **limits) as farm:
        urls = []
        for _ in range(2):
            farm.api()
            urls.append(farm.api_url)
        yield farm, Show(farm, (urls[0], urls[1]))


def main() -> int:
    """Print the figures; 0 if all of it holds."""
    parts: tuple[Callable[[Show], None], ...] = (keys, rates)
    with stage() as here, two(here) as (farm, show):
        for part in parts:
            part(show)
        losses(show, farm)
        return int(show.wrong > 0)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
