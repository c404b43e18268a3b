"""`python -m tests.shows.sse_clients`: a hundred listeners of all events, while the API is killed and started again.

A real farm with the fake engine renders a job. Every tenth listener hangs up by itself now and then; in the middle of
the job the API is killed (SIGKILL) and comes back some seconds later. In the end each listener's events are held
against the log in Redis: what is missing is lost, what came more than once is twice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median, quantiles

import httpx
import redis

from farm.domain.detailer import JobType
from farm.domain.state import JOB_ENDED
from tests.e2e.farm_under_test import PATIENCE_S, FarmUnderTest, Process
from tests.e2e.shots import hand_in, request
from tests.shows.stage import say, stage

FRAMES = 96
SLOW = 0.05
"""Seconds per crop."""
GONE_S = 3.0
"""Seconds without an API."""
HANG_UP = 60
"""Events after which every tenth listener hangs up."""


@dataclass
class Listener:
    """One client: what it knows, and what it was told."""

    url: str
    known: str
    restless: bool
    told: Counter[str] = field(default_factory=Counter)
    resets: int = 0
    connections: int = 0
    late_ms: list[float] = field(default_factory=list)
    """How long each event took to come, while nothing was cut."""
    calm: bool = True

    async def listen(self, http: httpx.AsyncClient) -> None:
        """Over any number of cuts, until somebody ends it."""
        while True:
            with suppress(httpx.HTTPError):
                await self._connected(http)
            await asyncio.sleep(random.uniform(0.05, 0.3))

    async def _connected(self, http: httpx.AsyncClient) -> None:
        self.connections += 1
        heard = 0
        async with http.stream("GET", f"{self.url}/api/v1/events", headers={"Last-Event-ID": self.known}) as answer:
            answer.raise_for_status()
            block: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                    continue
                self._take(block)
                heard += "data" in block
                block = {}
                if self.restless and heard >= HANG_UP:
                    return

    def _take(self, block: dict[str, str]) -> None:
        if "data" in block:
            if block["event"] == "reset":
                self.resets += 1
            else:
                self.told[block["id"]] += 1
                if self.calm and not self.restless:
                    self.late_ms.append(time.time() * 1000 - int(block["id"].partition("-")[0]))
        self.known = block.get("id", self.known)


def log_of(farm: FarmUnderTest, after: str) -> list[str]:
    """Ids of all events behind one, as Redis has them."""
    found: list[str] = []
    while page := farm.ledger.events(found[-1] if found else after, 5000).events:
        found += [event.id for event in page]
    return found


def api_again(farm: FarmUnderTest) -> Process:
    """Start the API on the port that it had."""
    return farm.start("api-again", "farm.cli", "api", api_port=farm.api_url.rpartition(":")[2])


def readers(farm: FarmUnderTest) -> int:
    """Connections that wait in Redis for events."""
    with redis.Redis.from_url(farm.redis.url, decode_responses=True) as client:
        return sum(one["cmd"] == "xread" for one in client.client_list())


async def play(farm: FarmUnderTest, job: str, listeners: list[Listener]) -> tuple[int, str]:
    """Listen while the job runs and the API dies; the most readers that were seen at once, and the last event."""
    most, last, patience = 0, "", time.monotonic() + PATIENCE_S
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=30), limits=limits) as http:
        tasks = [asyncio.create_task(listener.listen(http)) for listener in listeners]
        api, killed = next(one for one in farm.processes if one.name == "api"), 0.0
        while not last or not all(last in listener.told for listener in listeners):
            assert time.monotonic() < patience, "listeners wait in vain for the end"
            status = await asyncio.to_thread(farm.farm.status, job)
            most = max(most, await asyncio.to_thread(readers, farm))
            if not killed and status.frames_done >= FRAMES // 4:
                say(f"API killed at {status.frames_done} of {FRAMES} frames, {len(listeners)} streams open")
                for listener in listeners:
                    listener.calm = False
                api.kill()
                killed = time.monotonic()
            elif killed and api.name == "api" and time.monotonic() - killed > GONE_S:
                api = api_again(farm)
            if not last and status.state in JOB_ENDED:
                last = (await asyncio.to_thread(farm.ledger.events)).newest
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most, last


def main(count: int) -> int:
    """Print the figures; 0 if nothing was lost and nothing came twice."""
    with stage() as here, here.farm() as farm:
        shot = here.shot(frames=FRAMES)
        farm.api()
        farm.workers(2, fake_seconds=SLOW)
        wanted = request(hand_in(shot, farm), JobType.MASK)
        begin = farm.ledger.events().newest
        listeners = [Listener(farm.api_url, begin, number % 10 == 0) for number in range(count)]
        job = farm.submit(wanted)
        most, last = asyncio.run(play(farm, job, listeners))
        sent = log_of(farm, begin)
        sent = sent[: sent.index(last) + 1]
    lost = sum(len(set(sent) - listener.told.keys()) for listener in listeners)
    twice = sum(times - 1 for listener in listeners for times in listener.told.values())
    late = [each for listener in listeners for each in listener.late_ms]
    received = sum(len(listener.told.keys() & set(sent)) for listener in listeners)
    say(
        f"{count} listeners, {sum(listener.connections for listener in listeners)} connections, API away for "
        f"{GONE_S:g} s and the time of its start",
        f"events sent: {len(sent)} (to {count}: {len(sent) * count}), received: {received}, lost: {lost}, "
        f"twice: {twice}, resets: {sum(listener.resets for listener in listeners)}",
        f"readers of the log in Redis, all listeners together: {most} at the most; from the event to the listener: "
        f"median {median(late):.0f} ms, 95 of 100 within {quantiles(late, n=20)[-1]:.0f} ms (before the cut)",
    )
    return 1 if lost or twice or most > 1 or not sent else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100, help="How many listen.")
    sys.exit(main(parser.parse_args().clients))
