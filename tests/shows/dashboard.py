"""`python -m tests.shows.dashboard [FOLDER] [--docs]`: pictures of every page of the dashboard, to be looked at.

A real farm repaints the demo's clip with the embedded model and finds two faces, while Chromium takes its pages, in
light and in dark, wide and on a telephone. They lie in `out/dashboard`, or FOLDER; `--docs` also renews those of
`docs/images`. Where Inter is installed (on Debian: apt install fonts-inter), it is what the pages are set in.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from demo.scene import HEAD, PARAMETERS, PAW, SOFT
from farm.adapters.daemon import free_port
from farm.client import Farm as Client
from farm.domain.job import InputRequest, JobRequest
from farm.domain.segment_request import SegmentRequest
from farm.domain.state import JobState
from farm.errors import FarmError
from farm.local.place import DEMO_MODEL
from tests.browser.chromium import MISSING, launch, program
from tests.e2e.farm_under_test import REPO, FarmUnderTest, until
from tests.e2e.shots import make_model
from tests.faces import Actor, Scene, straight
from tests.shows.camera import WAIT_MS, WIDE, Camera, film_is_there, key, pictures_are_there
from tests.shows.demo_clip import ENGINE
from tests.shows.stage import say, stage
from tests.unit.adapters.clips import make_clip

NARROW = (390, 844)
"""Pixels."""
PEOPLE = {"ann": "artist", "otto": "admin"}
SHOWN = ("approval", "job", "job_dark", "jobs", "submit", "workers")
"""Pictures that docs/dashboard.md shows."""


def interview(folder: Path) -> Path:
    """A video of two people who hardly move."""
    actors = [
        Actor("cameraman", straight((176, 146), (196, 150), 24), 2.2),
        Actor("astronaut", straight((660, 120), (640, 120), 24), 2.4),
    ]
    scene = Scene(actors, (1280, 720))
    return make_clip(folder / "interview.mp4", [scene.picture(number) for number in range(scene.frames)])


def bare(camera: Camera) -> None:
    """A farm on its first day."""
    for dark in (False, True):
        of = "_dark" if dark else ""
        with camera.visit("ann", "/", dark=dark) as page:
            expect(page.locator(".empty")).to_be_visible()
            camera.take(page, f"none_jobs{of}", whole=False)
            page.goto(f"{camera.url}/workers")
            expect(page.locator(".empty")).to_be_visible()
            camera.take(page, f"none_workers{of}", whole=False)
            page.goto(f"{camera.url}/submit")
            expect(page.locator(".drop")).to_be_visible()
            camera.take(page, f"none_submit{of}", whole=False)


def asked(camera: Camera) -> None:
    """The dialog for the key, and that of the keyboard."""
    context = camera.browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
    page = context.new_page()
    page.goto(camera.url)
    expect(page.get_by_role("dialog")).to_be_visible()
    camera.take(page, "asks_for_key", whole=False)
    context.close()
    with camera.visit("ann", "/", dark=True) as page:
        page.locator("body").press("?")
        camera.take(page, "keyboard_dark", whole=False)


def submits(camera: Camera, clip: Path) -> None:
    """A new job: faces are found, one frame is tried."""
    with camera.visit("ann", "/submit", size=(1440, 960)) as page:
        page.set_input_files("#files", clip)
        pictures_are_there(page, ".board")
        page.get_by_label("Prompt").first.fill("a sharp, detailed face")
        page.get_by_role("button", name="Find faces").click()
        expect(page.locator(".found li")).to_have_count(2)
        camera.take(page, "submit", whole=False)
        for field, value in (("steps", 4), ("guide_size", 128), ("max_size", 256), ("denoise", 0.25)):
            page.fill(f"#field-{field}", str(value))
        page.click("#try")
        pictures_are_there(page, ".trial")
        expect(page.locator(".trial .pill")).to_have_text("completed")
        camera.take(page, "submit_tried")
        page.click("#theme")
        camera.take(page, "submit_tried_dark")


def whole_clip(farm: Client, clip: str) -> str:
    """A job over the demo's clip, with head and paw; its id."""
    segments = [
        SegmentRequest(name="head", mask=farm.upload(HEAD).uri),
        SegmentRequest(name="paw", mask=farm.upload(PAW).uri),
    ]
    asked = JobRequest(
        name="Shot 020, the whole clip",
        input=InputRequest(uri=clip, frames="25-132"),
        segments=tuple(segments),
        detailer=PARAMETERS.model_copy(update={"steps": 4}),
        model="demo",
        chunk=4,
    )
    return farm.submit(asked).id


def both_faces(farm: Client, clip: Path) -> str:
    """A job that waits for approval after every other chunk; its id."""
    document = {
        "name": "Interview, both faces",
        "input": {"uri": farm.upload(clip).uri},
        "segments": [{"name": "face", "detect": {"detector": "face"}}],
        "detailer": {**PARAMETERS.model_dump(exclude_unset=True), "steps": 4, "crop_factor": 1.6},
        "model": "demo",
        "chunk": 4,
        "approve_every": 2,
        "priority": 90,
    }
    return farm.submit(JobRequest.model_validate(document)).id


def runs(camera: Camera, farm: Client, job: str) -> None:
    """A job on its way, the workers at it."""
    until("some frames are done", lambda: farm.job(job).frames.done >= 24, WAIT_MS / 1e3)
    for dark in (False, True):
        of = "_dark" if dark else ""
        with camera.visit("ann", f"/jobs/{job}", dark=dark) as page:
            pictures_are_there(page, ".look .compare")
            film_is_there(page)
            camera.take(page, f"job{of}")
        with camera.visit("otto", "/workers", size=(1440, 528), dark=dark) as page:
            expect(page.locator(".worker .picture img")).to_have_count(2)
            camera.take(page, f"workers{of}", whole=False)
    with camera.visit("ann", f"/jobs/{job}", size=NARROW) as page:
        pictures_are_there(page, ".look .compare")
        film_is_there(page)
        camera.take(page, "job_narrow")


def waits(camera: Camera, job: str) -> None:
    """A job that is to be approved."""
    for dark in (False, True):
        with camera.visit("ann", f"/jobs/{job}", dark=dark) as page:
            pictures_are_there(page, ".review")
            pictures_are_there(page, ".look .compare")
            film_is_there(page)
            camera.take(page, "approval_dark" if dark else "approval")


def failed(camera: Camera, farm: FarmUnderTest, client: Client, clip: str) -> str:
    """A job whose model has gone: its drawer, and what is told of it; its id."""
    folder = make_model(farm.folder / "gone")
    (folder / "model_index.json").write_text('{"_class_name": "Gone"}')
    farm.add_model("gone", folder)
    farm.blobs.delete(
        name for name in farm.names("models/blobs/") if farm.blobs.get(name) == b'{"_class_name": "Gone"}'
    )
    mask = client.upload(HEAD).uri
    asked = {"input": {"uri": clip, "frames": "60-75"}, "segments": [{"name": "head", "mask": mask}]}
    job = client.submit(JobRequest.model_validate({**asked, "name": "Shot 040", "model": "gone", "chunk": 4})).id
    farm.wait(job, JobState.FAILED, WAIT_MS / 1e3)
    for dark in (False, True):
        with camera.visit("ann", f"/jobs/{job}", dark=dark) as page:
            expect(page.locator(".fault")).to_be_visible()
            film_is_there(page)
            camera.take(page, f"failed_job{'_dark' if dark else ''}", whole=False)
            page.locator('.column[data-chunk="1"] .cell[data-source="head"]').click()
            page.locator(".task-card").first.get_by_role("button", name="Log").click()
            expect(page.locator(".log").first).to_be_visible()
            camera.take(page, "failed_dark" if dark else "failed", whole=False)
    return job


def lists(camera: Camera, job: str) -> None:
    """All jobs, a finished one opened up, and a telephone."""
    for dark in (False, True):
        with camera.visit("ann", "/", size=(1440, 560), dark=dark) as page:
            expect(page.locator(".jobs img")).to_have_count(3)
            camera.take(page, "jobs_dark" if dark else "jobs")
    with camera.visit("ann", "/", size=NARROW) as page:
        expect(page.locator(".jobs img")).to_have_count(3)
        camera.take(page, "jobs_narrow")
        page.goto(f"{camera.url}/workers")
        expect(page.locator(".worker").first).to_be_visible()
        camera.take(page, "workers_narrow")
    with camera.visit("ann", f"/jobs/{job}") as page:
        film_is_there(page)
        page.locator("summary", has_text="Parameters").click()
        page.locator("summary", has_text="History").click()
        expect(page.locator(".history li").first).to_be_visible()
        camera.take(page, "job_open")


def guarded(farm: FarmUnderTest) -> str:
    """Start an API that asks for keys; its address."""
    port = free_port()
    keys = ",".join(f"{who}:{role}:{key(who)}" for who, role in PEOPLE.items())
    farm.start("api", "farm.cli", "api", api_port=port, api_keys=keys)
    url = f"http://127.0.0.1:{port}"
    with Client(url, key("otto")) as client:

        def answers() -> bool:
            with suppress(FarmError):
                return client.ready()[0] or bool(client.ready()[1])
            return False

        until("the API answers", answers)
    return url


def main(*arguments: str) -> int:
    """Take all pictures."""
    if not program():
        say(MISSING)
        return 1
    folder = Path(next((one for one in arguments if not one.startswith("-")), REPO / "out" / "dashboard"))
    with stage() as place, place.farm(**ENGINE, lease_ttl_s=60, heartbeat_s=2) as farm, sync_playwright() as playwright:
        camera = Camera(launch(playwright), guarded(farm), folder)
        bare(camera)
        asked(camera)
        farm.add_model("demo", DEMO_MODEL)
        farm.workers(2)
        people = interview(place.folder)
        submits(camera, people)
        with Client(camera.url, key("ann")) as client:
            faces = both_faces(client, people)
            until("it waits", lambda: client.job(faces).status == "awaiting-approval", WAIT_MS / 1e3)
            clip = client.upload(SOFT).uri
            shot = whole_clip(client, clip)
            waits(camera, faces)
            runs(camera, client, shot)
            broken = failed(camera, farm, client, clip)
            lists(camera, shot)
        say(f"jobs {faces}, {shot}, {broken}")
    if "--docs" in arguments:
        for name in SHOWN:
            (REPO / "docs" / "images" / f"{name}.webp").write_bytes((folder / f"{name}.webp").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
