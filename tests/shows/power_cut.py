"""`python -m tests.shows.power_cut`: every process of a farm killed at once, Redis and S3 too, and `farm up` again.

Ends with 1 if the job does not complete, or if a final frame is not, byte for byte, that of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from farm.domain.detailer import JobType
from farm.settings import Settings
from tests.e2e import reference, shots
from tests.e2e.shots import Shot, hand_in, request
from tests.e2e.test_farm_up import Commands, alive
from tests.shows.stage import say, silent
from workers.local_render import LocalFarm

FRAMES = 48
CUTS = 2
"""Times that the power goes."""
SECONDS = "1"
"""Per crop, so that the job is not done before the power goes."""
WAIT_S = 300.0
"""Seconds in which something must become true."""


def main() -> int:
    """Print what happened at each cut, and how the frames compare."""
    structlog.configure(processors=[silent])
    with tempfile.TemporaryDirectory(prefix="farm-show-") as folder:
        return play(Path(folder))


def play(folder: Path) -> int:
    """The show, in a folder of its own."""
    shot = shots.make_shot(folder / "shot", FRAMES)
    plain = undisturbed(folder / "reference", shot)
    document = {
        "input": {"uri": str(shot.clip)},
        "segments": [{"name": n, "mask": str(path), "prompt": f"a {n} disk"} for n, path in shot.masks.items()],
        "detailer": shots.DETAILER,
        "model": str(shot.model),
        "chunk": 8,
        "outputs": [],
    }
    (folder / "job.json").write_text(json.dumps(document))
    farm = Commands(folder)
    processes = farm.up(FARM_FAKE_SECONDS=SECONDS)
    job = farm("job", "submit", "--job", folder / "job.json").stdout.strip()
    for cut in range(1, CUTS + 1):
        goal = cut * FRAMES // (CUTS + 4)
        _until(partial(_has, farm, job, goal))
        done = farm.json("job", "get", job)["frames"]["done"]
        for pid in processes.values():
            os.kill(pid, signal.SIGKILL)
        _until(partial(_all_gone, list(processes.values())))
        begun = time.monotonic()
        processes = farm.up(FARM_FAKE_SECONDS=SECONDS)
        say(
            f"cut {cut}: {len(processes)} processes killed at {done} of {FRAMES} frames; up again in "
            f"{time.monotonic() - begun:.1f} s"
        )
    status = farm.json("job", "wait", job)
    fetched = farm("job", "download", job, folder / "out")
    frames = {path.name: path.read_bytes() for path in (folder / "out" / "frames").iterdir()}
    farm("down")
    differing = reference.differing(plain, frames)
    say(f"job {status['status']}, {len(frames)} frames, {len(differing)} of them other than undisturbed")
    return int(status["status"] != "completed" or fetched.returncode != 0 or bool(differing))


def undisturbed(folder: Path, shot: Shot) -> dict[str, bytes]:
    """The final frames of the same job, made by one process in order."""
    local = LocalFarm(folder, Settings.read(engine="fake", device="cpu"))
    try:
        status = local.run(request(hand_in(shot, local), JobType.MASK))
        return reference.final_frames(local.blobs, status.facts.id)
    finally:
        local.close()


def _has(farm: Commands, job: str, frames: int) -> bool:
    return bool(farm.json("job", "get", job)["frames"]["done"] >= frames)


def _all_gone(pids: Sequence[int]) -> bool:
    return not any(alive(pid) for pid in pids)


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it did not become true")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
