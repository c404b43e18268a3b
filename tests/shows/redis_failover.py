"""`python -m tests.shows.redis_failover`: the primary Redis is killed while a job runs; Sentinels name another.

Two servers and three Sentinels, workers and the API of the farm as processes. How long does nothing move, is anything
lost, and are the frames those of one process?
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

from farm.adapters.servers import EmbeddedRedis
from farm.domain.detailer import JobType
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, request
from tests.sentinels import Watched
from tests.shows.power_cut import undisturbed
from tests.shows.stage import say, stage

FRAMES = 64
SLOW = 0.05
"""Seconds per crop."""


class _Behind(Watched):
    """Servers that end as the one of a farm does."""

    def stop(self, grace_s: float = 0) -> None:
        """End all at once."""
        super().stop()


def main() -> int:
    """Print the figures; 0 if the job was completed with the bytes of the reference."""
    with stage() as here:
        shot = here.shot(FRAMES)
        plain = undisturbed(here.new("reference"), shot)
        farm = here.farm()
        servers = _Behind(here.new("redis"))
        farm.redis = cast(EmbeddedRedis, servers)
        with farm:
            farm.workers(2, fake_seconds=SLOW)
            client = farm.api()
            job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
            until("a quarter is done", lambda: farm.farm.status(job).frames_done >= FRAMES // 4)
            return _lose(farm, servers, job, plain, lambda: client.job(job).status.value)


def _lose(farm: FarmUnderTest, servers: Watched, job: str, plain: dict[str, bytes], ask: Callable[[], str]) -> int:
    before, done = servers.primary(), farm.farm.status(job).frames_done
    servers.kill(before)
    lost_at = time.monotonic()
    until("the Sentinels name another", lambda: servers.primary() != before)
    named = time.monotonic() - lost_at
    until("a frame is finished", lambda: farm.farm.status(job).frames_done > done)
    moved = time.monotonic() - lost_at
    servers.start_server(before)
    farm.wait(job)
    answered = ask()
    ended = Counter(str(attempt["outcome"]) for row in farm.rows(job) for attempt in row.history)
    wrong = differing(plain, farm.frames(job))
    say(
        f"primary killed at {done} of {FRAMES} frames; another named after {named:.1f} s",
        f"next frame after {moved:.1f} s",
        f"the API says {answered}; attempts of what the ledger still holds: {dict(ended)}",
        f"{len(plain)} frames, {len(wrong)} of them other than in one process",
    )
    return int(bool(wrong) or answered != "completed")


if __name__ == "__main__":
    sys.exit(main())
