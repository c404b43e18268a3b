"""Find faces in one frame: the route, with a worker of this process behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.client import Farm as Client
from farm.errors import Rejected
from tests.faces import Actor, Scene, straight
from tests.unit.client.conftest import Running, client, running

__all__ = ["client", "running"]


@pytest.fixture
def clip(client: Client, tmp_path: Path) -> str:
    actors = [Actor("astronaut", straight((0, 10), (40, 10), 3)), Actor("cameraman", [None, (200, 20), None])]
    return client.upload(Scene(actors, (400, 240)).write(tmp_path / "faces")).uri


@pytest.fixture
def working(running: Running) -> Iterator[None]:
    """A worker that looks now and then."""
    with running.working():
        yield


def answered(client: Client, asked: dict[str, object]) -> tuple[dict[str, Any], int]:
    """The answer of a worker, and how often there was none in time, on a machine that is busy."""
    for late in range(20):
        found: dict[str, Any] = client.http.post("/detect", {**asked, "wait": 6})
        if found["segs"] is not None:
            return found, late
    raise AssertionError("no worker has answered")


@pytest.mark.usefixtures("working")
def test_a_person_who_waits_is_told_the_boxes_of_a_frame_and_no_job_is_left(client: Client, clip: str) -> None:
    found, late = answered(client, {"uri": clip, "frame": 2, "crop_factor": 1.5, "dilation": 4})
    assert (found["frame"], found["width"], found["height"], found["status"]) == (2, 400, 240, "completed")
    left, right = found["segs"]
    assert left["bbox"] == pytest.approx((60, 42, 151, 158), abs=14)
    assert right["bbox"] == pytest.approx((250, 56, 310, 134), abs=14)
    assert {left["label"], right["label"]} == {"face"}
    assert left["dilation"] == 4
    x1, _, x2, _ = left["crop_region"]
    assert x2 - x1 == pytest.approx(1.5 * (left["bbox"][2] - left["bbox"][0]), abs=1)
    assert len(client.jobs()) == late
    assert answered(client, {"uri": clip, "frame": 2, "drop_size": 200})[0]["segs"] == []


def test_without_a_worker_the_answer_names_the_job(client: Client, running: Running, clip: str) -> None:
    found = client.http.post("/detect", {"uri": clip, "wait": 0})
    assert (found["segs"], found["frame"], found["status"]) == (None, 1, "queued")
    running.work()
    document = client.http.fetch(found["links"]["segs"]).read()
    assert b'"identity": 1' in document
    assert client.job(found["job"]).has_ended


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame": 99}, "has no frame 99"),
        ({"uri": "upload:0000"}, "no upload"),
        ({"detector": "nobody"}, "no detector 'nobody'"),
        ({"threshold": 2}, "threshold"),
        ({"treshold": 0.5}, "treshold"),
        ({"wait": 1e9}, "wait"),
    ],
)
def test_what_cannot_be_found_is_refused_with_the_reason(
    client: Client, clip: str, change: dict[str, object], said: str
) -> None:
    with pytest.raises(Rejected, match=said):
        client.http.post("/detect", {"uri": clip, **change})
