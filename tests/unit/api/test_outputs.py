"""Frames and files of a job over HTTP, from what its steps left in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.outputs import SETTLED_S, Told, known, still_so, token
from farm.adapters.pictures import decode
from farm.domain import keys
from farm.domain.plan import Crop, DetailTask, Plan, PlannedFrame
from farm.errors import Rejected
from tests.unit.adapters.test_media import png
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


def finish(world: World, job: str, chunk: int, first: int, last: int, done: bool = True) -> None:
    """Leave in the store what planning, and pasting if `done`, leave there for the frames [first, last)."""
    frames, records = [], []
    for position in range(first, last):
        name, data = f"{position + 1:04}.png", png(value=100 + position)
        world.blobs.put(keys.frame(f"{position:064}"), png(value=position))
        frames.append(PlannedFrame(position=position, number=position + 1, name=name, digest=f"{position:064}"))
        if done:
            final = keys.final(job, 0, name)
            world.blobs.put(final, data)
            sha256 = hashlib.sha256(data).hexdigest()
            record = {"number": position + 1, "position": position, "name": name, "variation": 0, "object": final}
            records.append({**record, "sha256": sha256, "size": len(data)})
    crop = Crop(frame=first, region=(0, 0, 4, 4), bbox=(1, 1, 3, 3), size=(64, 64), seed=7, mask=0, segment=0)
    task = DetailTask(id=f"detail.{chunk}.0", key="k", source="face", crops=(crop,))
    plan = Plan(job=job, chunk=chunk, core=(first, last), frames=tuple(frames), masks="", tasks=(task,), paste={})
    world.blobs.put(keys.plan(job, chunk), plan.model_dump_json().encode())
    if done:
        document = {"chunk": chunk, "core_frames": last - first, "frames": records}
        world.blobs.put(keys.chunk(job, chunk), json.dumps(document).encode())


@pytest.fixture
def job(client: TestClient, request_of: Make, world: World) -> str:
    """A job of three chunks: the first and the last are done, the one between is planned."""
    found = client.post("/api/v1/jobs", json=request_of(outputs=["video", "cropped"])).json()["id"]
    finish(world, found, 0, 0, 16)
    finish(world, found, 1, 16, 32, done=False)
    finish(world, found, 2, 32, 40)
    return str(found)


def test_a_frame_tells_its_state_its_segments_and_where_its_pictures_are(client: TestClient, job: str) -> None:
    done = client.get(f"/api/v1/jobs/{job}/frames/1").json()
    assert (done["number"], done["position"], done["name"], done["state"]) == (1, 0, "0001.png", "completed")
    assert done["segments"] == [
        {"source": "face", "segment": 0, "task": "detail.0.0", "region": [0, 0, 4, 4], "seed": 7}
    ]
    assert set(done["links"]) == {"self", "input", "final", "compare"}
    planned = client.get(f"/api/v1/jobs/{job}/frames/17").json()
    assert (planned["state"], set(planned["links"])) == ("active", {"self", "input"})


def test_pictures_before_after_and_side_by_side(client: TestClient, job: str) -> None:
    here = f"/api/v1/jobs/{job}/frames/3"
    assert client.get(f"{here}/input").content == png(value=2)
    assert client.get(f"{here}/final").content == png(value=102)
    both = decode(client.get(f"{here}/compare").content)
    assert both.shape[1] > 2 * 8
    assert (both[-6:, :8] == 2).all()
    assert (both[-6:, -8:] == 102).all()


def test_a_frame_that_is_not_finished_or_not_of_the_job_says_so(client: TestClient, job: str) -> None:
    unfinished = client.get(f"/api/v1/jobs/{job}/frames/17/final")
    assert unfinished.status_code == 404
    assert "Frame 17 of job" in unfinished.json()["detail"]
    outside = client.get(f"/api/v1/jobs/{job}/frames/41")
    assert outside.json()["detail"].endswith("has no frame 41. It has the frames 1 to 40.")


def test_frames_are_listed_in_order_page_by_page(client: TestClient, job: str) -> None:
    seen, cursor = [], None
    while True:
        page = client.get(f"/api/v1/jobs/{job}/frames", params={"limit": 15, **({"cursor": cursor} if cursor else {})})
        seen += [frame["number"] for frame in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(1, 41))


def test_final_frames_are_listed_while_the_job_runs_and_only_new_ones_after_that(
    client: TestClient, job: str, world: World
) -> None:
    here = f"/api/v1/jobs/{job}/outputs"
    first = client.get(here).json()
    assert [item["number"] for item in first["frames"]] == [*range(1, 17), *range(33, 41)]
    assert first["frames"][0] == {
        "path": "frames/0001.png",
        "sha256": hashlib.sha256(png(value=100)).hexdigest(),
        "size": len(png(value=100)),
        "url": f"{here}/frames/0001.png",
        "number": 1,
        "position": 0,
        "name": "0001.png",
        "variation": 0,
    }
    assert first["more"] is False
    assert client.get(here, params={"since": first["since"]}).json()["frames"] == []
    finish(world, job, 1, 16, 32)
    later = client.get(here, params={"since": first["since"]}).json()
    assert [item["number"] for item in later["frames"]] == list(range(17, 33))


def test_frames_come_in_pages_of_whole_chunks_and_files_with_the_last(
    client: TestClient, job: str, world: World
) -> None:
    for name in ("video.mp4", "manifest.json"):
        world.blobs.put(keys.job(job, name), name.encode())
    client.post(f"/api/v1/jobs/{job}/actions", json={"action": "cancel"})
    here = f"/api/v1/jobs/{job}/outputs"
    first = client.get(here, params={"limit": 3}).json()
    assert (len(first["frames"]), first["files"], first["more"]) == (16, [], True)
    second = client.get(here, params={"limit": 3, "since": first["since"]}).json()
    assert (len(second["frames"]), second["more"]) == (8, False)
    assert [file["path"] for file in second["files"]] == ["video.mp4", "manifest.json"]
    video = second["files"][0]
    assert (video["size"], video["sha256"]) == (9, hashlib.sha256(b"video.mp4").hexdigest())
    assert client.get(video["url"]).content == b"video.mp4"


def test_pictures_of_single_segments_are_listed_by_folder(client: TestClient, job: str, world: World) -> None:
    for name in ("cropped/0001_00.png", "cropped/0002_00.png", "cropped_refined/0001_00.png"):
        world.blobs.put(keys.job(job, name), name.encode())
    here = f"/api/v1/jobs/{job}/files"
    asked: dict[str, str | int] = {"folder": "cropped", "limit": 1}
    first = client.get(here, params=asked).json()
    second = client.get(here, params={**asked, "cursor": first["next_cursor"]}).json()
    assert [file["path"] for file in first["items"] + second["items"]] == ["cropped/0001_00.png", "cropped/0002_00.png"]
    assert first["items"][0]["sha256"] == "", "the job still runs: the file may change"
    assert client.get(here, params={"folder": "../x"}).status_code == 422


def test_a_preview_is_shown_as_the_picture_that_it_is(client: TestClient, job: str, world: World) -> None:
    world.blobs.put(keys.job(job, "preview/0001_face_0.webp"), b"RIFF")
    listed = client.get(f"/api/v1/jobs/{job}/files", params={"folder": "preview"}).json()["items"]
    shown = client.get(listed[0]["url"])
    assert (shown.content, shown.headers["content-type"]) == (b"RIFF", "image/webp")


def test_a_file_is_sent_whole_or_in_a_range(client: TestClient, job: str, world: World) -> None:
    world.blobs.put(keys.job(job, "video.mp4"), b"0123456789")
    here = f"/api/v1/jobs/{job}/outputs/video.mp4"
    whole = client.get(here)
    assert (whole.content, whole.headers["content-type"]) == (b"0123456789", "video/mp4")
    for asked, status, content, where in [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
    ]:
        part = client.get(here, headers={"Range": asked})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (status, content, where)
    head = client.head(here)
    assert (head.headers["Content-Length"], head.content) == ("10", b"")


def test_a_file_that_is_not_there_is_told(client: TestClient, job: str) -> None:
    answer = client.get(f"/api/v1/jobs/{job}/outputs/video.mp4")
    assert answer.status_code == 404
    assert "has no output 'video.mp4', or not yet" in answer.json()["detail"]


@pytest.mark.parametrize("chunks", [set(), {0}, {0, 1, 2}, {1, 2}, {0, 1, 4, 7}])
def test_a_mark_tells_the_chunks_it_was_made_of(chunks: set[int]) -> None:
    for told in (Told(frozenset(chunks)), Told(frozenset(chunks), "2026-01-02T030405.000006+0000-retry.json")):
        assert known(token(told), 10) == told


@pytest.mark.parametrize("mark", ["x", "-1", "11", "1..2", "999999999", "1@", "1@a/b", "@x"])
def test_a_mark_of_another_job_is_refused(mark: str) -> None:
    with pytest.raises(Rejected, match="none of this job's marks"):
        known(mark, 10)


def test_chunks_that_were_made_again_are_told_again(client: TestClient, world: World, job: str) -> None:
    first = client.get(f"/api/v1/jobs/{job}/outputs").json()
    told = {frame["position"] for frame in first["frames"]}
    assert told == {*range(16), *range(32, 40)}
    assert client.get(f"/api/v1/jobs/{job}/outputs", params={"since": first["since"]}).json()["frames"] == []
    name = keys.decision(job, "2026-01-02T030405.000006+0000", "retry")
    world.blobs.put(name, json.dumps({"reopened": [2]}).encode())
    again = client.get(f"/api/v1/jobs/{job}/outputs", params={"since": first["since"]}).json()
    assert {frame["position"] for frame in again["frames"]} == set(range(32, 40))
    assert client.get(f"/api/v1/jobs/{job}/outputs", params={"since": again["since"]}).json()["frames"] == []


def test_a_decision_that_may_not_be_carried_out_yet_is_looked_at_again(world: World) -> None:
    name = "2026-01-02T030405.000006+0000-retry.json"
    world.blobs.put(keys.job("job", f"decisions/{name}"), b'{"reopened": [1]}')
    taken, told = 1767323045.0, Told(frozenset({0, 1, 2}))
    assert still_so("job", told, world.blobs, taken + 1) == Told(frozenset({0, 2}))
    assert still_so("job", told, world.blobs, taken + SETTLED_S + 1) == Told(frozenset({0, 2}), name)
    assert still_so("job", Told(told.chunks, name), world.blobs, taken + 1) == Told(told.chunks, name)


def test_other_decisions_are_passed_over(world: World) -> None:
    for name in ("2026-01-02T030405.000006+0000-pause.json", "2026-01-02T030406.000006+0000-adjust.json"):
        world.blobs.put(keys.job("job", f"decisions/{name}"), b"not even JSON")
    told = Told(frozenset({0, 1}))
    assert still_so("job", told, world.blobs, 2e9) == told._replace(decision=name)
