"""A person's way through a farm: files to the API, a job, its progress, the frames back on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from farm.domain.detailer import JobType
from farm.domain.state import JobState
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import PATIENCE_S, FarmUnderTest
from tests.e2e.reference import differing
from tests.e2e.shots import MODEL, Handed, Shot, request


def frames_in(folder: Path) -> dict[str, bytes]:
    """Pictures of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.slow
def test_a_job_over_http_from_files_to_files(
    farm: FarmUnderTest, shot: Shot, expected: Expected, tmp_path: Path
) -> None:
    client = farm.api()
    client.add_model(MODEL, shot.model)
    handed = Handed(client.upload(shot.clip).uri, {n: client.upload(path).uri for n, path in shot.masks.items()})
    wanted = request(handed, JobType.MASK, outputs=("video",))
    job = client.submit(wanted, "only once")
    assert client.submit(wanted, "only once").id == job.id
    farm.workers(2)
    revisions: list[int] = []
    done = client.follow(job.id, lambda now: revisions.append(now.revision), PATIENCE_S)
    assert done is not None
    assert done.status is JobState.COMPLETED
    assert revisions == sorted(set(revisions))
    assert {worker.id for worker in client.workers()} == {"w0", "w1"}
    client.download(job.id, tmp_path / "out")
    assert differing(expected(JobType.MASK), frames_in(tmp_path / "out" / "frames")) == []
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    for frame in manifest["frames"]:
        data = (tmp_path / "out" / "frames" / frame["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == frame["sha256"]
    assert (tmp_path / "out" / "video.mp4").stat().st_size > 0


@pytest.mark.slow
def test_the_command_line_makes_the_same_frames_with_and_without_a_farm(
    farm: FarmUnderTest, shot: Shot, expected: Expected, tmp_path: Path
) -> None:
    here = Handed(str(shot.clip), {name: str(path) for name, path in shot.masks.items()})
    document = tmp_path / "job.json"
    wanted = request(here, JobType.ANIMATEDIFF, model=str(shot.model))
    document.write_text(wanted.model_dump_json(exclude_unset=True))
    client = farm.api()
    farm.workers(1)
    folders = [tmp_path / "rendered", tmp_path / "downloaded"]
    for command in (
        ["render", "--job", str(document), "--out", str(folders[0]), "--json"],
        ["job", "submit", "--job", str(document), "--wait", "--download", str(folders[1]), "--json"],
    ):
        done = farm.command(*command, url=client.http.url)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
    for folder in folders:
        assert differing(expected(JobType.ANIMATEDIFF), frames_in(folder / "frames")) == []
