"""`python -m tests.shows.redis_outage`: Redis stopped, killed and wiped in the middle of a job."""

from __future__ import annotations

import sys
import time

import redis

from farm.domain.detailer import JobType
from tests.e2e import reference
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.losses import steps_needed
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, request
from tests.shows.stage import say, stage

SLOW = 0.06
"""Seconds per crop."""
GONE_S = 5.0


def restarted(farm: FarmUnderTest, job: str, grace_s: float) -> str:
    """Redis ends in mid-job and comes back on its append-only file."""
    farm.active(job)
    before = farm.farm.status(job)
    farm.redis.stop(grace_s)
    time.sleep(GONE_S)
    farm.redis.start()
    how = "stopped" if grace_s else "killed"
    return f"Redis {how} at {before.frames_done} of {before.facts.frames} frames, back after {GONE_S:g} s"


def wiped(farm: FarmUnderTest, job: str, grace_s: float) -> str:
    """Redis forgets everything in mid-job; `farm job recover` rebuilds the job."""
    until("two chunks are finished", lambda: len(farm.names(f"jobs/{job}/chunks/")) >= 2)
    done, before = len(farm.names("done/")), farm.farm.status(job)
    with redis.Redis.from_url(farm.redis.url) as client:
        client.flushall()
    answer = farm.command("job", "recover", job, url=farm.api().http.url)
    assert answer.returncode == 0, answer.stderr
    return (
        f"Redis wiped at {before.frames_done} of {before.facts.frames} frames, with {done} detail tasks finished; "
        f"`farm job recover`"
    )


def main() -> int:
    """Print the figures; 0 if the bytes are those of the reference."""
    wrong = 0
    with stage() as here:
        shot = here.shot(frames=64)
        for hurt, grace_s in ((restarted, 15.0), (restarted, 0.0), (wiped, 0.0)):
            with here.farm() as farm:
                wanted = request(hand_in(shot, farm), JobType.ANIMATEDIFF)
                (expected,) = reference.render(here.new("reference"), shot, wanted)
                workers = farm.workers(2, fake_seconds=SLOW)
                job = farm.submit(wanted)
                story = hurt(farm, job, grace_s)
                status = farm.wait(job)
                finished = [t for w in workers for t in farm.finished(w.name) if t.startswith("detail.")]
                needed = steps_needed(farm.blobs, farm.farm.document(job)) // wanted.detailer.steps
                same = not differing(expected, farm.frames(job))
                twice = len(finished) - len(set(finished))
            wrong += not same
            say(
                f"{story}: {status.state.value}, {'same bytes' if same else 'OTHER BYTES'}; {len(finished)} detail "
                f"tasks were finished for {needed} in the plans, {twice} of them more than once"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
