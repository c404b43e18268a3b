"""What a job must give: its frames by the sequential reference, in this process, without Redis and S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.ports import Blobs
from farm.settings import Settings
from tests.e2e.shots import Shot, hand_in
from workers.local_render import LocalFarm

READERS = 8
"""Objects that are read at once."""


def final_frames(blobs: Blobs, job: str, folder: str = "frames") -> dict[str, bytes]:
    """A job's final pictures as they are stored, by file name."""
    prefix = f"jobs/{job}/{folder}/"
    names = list(blobs.list(prefix))
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip((name.removeprefix(prefix) for name in names), pool.map(blobs.get, names), strict=True))


def render(folder: Path, shot: Shot, *requests: JobRequest, **settings: object) -> list[dict[str, bytes]]:
    """The final frames of jobs, each on the store that the one before has left."""
    local = LocalFarm(folder, Settings.read(**{"engine": "fake", "device": "cpu", **settings}))
    try:
        hand_in(shot, local)
        made = []
        for request in requests:
            status = local.run(request)
            assert status.state is JobState.COMPLETED, status
            made.append(final_frames(local.blobs, status.facts.id))
        return made
    finally:
        local.close()


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Names of frames that are missing, too many, or not the same bytes."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
