"""A folder that follows a job: frames as they are final, once each, and again where they are made again."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from farm.client import Farm, Way
from farm.client.answers import OutputFile
from farm.client.journal import Journal
from farm.domain import keys
from farm.domain.state import JobState
from tests.unit.client.conftest import Running
from tests.unit.client.test_farm import request


@pytest.fixture
def asked(client: Farm, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the API that the client has asked for."""
    paths: list[str] = []
    send = client.http._client.send

    def noted(sent, **options):  # type: ignore[no-untyped-def]  # httpx's own
        paths.append(sent.url.raw_path.decode())
        return send(sent, **options)

    monkeypatch.setattr(client.http._client, "send", noted)
    return paths


def work_later(running: Running) -> threading.Thread:
    worker = threading.Timer(0.3, running.work)
    worker.start()
    return worker


def frames(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "frames").iterdir()}


def test_it_follows_a_job_to_its_end(running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path) -> None:
    job = client.submit(request(client, clip, mask))
    worker = work_later(running)
    done = client.download(job.id, tmp_path / "out", sync=True)
    worker.join()
    assert done.job.status is JobState.COMPLETED
    once = client.download(job.id, tmp_path / "once")
    assert frames(tmp_path / "out") == frames(tmp_path / "once")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == (tmp_path / "once" / "manifest.json").read_bytes()
    assert (done.fetched, done.kept) == (once.fetched, 0)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_what_is_there_is_not_asked_for_again(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path, asked: list[str]
) -> None:
    job = client.submit(request(client, clip, mask))
    running.work()
    first = client.download(job.id, tmp_path / "out", sync=True)
    asked.clear()
    again = client.download(job.id, tmp_path / "out", sync=True)
    assert (again.fetched, again.kept, again.size) == (0, first.fetched, 0)
    assert not any("/outputs/" in path for path in asked)


def test_it_ends_when_it_is_told_to_and_goes_on_from_there(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    job = client.submit(request(client, clip, mask))
    stop = threading.Event()
    stop.set()
    stopped = client.download(job.id, tmp_path / "out", sync=True, way=Way(stop=stop))
    late = client.download(job.id, tmp_path / "out", sync=True, way=Way(timeout_s=0.05))
    assert not stopped.job.has_ended
    assert not late.job.has_ended
    running.work()
    assert client.download(job.id, tmp_path / "out", sync=True).fetched == 8


def test_frames_that_are_made_again_take_the_place_of_the_old_ones_and_what_is_gone_goes(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    job = client.submit(request(client, clip, mask))
    running.work()
    out = tmp_path / "out"
    client.download(job.id, out, sync=True)
    record = json.loads(running.blobs.get(keys.chunk(job.id, 0)))
    gone, changed = record["frames"].pop(), record["frames"][0]
    running.blobs.put(changed["object"], b"made again")
    changed["sha256"], changed["size"] = hashlib.sha256(b"made again").hexdigest(), 10
    running.blobs.put(keys.chunk(job.id, 0), json.dumps(record).encode())
    (out / "frames" / "mine.png").write_bytes(b"of mine")
    again = client.download(job.id, out, only=["frames"], sync=True)
    assert again.fetched == 1
    assert frames(out)[changed["name"]] == b"made again"
    assert gone["name"] not in frames(out)
    assert "mine.png" in frames(out)
    assert (out / "manifest.json").exists()


def test_what_somebody_has_changed_or_removed_is_fetched_again(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    job = client.submit(request(client, clip, mask))
    running.work()
    out = tmp_path / "out"
    client.download(job.id, out, sync=True)
    whole = frames(out)
    (out / "frames" / "shot.0009.png").write_bytes(b"x")
    (out / "frames" / "shot.0010.png").unlink()
    again = client.download(job.id, out, sync=True)
    assert again.fetched == 2
    assert frames(out) == whole


def test_a_journal_survives_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    file = OutputFile(path="a.png", size=1, sha256="aa", url="/")
    journal = Journal(tmp_path, "job")
    journal.note(file)
    journal.mark("3.5")
    journal.close()
    (kept,) = tmp_path.glob(".farm-*")
    with kept.open("a") as out:
        out.write('["b.png", "bb')
    again = Journal(tmp_path, "job")
    assert again.since == "3.5"
    assert again.has(file)
    assert not again.has(file.model_copy(update={"sha256": "other"}))
    again.mark("4")
    again.close()
    (tmp_path / "a.png").write_bytes(b"bb")
    changed = Journal(tmp_path, "job")
    assert changed.since == "", "something was changed: all is looked at again"
    assert not changed.has(file)
    changed.drop("a.png")
    assert (tmp_path / "a.png").exists(), "it is somebody's own now"
    changed.close()
    last = Journal(tmp_path, "job")
    assert last.files == {}
    last.close()
