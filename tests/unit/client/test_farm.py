"""The client against the real API, with a worker that runs when the test says so."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from farm.client import Farm
from farm.client.answers import JobAnswer
from farm.client.download import Way, _inside
from farm.client.http import KeyRefused, NotReached
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.errors import Conflict, NotFound, Rejected
from tests.unit.client.conftest import Running


def request(farm: Farm, clip: Path, mask: Path, **more: object) -> JobRequest:
    segment = {"name": "face", "mask": farm.upload(mask).uri}
    fields = {"input": {"uri": farm.upload(clip).uri}, "segments": [segment], "detailer": {"guide_size": 64}, **more}
    return JobRequest.model_validate_json(json.dumps(fields))


@pytest.fixture
def done(running: Running, client: Farm, clip: Path, mask: Path) -> JobAnswer:
    """A job that has ended."""
    job = client.submit(request(client, clip, mask))
    running.work()
    return client.job(job.id)


def test_a_job_is_submitted_followed_and_downloaded(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    job = client.submit(request(client, clip, mask))
    worker = threading.Thread(target=running.work)
    worker.start()
    seen: list[JobAnswer] = []
    ended = client.follow(job.id, seen.append, timeout_s=60)
    worker.join()
    assert ended is not None
    assert ended.status is JobState.COMPLETED
    assert [each.revision for each in seen] == sorted({each.revision for each in seen})
    done = client.download(job.id, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == [
        f"shot.{number:04}.png" for number in range(8, 13)
    ]
    assert done.fetched == sum(1 for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_second_download_fetches_only_what_differs(client: Farm, done: JobAnswer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    client.download(done.id, out, only=["frames"])
    (out / "frames" / "shot.0009.png").write_bytes(b"something else")
    (out / "frames" / "shot.0010.png").unlink()
    again = client.download(done.id, out, only=["frames"])
    assert (again.fetched, again.kept) == (2, 3)
    assert not list(out.rglob("*.part"))


def test_a_download_goes_on_where_it_was_broken_off(client: Farm, done: JobAnswer, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    client.download(done.id, whole)
    data = (whole / "frames" / "shot.0009.png").read_bytes()
    part = out / "frames" / f".shot.0009.png.{hashlib.sha256(data).hexdigest()[:12]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:100])
    client.download(done.id, out, only=["frames/shot.0009.png"])
    assert (out / "frames" / "shot.0009.png").read_bytes() == data
    assert not part.exists()


def test_a_part_with_other_bytes_is_thrown_away(client: Farm, done: JobAnswer, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    client.download(done.id, whole)
    data = (whole / "frames" / "shot.0009.png").read_bytes()
    part = out / "frames" / f".shot.0009.png.{hashlib.sha256(data).hexdigest()[:12]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100)
    client.download(done.id, out, only=["frames/shot.0009.png"])
    assert (out / "frames" / "shot.0009.png").read_bytes() == data


def test_a_running_job_is_downloaded_only_if_asked_so(client: Farm, clip: Path, mask: Path, tmp_path: Path) -> None:
    job = client.submit(request(client, clip, mask))
    with pytest.raises(Conflict, match="--sync"):
        client.download(job.id, tmp_path / "out")
    assert client.download(job.id, tmp_path / "out", way=Way(partial=True)).fetched == 0


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "C:x/y", "a\\..\\b"])
def test_an_output_that_points_outside_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(Rejected, match="outside"):
        _inside(path)


def test_what_the_farm_has_is_not_sent_again(client: Farm, clip: Path, mask: Path) -> None:
    sent: list[tuple[int, int]] = []
    first = client.upload(clip, lambda done, total: sent.append((done, total)))
    assert sent[0][0] == 0
    assert sent[-1] == (first_size(clip), first_size(clip))
    sent.clear()
    assert client.upload(clip, lambda done, total: sent.append((done, total))) == first
    assert sent == [(first_size(clip), first_size(clip))]
    assert client.upload(mask).uri == client.upload(mask).uri


def first_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_missing_or_empty_path_is_refused_with_what_to_give(client: Farm, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file or folder"):
        client.upload(tmp_path / "nothing.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Rejected, match="holds no pictures"):
        client.upload(tmp_path / "empty")


def test_the_same_key_gives_the_same_job_and_none_a_new_one(client: Farm, clip: Path, mask: Path) -> None:
    wanted = request(client, clip, mask)
    assert client.submit(wanted, "one").id == client.submit(wanted, "one").id
    assert client.submit(wanted).id != client.submit(wanted).id


def test_a_refusal_of_the_farm_arrives_with_its_own_words(client: Farm, clip: Path, mask: Path) -> None:
    with pytest.raises(Rejected, match="Choose a range inside"):
        client.submit(request(client, clip, mask, input={"uri": client.upload(clip).uri, "frames": "1-5"}))
    with pytest.raises(NotFound, match="no job"):
        client.job("none")


def test_checking_a_job_submits_nothing(client: Farm, clip: Path, mask: Path) -> None:
    assert client.validate(request(client, clip, mask)).frames == 5
    assert client.jobs() == []


def test_jobs_are_paused_resumed_canceled_and_retried(client: Farm, clip: Path, mask: Path) -> None:
    job = client.submit(request(client, clip, mask))
    assert client.act(job.id, "pause")[1].status is JobState.PAUSED
    assert client.act(job.id, "resume")[1].status is not JobState.PAUSED
    assert client.act(job.id, "cancel", "a test")[1].status is JobState.CANCELED
    affected, again = client.act(job.id, "retry", which={"states": ["canceled"]})
    assert affected > 0
    assert not again.has_ended


def test_a_job_that_does_not_end_in_time_is_not_waited_for(client: Farm, clip: Path, mask: Path) -> None:
    job = client.submit(request(client, clip, mask))
    assert client.follow(job.id, lambda _: None, timeout_s=0.3) is None


def test_tasks_and_frames_are_listed(client: Farm, done: JobAnswer) -> None:
    assert [frame.number for frame in client.frames(done.id)] == [8, 9, 10, 11, 12]
    assert client.frame(done.id, 10).state == "completed"
    assert client.tasks(done.id, states=["failed"]) == []


def test_a_model_folder_is_added_by_content(client: Farm, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "config.json").write_text('{"a": 1}')
    first = client.add_model("other", folder)
    assert client.add_model("third", folder).hash == first.hash
    assert {model.name for model in client.models()} == {"demo", "other", "third"}


def test_a_wrong_key_and_no_key_are_told_apart(running: Running) -> None:
    with Farm(running.url) as farm, pytest.raises(KeyRefused, match="asks for an API key"):
        farm.jobs()
    with Farm(running.url, "wrong") as farm, pytest.raises(KeyRefused, match="refused the API key"):
        farm.jobs()


def test_a_farm_that_is_not_there_is_named_with_what_to_do() -> None:
    with Farm("http://127.0.0.1:9", patience_s=0) as farm, pytest.raises(NotReached, match=r"127.0.0.1:9.*farm up"):
        farm.jobs()


def test_a_farm_is_ready_when_its_servers_are(client: Farm) -> None:
    assert client.ready()[0]
