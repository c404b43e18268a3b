"""`python -m tests.chaos.poison`: one frame on which every worker fails. The rest completes; `eat` finishes the job.

Printed: states of the tasks before and after, what failed and why, and the digest of that frame beside the input's.
"""

from __future__ import annotations

import sys

from farm.adapters.pictures import decode, digest
from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from farm.ports import JobStatus
from tests.e2e import reference
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, picture, request
from tests.shows.stage import say, stage

WORKERS = 4
POISON = 21
"""Position of the frame; its number is one more."""
NAME = f"{POISON + 1:04d}.png"


def main() -> int:
    """Print the figures; 0 if only the poisoned frame differs from the reference, and is the input's."""
    with stage() as here:
        shot = here.shot(frames=40)
        with here.farm() as farm:
            wanted = request(hand_in(shot, farm), JobType.MASK)
            (expected,) = reference.render(here.new("reference"), shot, wanted)
            names = [f"w{number}" for number in range(WORKERS)]
            for name in names:
                farm.start(name, "tests.e2e.faulty_worker", name, f"poison-{POISON}")
            farm.await_workers(names)
            api = farm.api()
            job = farm.submit(wanted)
            failed = farm.wait(job, JobState.FAILED)
            tell("before", failed)
            attempts_fit = tell_failures(farm, job)
            done = farm.command("job", "eat", job, "--frame", str(POISON + 1), url=api.http.url)
            say(f"  farm job eat JOB --frame {POISON + 1}: {done.stdout.strip()} {done.stderr.strip()}")
            status = farm.wait(job)
            tell("after", status)
            frames = farm.frames(job)
    ours, theirs = digest(decode(frames[NAME])), digest(picture(POISON))
    others = differing(expected, frames)
    say(f"  digest of {NAME} {ours[:16]}, of the input {theirs[:16]}", f"  frames unlike the reference: {others}")
    fine = failed.frames_done == failed.facts.frames - 8 and failed.chunks_failed == 1 and attempts_fit
    return 0 if fine and ours == theirs and others == [NAME] and status.frames_done == 40 else 1


def tell(when: str, status: JobStatus) -> None:
    """Print a job's counts."""
    counts = {state.value: count for state, count in status.counts.items() if count}
    chunks = f"{status.chunks_done} chunks done, {status.chunks_failed} failed"
    say(f"{when}: {status.state}, {status.frames_done} of {status.facts.frames} frames, {chunks}; tasks {counts}")


def tell_failures(farm: FarmUnderTest, job: str) -> bool:
    """Print what failed by itself; whether each failed on three different workers."""
    roots = [task for task in farm.rows(job, TaskState.FAILED) if not task.cause]
    fit = True
    for task in roots:
        workers = [str(attempt["worker"]) for attempt in task.history]
        fit = fit and len(workers) == len(set(workers)) == 3
        say(f"  {task.id} failed on {', '.join(workers)}: {task.error}")
    return fit and bool(roots)


if __name__ == "__main__":
    sys.exit(main())
