"""`Farm` and `AsyncFarm`: the same words, the same answers."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel

import api.frames
import api.outputs
import api.routes.jobs
import api.views
from farm import AsyncFarm, Farm, JobCanceled, JobFailed, StillRunning
from farm.client import answers
from farm.client.ajob import AsyncJob
from farm.client.job import Job
from farm.domain.state import JobState
from farm.errors import NotFound, Rejected, Unavailable
from tests.unit.client.conftest import KEY, Running
from tests.unit.client.test_farm import request

SECRET = KEY.partition(":")[2]


def words(kind: type) -> dict[str, list[str]]:
    """Public methods and the names of their parameters."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


@pytest.mark.parametrize(("one", "other"), [(Farm, AsyncFarm), (Job, AsyncJob)])
def test_both_clients_know_the_same_words(one: type, other: type) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (answers.JobAnswer, api.views.JobView),
        (answers.TaskAnswer, api.views.TaskView),
        (answers.WorkerAnswer, api.views.WorkerView),
        (answers.UploadAnswer, api.views.UploadView),
        (answers.FrameAnswer, api.frames.FrameView),
        (answers.SegmentAnswer, api.frames.SegmentView),
        (answers.OutputFile, api.outputs.OutputFile),
        (answers.Validated, api.routes.jobs.Validated),
    ],
)
def test_what_the_client_reads_is_what_the_api_says(mine: type[BaseModel], theirs: type[BaseModel]) -> None:
    assert set(mine.model_fields) <= set(theirs.model_fields)


def test_a_job_is_made_waited_for_and_fetched_by_a_coroutine(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    async def made() -> None:
        async with AsyncFarm(running.url, SECRET) as farm:
            heard: list[tuple[int, int]] = []
            uri = (await farm.upload(clip, lambda done, total: heard.append((done, total)))).uri
            assert heard[-1][0] == heard[-1][1]
            wanted = request(client, clip, mask)
            assert wanted.input.uri == uri
            job = await farm.submit(wanted)
            with pytest.raises(StillRunning, match="goes on"):
                await job.wait(timeout_s=0.05)
            worker = threading.Timer(0.1, running.work)
            worker.start()
            done, downloaded = await asyncio.gather(job.wait(60), job.download(tmp_path / "out", sync=True))
            worker.join()
            assert done.status is JobState.COMPLETED
            assert downloaded.job.status is JobState.COMPLETED
            assert len(list((tmp_path / "out" / "frames").iterdir())) == 5
            assert [event.data["status"] async for event in done.events()] == ["completed"]
            assert (await done.picture(9)).startswith(b"\x89PNG")
            assert (await done.preview())[8:12] == b"WEBP"
            assert "data:image/webp" in done._repr_html_()
            assert [frame.number for frame in await done.list_frames()] == [8, 9, 10, 11, 12]
            assert (await farm.frame(job.id, 9)).state == "completed"
            assert {attempt.kind for attempt in await done.attempts()} >= {"plan", "detail", "paste"}
            assert (await farm.validate(wanted)).frames == 5
            assert (await farm.plan(wanted)).frames == 5
            assert [each.id for each in await farm.jobs()] == [job.id]
            assert (await farm.ready())[0]
            await done.delete()
            with pytest.raises(NotFound):
                await done.refresh()

    asyncio.run(made())


def test_a_download_that_follows_is_canceled_with_its_coroutine(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path
) -> None:
    async def canceled() -> None:
        async with AsyncFarm(running.url, SECRET) as farm:
            job = await farm.submit(request(client, clip, mask))
            following = asyncio.create_task(job.download(tmp_path, sync=True))
            await asyncio.sleep(0.2)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following

    asyncio.run(canceled())
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
    assert alive == [], "its thread has ended with the loop"


def test_waiting_raises_with_the_reason(running: Running, client: Farm, clip: Path, mask: Path) -> None:
    job = client.submit(request(client, clip, mask))
    with pytest.raises(StillRunning) as late:
        job.wait(timeout_s=0)
    assert isinstance(late.value, Unavailable)
    assert job.pause("for lunch").status is JobState.PAUSED
    assert job.resume().status is not JobState.PAUSED
    assert job.adjust(priority=80).priority == 80
    job.cancel("wrong clip")
    with pytest.raises(JobCanceled, match="wrong clip"):
        job.wait()
    assert not job.retry().has_ended
    for blob in running.blobs.list("media/blobs/"):
        running.blobs.put(blob, b"no picture any more")
    running.work()
    with pytest.raises(JobFailed, match=r"plan\.0|ingest") as failed:
        job.wait()
    assert isinstance(failed.value, Rejected)
    assert failed.value.reasons
    assert "retry" in str(failed.value)


def test_a_notebook_shows_jobs_frames_and_workers(running: Running, client: Farm, clip: Path, mask: Path) -> None:
    job = client.submit(request(client, clip, mask, name="<b>shot</b>"))
    assert "data:image" not in job._repr_html_(), "nothing is there yet"
    running.work()
    shown = job.refresh()._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;shot" in shown
    assert "5 of 5 frames" in shown
    assert "data:image/webp" in shown
    frames = job.list_frames()._repr_html_()
    assert frames.count("<img") == 10
    assert "<table>" in client.workers()._repr_html_()


def test_bars_are_drawn_and_listeners_hear_besides(
    running: Running, client: Farm, clip: Path, mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[int] = []
    client.upload(clip, lambda done, total: heard.append(done), progress=True)
    job = client.submit(request(client, clip, mask))
    running.work()
    client.wait(job.id, progress=True, on_change=lambda now: heard.append(now.frames.done))
    job.download(tmp_path, progress=True)
    assert 5 in heard
    assert "completed" in capsys.readouterr().err


def test_without_an_address_the_environment_tells(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_URL", running.url)
    monkeypatch.setenv("FARM_API_KEY", SECRET)
    with Farm() as farm:
        assert farm.jobs() == []
    with Farm("http://elsewhere:1") as farm:
        assert "Authorization" not in farm.http._client.headers, "the key is for that address only"
