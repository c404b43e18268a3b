"""`python -m tests.shows.same_bytes [--real]`: one job in one process, on 1, 2 and 4 workers, in orders drawn by lot.

Prints one digest over all final PNGs of each run; they must be equal. With `--real`, the embedded model instead of the
fake engine, over 28 frames of the demo clip.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator

from farm.domain.detailer import REPAINTING
from farm.domain.job import JobRequest
from tests.e2e import reference
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.reference import final_frames
from tests.e2e.shots import Shot, hand_in, request
from tests.shows import demo_clip
from tests.shows.stage import Stage, say, stage

WORKERS = (1, 2, 4)
SEEDS = (1, 2, 3)


def digest(frames: dict[str, bytes]) -> str:
    """sha256 over names and bytes of all frames, in order."""
    found = hashlib.sha256()
    for name in sorted(frames):
        found.update(name.encode())
        found.update(hashlib.sha256(frames[name]).digest())
    return found.hexdigest()[:16]


def on_workers(stage: Stage, shot: Shot, wanted: JobRequest, workers: int, **settings: object) -> dict[str, bytes]:
    """The frames that so many processes make of a job."""
    with stage.farm(**settings) as farm:
        hand_in(shot, farm)
        job = farm.submit(wanted)
        farm.workers(workers)
        farm.wait(job, timeout_s=1800)
        return farm.frames(job)


def runs(
    stage: Stage, shot: Shot, wanted: JobRequest, shuffle: bool, **settings: object
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each way of running a job, with its frames."""
    yield "farm render (one process)", reference.render(stage.new("render"), shot, wanted, **settings)[0]
    for workers in WORKERS:
        yield f"{workers} worker process(es)", on_workers(stage, shot, wanted, workers, **settings)
    for seed in SEEDS if shuffle else ():
        with AnyOrderFarm(stage.new("order"), seed) as farm:
            hand_in(shot, farm)
            job = farm.run(wanted).facts.id
        order = [task.split(".")[1] for task in farm.ran if task.startswith("paste.")]
        yield f"chunks finished {' '.join(order)}", final_frames(farm.blobs, job)


def main(real: bool) -> int:
    """Print the table; 0 if all digests of a job are equal."""
    equal = True
    with stage() as here:
        shot = demo_clip.shot() if real else here.shot()
        settings: dict[str, object] = demo_clip.ENGINE if real else {"fake_seconds": 0.01}
        with AnyOrderFarm(here.new("order")) as farm:
            handed = hand_in(shot, farm)
        for job_type in REPAINTING:
            wanted = demo_clip.request(handed, job_type, "60-87") if real else request(handed, job_type)
            say(f"{job_type.value} job, {'embedded model' if real else 'fake engine'}")
            seen = set()
            started = time.monotonic()
            for name, frames in runs(here, shot, wanted, not real, **settings):
                seconds, started = time.monotonic() - started, time.monotonic()
                seen.add(digest(frames))
                say(f"  {digest(frames)}  {len(frames)} frames  {seconds:6.1f} s  {name}")
            equal = equal and len(seen) == 1
    say("all equal" if equal else "NOT EQUAL")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main("--real" in sys.argv))
