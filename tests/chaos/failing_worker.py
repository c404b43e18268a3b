"""`python -m tests.chaos.failing_worker`: of eight workers one always fails. It is blocked, and the job completes.

Printed: the attempts that failed, by worker, who is blocked, the time, and the time of seven healthy workers.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from farm.domain.detailer import JobType
from farm.ports import Blocked, JobStatus, TaskFilter
from tests.e2e import reference
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request
from tests.shows.stage import say, stage

WORKERS = 8
SLOW = 0.02
"""Seconds per crop."""
FAILURES_MAX = 3


def main() -> int:
    """Print the figures; 0 if the worker was blocked after three failures and the bytes are those of the reference."""
    with stage() as here:
        shot = here.shot(frames=64)
        with here.farm() as farm:
            wanted = request(hand_in(shot, farm), JobType.MASK)
            (expected,) = reference.render(here.new("reference"), shot, wanted)
            healthy = [farm.worker(f"w{n}", fake_seconds=SLOW).name for n in range(WORKERS - 1)]
            farm.start("broken", "tests.e2e.faulty_worker", "broken", "broken", fake_seconds=SLOW)
            farm.await_workers([*healthy, "broken"])
            status, blocked, failed, seconds = run(farm, shot)
            same = not differing(expected, farm.frames(status.facts.id))
        with here.farm() as farm:
            hand_in(shot, farm)
            farm.workers(WORKERS - 1, fake_seconds=SLOW)
            _, _, _, alone = run(farm, shot)
    said = ", ".join(f"{block.worker} ({block.kind}: {' '.join(block.tasks)})" for block in blocked)
    say(
        f"{status.facts.frames} frames, {WORKERS} workers, one of them always fails: job {status.state}",
        f"  failed attempts: {dict(failed)}; blocked: {said or 'nobody'}",
        f"  {seconds:.1f} s; the same job on {WORKERS - 1} healthy workers: {alone:.1f} s",
        f"  {'same bytes as the reference' if same else 'OTHER BYTES'}",
    )
    fine = same and set(failed) == {"broken"} and failed["broken"] <= FAILURES_MAX
    return 0 if fine and {block.worker for block in blocked} == {"broken"} else 1


def run(farm: FarmUnderTest, shot: Shot) -> tuple[JobStatus, tuple[Blocked, ...], Counter[str], float]:
    """Run the job to its end: its status, who was blocked, failed attempts by worker, seconds."""
    begun = time.monotonic()
    job = farm.submit(request(hand_in(shot, farm), JobType.MASK))
    failed: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()

    def ended() -> bool:
        # Rows of finished chunks are dropped as the job goes on.
        for task in farm.farm.tasks(job, TaskFilter(), limit=10_000):
            for number, attempt in enumerate(task.history):
                if attempt["outcome"] == "error" and (task.id, number) not in seen:
                    seen.add((task.id, number))
                    failed[str(attempt["worker"])] += 1
        return farm.farm.status(job).ended is not None

    until("the job has ended", ended)
    status = farm.wait(job)
    return status, status.blocked, failed, time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
