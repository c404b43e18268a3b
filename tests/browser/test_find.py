"""Faces that the farm finds on the page of a new job."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from farm.adapters.servers import EmbeddedS3
from farm.domain import keys
from farm.domain.job import JobRequest
from tests.browser.conftest import WAIT_MS, Place, Visit
from tests.browser.test_dashboard import LONG, drag, has_pictures, pill
from tests.e2e.conftest import s3_keys  # noqa: F401 - a fixture is known to the tests by being imported here
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.faces import Actor, Scene, straight
from tests.unit.adapters.clips import make_clip

expect.set_options(timeout=WAIT_MS)

FRAMES = 6


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of two people."""
    actors = [
        Actor("cameraman", straight((10, 20), (14, 24), FRAMES), 1.1),
        Actor("astronaut", straight((210, 40), (216, 40), FRAMES)),
    ]
    scene = Scene(actors, (400, 240))
    return make_clip(tmp_path_factory.mktemp("people") / "people.mp4", [scene.picture(n) for n in range(FRAMES)])


def opened(page: Page, clip: Path) -> None:
    page.set_input_files("#files", clip)
    has_pictures(page, ".board")


def test_faces_are_found_kept_moved_and_submitted_as_boxes(visit: Visit, place: Place, people: Path) -> None:
    page = visit.page
    visit.open("/submit")
    opened(page, people)
    page.get_by_label("Frame number").fill("3")
    page.get_by_label("Frame number").press("Enter")
    page.get_by_role("button", name="Find faces").click()
    found = page.locator(".found li")
    expect(found).to_have_count(2)
    expect(page.locator(".findings")).to_contain_text("Frame 3: 2 boxes")
    expect(found.first).to_contain_text("face")
    found.first.get_by_role("checkbox").uncheck()
    expect(page.get_by_role("button", name="Move", exact=True)).to_have_attribute("aria-pressed", "true")
    # The one on the right is kept; it is taken by its middle and pulled down.
    drag(page, page.locator(".board canvas"), (0.74, 0.55), (0.74, 0.65))
    page.fill("#field-steps", "2")
    page.fill("#field-crop_factor", "1")
    page.click("#submit")
    page.wait_for_url("**/jobs/*")
    expect(pill(page)).to_have_text("completed")
    segments = place.client.http.get(f"/jobs/{page.url.rsplit('/', 1)[1]}/frames/1")["segments"]
    assert len(segments) == 1
    x1, y1, x2, _ = segments[0]["region"]
    face = Actor("astronaut", [(213, 40)]).face(0)
    assert face is not None
    assert abs((x1 + x2) / 2 - (face[0] + face[2]) / 2) < 20
    assert y1 > face[1]


def test_faces_are_followed_in_place_of_what_is_drawn(visit: Visit, place: Place, people: Path) -> None:
    page = visit.page
    visit.open("/submit")
    opened(page, people)
    page.locator("body").press("f")
    page.get_by_label("Follow the faces through the clip").check()
    expect(page.locator(".segments > li")).to_contain_text("followed")
    page.get_by_label("Only these numbers").fill("none")
    page.click("#submit")
    assert "/submit" in page.url
    page.get_by_label("Only these numbers").fill("2")
    page.fill("#field-steps", "2")
    page.click("#try")
    expect(page.locator(".trial .pill")).to_have_text("completed")
    page.click("#submit")
    page.wait_for_url("**/jobs/*")
    expect(pill(page)).to_have_text("completed")
    page.locator("summary", has_text="Parameters").click()
    expect(page.locator(".params h4")).to_have_text("Found by face")
    job = page.url.rsplit("/", 1)[1]
    asked = place.farm.farm.document(job).sources[0]
    assert asked.detect is not None
    assert asked.detect.identities == (2,)
    tracks = json.loads(place.farm.blobs.get(keys.detected(job, "face")))["frames"]
    assert {entry["identity"] for entries in tracks.values() for entry in entries} == {2}


def test_two_faces_of_one_segment_are_told_apart_by_their_numbers(visit: Visit, place: Place, people: Path) -> None:
    request = {
        "input": {"uri": place.client.upload(people).uri},
        "segments": [{"name": "face", "detect": {"detector": "face"}, **LONG}],
        "model": "demo",
    }
    job = place.client.submit(JobRequest.model_validate(request)).id
    place.farm.wait(job)
    visit.open(f"/jobs/{job}")
    expect(visit.page.locator(".side li .name")).to_have_text(["face 1", "face 2"])
    expect(visit.page.locator(".look svg text")).to_have_text(["face 1", "face 2"])


def test_a_look_that_takes_long_is_waited_for_and_nothing_found_is_said(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.open("/submit")
    bare = np.full((240, 320, 3), 90, np.uint8)
    opened(page, make_clip(tmp_path / "bare.mp4", [bare] * 3))

    def hurried(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        route.continue_(post_data=json.dumps({**asked, "wait": 0}))

    page.route("**/api/v1/detect", hurried)
    with page.expect_response("**/api/v1/detect") as answer:
        page.get_by_role("button", name="Find faces").click()
    assert answer.value.status == 202
    expect(page.locator(".findings")).to_contain_text("No faces in frame 1")
    expect(page.locator("#submit")).to_be_disabled()


def test_without_a_worker_the_page_says_so_and_goes_on_waiting(
    browser: Browser,
    s3_keys: EmbeddedS3,  # noqa: F811 - the fixture of that name
    people: Path,
    tmp_path: Path,
) -> None:
    with FarmUnderTest(tmp_path / f"farm-{uuid4().hex[:12]}", s3_keys) as farm:
        client = farm.api()
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{client.http.url}/submit")
        opened(page, people)
        page.get_by_role("button", name="Find faces").click()
        expect(page.locator(".findings")).to_contain_text("No answer yet for frame 1")
        expect(page.locator(".findings")).to_contain_text("worker")
        page.get_by_role("button", name="Stop waiting").click()
        expect(page.locator(".findings")).to_be_hidden()
        until("the look is canceled", lambda: [job.status for job in client.jobs()] == ["canceled"])
        page.close()
