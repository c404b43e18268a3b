"""`python -m tests.bench.dispatch`: how fast are tasks handed out that do nothing, and does it last in long jobs?

Ours: real workers, the ledger, the store and Celery, with steps that do nothing; per frame a plan, a detail task for
each of three segments, of which one waits, and a paste. Beside it, on the same Redis in the same run, with as many
processes: plain Celery tasks that do nothing, and a Celery chord per frame. All times begin with the submission.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import redis
import torch

from farm.domain import keys
from farm.domain.job import JobRequest
from farm.domain.media import Media
from farm.domain.state import TaskState
from farm.service.farm import UPLOAD
from tests.bench import plain_celery
from tests.bench.loads import DISKS, HEIGHT, WIDTH, bench_farm
from tests.bench.measures import machine, out, table
from tests.bench.watch import ledger_work
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.shots import MODEL, make_model

PATIENCE_S = 3600.0
CHORD = "a Celery chord per frame"
WARM = 64
"""Frames of a job before all others."""


@dataclass(frozen=True)
class Rate:
    """So many tasks that did nothing."""

    what: str
    frames: int
    tasks: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Tasks per second."""
        return self.tasks / self.seconds


def listed(farm: FarmUnderTest, name: str, frames: int) -> str:
    """The URI of pictures that nobody will ever look at."""
    media = Media(id=f"{name}-{frames}", kind="pictures", name=name, width=WIDTH, height=HEIGHT, frames=frames)
    farm.blobs.put(keys.media_doc(media.id), media.model_dump_json().encode())
    return f"{UPLOAD}{media.id}"


def ours(farm: FarmUnderTest, frames: int, chunk: int) -> Rate:
    """A job of so many frames."""
    wanted = JobRequest.model_validate(
        {
            "input": {"uri": listed(farm, "clip", frames)},
            "segments": [{"name": name, "mask": listed(farm, name, 1)} for name in DISKS],
            "model": MODEL,
            "chunk": chunk,
            "outputs": [],
        }
    )
    begin = time.perf_counter()
    status = farm.wait(farm.submit(wanted), timeout_s=PATIENCE_S)
    seconds = time.perf_counter() - begin
    what = "ours" if chunk == 1 else f"ours, chunks of {chunk}"
    return Rate(what, frames, status.counts[TaskState.COMPLETED], seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dispatch", description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 1000], help="of jobs with a chunk per frame")
    parser.add_argument("--long", type=int, nargs="*", default=[1000, 4000], help="the same in chunks of 16 frames")
    parser.add_argument("--chords", type=int, default=1000, help="frames that are done as a Celery chord each")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    found: list[Rate] = []
    with bench_farm() as farm, plain_celery.workers(farm.redis.url, given.workers):
        farm.add_model(MODEL, make_model(farm.folder / "model"))
        names = [farm.start(f"w{n}", "tests.bench.noop_worker", f"w{n}").name for n in range(given.workers)]
        until("the workers are alive", lambda: set(names) <= {w.id for w in farm.farm.workers()})
        ours(farm, WARM, 1)
        plain(farm, WARM)
        # Each in turn, and Celery before and after, since a machine that others use is not the same all the time.
        for frames in given.frames:
            found += plain(farm, given.chords)
            found.append(ours(farm, frames, 1))
        found += plain(farm, given.chords)
        found += [ours(farm, frames, 16) for frames in given.long]
        with redis.Redis.from_url(farm.redis.url) as client:
            calls, seconds = ledger_work(client)
    rates = {(rate.what, rate.frames): median(found, rate) for rate in found}
    chord = rates[CHORD, given.chords]
    out.print(
        f"{machine(torch.device('cpu'))}\n{given.workers} workers of either kind. A script of the ledger takes "
        f"{1e6 * seconds / calls:.0f} us of Redis."
    )
    table(
        "Tasks that do nothing",
        ("of", "tasks/s to chord", "frames/s to chord", "frames", "tasks", "tasks/s", "frames/s"),
        [
            (
                rate.what,
                f"{rate.per_s / chord.per_s:.2f}",
                f"{(rate.frames / rate.seconds) / (chord.frames / chord.seconds):.2f}",
                f"{rate.frames:,}",
                f"{rate.tasks:,}",
                f"{rate.per_s:.0f}",
                f"{rate.frames / rate.seconds:.0f}",
            )
            for rate in rates.values()
        ],
    )


def plain(farm: FarmUnderTest, frames: int) -> list[Rate]:
    """As many frames by Celery alone."""
    parts = len(DISKS)
    tasks = frames * (parts + 1)
    return [
        Rate(CHORD, frames, tasks, plain_celery.chords(farm.redis.url, frames, parts)),
        Rate("Celery tasks that do nothing", frames, tasks, plain_celery.no_ops(farm.redis.url, tasks)),
    ]


def median(found: Sequence[Rate], like: Rate) -> Rate:
    """The middle one of those of a kind."""
    alike = sorted(
        (one for one in found if (one.what, one.frames) == (like.what, like.frames)), key=lambda r: r.seconds
    )
    return alike[len(alike) // 2]


if __name__ == "__main__":
    main()
