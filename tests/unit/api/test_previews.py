"""Small pictures for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from farm.adapters.media import admit_file, limits_of
from tests.unit.adapters.clips import make_clip, pictures
from tests.unit.api.conftest import World
from tests.unit.api.test_outputs import finish

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def job(client: TestClient, request_of: Make, world: World) -> str:
    """A job of three chunks: the first is done, the second is planned."""
    found = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    finish(world, found, 0, 0, 16)
    finish(world, found, 1, 16, 32, done=False)
    return str(found)


def picture(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_a_frame_is_shown_before_and_after_and_only_scaled_down(client: TestClient, job: str) -> None:
    final = client.get(f"/api/v1/jobs/{job}/frames/3/preview?width=16")
    assert final.headers["content-type"] == "image/webp"
    assert picture(final.content).size == (8, 6)
    before = client.get(f"/api/v1/jobs/{job}/frames/3/preview?of=input")
    assert before.content != final.content


def test_a_browser_keeps_what_has_not_changed(client: TestClient, job: str) -> None:
    address = f"/api/v1/jobs/{job}/frames/3/preview"
    first = client.get(address)
    assert client.get(address, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert client.get(f"{address}?width=17", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    assert "max-age=86400" in client.get(f"{address}?of=input").headers["Cache-Control"]


def test_what_is_not_there_yet_is_told(client: TestClient, job: str) -> None:
    assert client.get(f"/api/v1/jobs/{job}/frames/20/preview?of=input").status_code == 200
    for path in ("frames/20/preview", "frames/40/preview?of=input", "frames/99/preview"):
        answer = client.get(f"/api/v1/jobs/{job}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("query", ["width=0", "width=9999", "of=between", "variation=-1"])
def test_what_cannot_be_shown_is_refused(client: TestClient, job: str, query: str) -> None:
    assert client.get(f"/api/v1/jobs/{job}/frames/3/preview?{query}").status_code == 422


def test_the_last_rendered_picture_is_of_the_newest_finished_chunk(client: TestClient, job: str, world: World) -> None:
    address = f"/api/v1/jobs/{job}/last-rendered"
    assert client.get(address).status_code == 404
    facts = world.ledger.status(job).facts
    world.ledger.forget(job)
    world.ledger.create(replace(facts), [(0, 16)])
    world.farm.advance(job)
    first = client.get(address)
    assert (first.status_code, picture(first.content).size) == (200, (8, 6))
    assert client.get(address, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_a_picture_of_an_upload_is_shown_by_its_number(client: TestClient, uploaded: Callable[..., str]) -> None:
    clip = uploaded((10, 200), width=64, height=48).removeprefix("upload:")
    shown = [picture(client.get(f"/api/v1/uploads/{clip}/preview?number={n}&width=32").content) for n in (1, 2)]
    assert [one.size for one in shown] == [(32, 24), (32, 24)]
    assert shown[0].convert("L").getpixel((5, 5)) != shown[1].convert("L").getpixel((5, 5))
    missing = client.get(f"/api/v1/uploads/{clip}/preview?number=3")
    assert missing.status_code == 404
    assert "It has the frames 1 to 2" in missing.json()["detail"]


def test_a_frame_of_a_video_is_the_one_that_is_rendered(tmp_path: Path) -> None:
    world = World(data_dir=tmp_path)
    path = make_clip(tmp_path / "clip.mp4", list(pictures(20)))
    media = admit_file(path, "clip.mp4", world.blobs, limits_of(world.settings))
    client = world.client()
    levels = []
    for number in (1, 2, 20):
        answer = client.get(f"/api/v1/uploads/{media.id}/preview?number={number}")
        assert answer.status_code == 200
        levels.append(answer.content)
    assert len(set(levels)) == 3
    assert client.get(f"/api/v1/uploads/{media.id}/preview?number=21").status_code == 404


def test_a_segs_document_has_no_pictures(client: TestClient) -> None:
    body = b'{"header": [6, 8], "segs": [{"bbox": [1, 1, 3, 3], "crop_region": [0, 0, 4, 4]}]}'
    found = client.post("/api/v1/uploads?name=segs.json", content=body).json()
    answer = client.get(f"/api/v1/uploads/{found['id']}/preview")
    assert answer.status_code == 422
    assert "SEGS document" in answer.json()["detail"]
