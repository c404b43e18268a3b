"""The dashboard in a browser, with a real farm behind it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from farm.adapters.daemon import free_port
from farm.client import Farm as Client
from farm.domain.job import InputRequest, JobRequest, SegmentRequest
from farm.domain.state import JobState
from farm.errors import FarmError
from tests.browser.conftest import WAIT_MS, Place, Visit
from tests.e2e.farm_under_test import until
from tests.e2e.shots import make_model

expect.set_options(timeout=WAIT_MS)

KEY = "a-long-key-of-the-operator"
Steps = dict[str, object]
LONG: Steps = {"steps": 10, "crop_factor": 1.0, "guide_size": 64, "max_size": 64}


def pill(page: Page) -> Locator:
    return page.locator(".title .pill")


def drag(page: Page, target: Locator, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw from one place to another, as shares of the target's size."""
    box = target.bounding_box()
    assert box is not None
    (x1, y1), (x2, y2) = ((box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (begin, end))
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    page.mouse.move(x2, y2)
    page.mouse.up()


def has_pictures(page: Page, within: str) -> None:
    """Wait until all pictures there are really shown."""
    loaded = "all => all.length > 0 && all.every(one => one.naturalWidth > 0)"
    until(f"pictures in {within}", lambda: page.locator(f"{within} img").evaluate_all(loaded))


def submitted(
    place: Place, clip: Path, name: str, frames: str, *, model: str = "demo", chunk: int = 4, prompt: str = ""
) -> str:
    """A job by the API: its mask is a part of the clip's own first picture. One with a prompt of its own takes its time
    even where others have had the same frames repainted before."""
    uploaded = place.client.upload(clip)
    mask = place.client.upload(clip)
    segment = SegmentRequest.model_validate({"name": "all", "mask": mask.uri, "prompt": prompt, **LONG})
    request = JobRequest(
        name=name, input=InputRequest(uri=uploaded.uri, frames=frames), segments=(segment,), model=model, chunk=chunk
    )
    return place.client.submit(request).id


def test_a_job_is_submitted_by_drawing_and_watched_to_its_end_without_a_reload(
    visit: Visit, place: Place, clip: Path
) -> None:
    page = visit.page
    visit.open("/submit")
    page.set_input_files("#files", clip)
    has_pictures(page, ".board")
    expect(page.locator("#submit")).to_be_disabled()
    drag(page, page.locator(".board canvas"), (0.25, 0.25), (0.75, 0.75))
    page.get_by_role("button", name="Add one").click()
    page.get_by_role("button", name="Brush").click()
    drag(page, page.locator(".board canvas"), (0.05, 0.05), (0.1, 0.1))
    page.get_by_label("Prompt").first.fill("a face")
    expect(page.locator(".segments li").first).to_have_class("chosen")
    page.fill("#name", "drawn")
    page.fill("#last", "12")
    page.fill("#field-crop_factor", "1")
    page.fill("#field-steps", "4")

    page.click("#try")
    has_pictures(page, ".trial")
    expect(page.locator(".trial .pill")).to_have_text("completed")

    page.click("#submit")
    page.wait_for_url("**/jobs/*")
    page.evaluate("window.stayed = true")
    expect(pill(page)).to_have_text("completed")
    expect(page.locator(".facts-line")).to_contain_text("12 of 12 frames")
    assert page.evaluate("window.stayed") is True

    job = page.url.rsplit("/", 1)[1]
    sources = place.farm.farm.document(job).sources
    assert [(one.name, one.detailer.prompt) for one in sources] == [("face", "a face"), ("segment-2", "")]
    assert {(one.detailer.steps, one.detailer.crop_factor) for one in sources} == {(4, 1.0)}
    segments = place.client.http.get(f"/jobs/{job}/frames/1")["segments"]
    assert segments[0]["region"] == [80, 60, 240, 180]
    assert segments[1]["source"] == "segment-2"


def test_before_and_after_are_moved_by_hand_and_by_keys(visit: Visit, place: Place, clip: Path) -> None:
    job = submitted(place, clip, "looked at", "1-8")
    place.farm.wait(job)
    page = visit.page
    visit.open(f"/jobs/{job}")
    has_pictures(page, ".look .compare")
    pictures = page.locator(".look .pictures")

    def at() -> float:
        return float(str(pictures.evaluate("one => one.style.getPropertyValue('--at')")).rstrip("%"))

    drag(page, pictures, (0.5, 0.5), (0.2, 0.5))
    assert abs(at() - 20) < 1
    assert page.locator(".look img.after").evaluate("one => getComputedStyle(one).clipPath").startswith("inset(")
    page.locator("body").press("Space")
    assert at() == 100
    page.locator("body").press("Space")
    assert at() == 0
    before, after = (page.locator(f".look img.{which}").get_attribute("src") for which in ("before", "after"))
    assert (before or "").endswith("of=input")
    assert (after or "").endswith("of=final")

    cut = page.locator(".side .crop i")
    expect(cut).to_have_count(1)
    assert str(after) in str(cut.evaluate("one => one.style.backgroundImage"))

    page.locator("body").press("ArrowRight")
    expect(page.locator(".side h2")).to_have_text("Frame 2")
    page.locator("body").press("End")
    expect(page.locator(".side h2")).to_have_text("Frame 8")
    expect(page.locator(".frame[aria-current]")).to_have_attribute("aria-label", "Frame 8, done")
    page.locator("body").press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_a_job_goes_first_is_canceled_for_a_reason_and_taken_up_again(visit: Visit, place: Place, clip: Path) -> None:
    job = submitted(place, clip, "canceled", "1-48")
    page = visit.page
    visit.open(f"/jobs/{job}")
    page.get_by_role("button", name="Priority 50").click()
    page.fill("#priority", "80")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("button", name="Priority 80")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.fill("#reason", "another shot first")
    page.locator("dialog button[type=submit]").click()
    expect(pill(page)).to_have_text("canceled")
    decisions = [name for name in place.farm.names(f"jobs/{job}/decisions/") if name.endswith("-cancel.json")]
    assert b"another shot first" in place.farm.blobs.get(decisions[0])

    page.get_by_role("button", name="Retry").click()
    expect(pill(page)).not_to_have_text("canceled")
    place.farm.wait(job)
    expect(pill(page)).to_have_text("completed")


def test_a_failed_chunk_tells_why_and_is_tried_again(visit: Visit, place: Place, clip: Path, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "model_index.json").write_text('{"_class_name": "Another"}')
    place.farm.add_model("another", folder)
    blobs = {name: place.farm.blobs.get(name) for name in place.farm.names("models/blobs/")}
    place.farm.blobs.delete(blobs)
    job = submitted(place, clip, "failed", "1-8", model="another")
    place.farm.wait(job, JobState.FAILED)

    page = visit.page
    visit.open(f"/jobs/{job}")
    expect(page.locator(".fault")).to_contain_text("2 of 2 chunks failed")
    expect(page.locator(".fault")).to_contain_text("models/blobs/")
    cell = page.locator('.column[data-chunk="1"] .cell[data-source="all"]')
    expect(cell).to_have_attribute("aria-label", "Chunk 1, all: failed")
    cell.click()
    card = page.locator('.task-card[data-state="failed"]').first
    expect(card.locator(".error").first).to_contain_text("models/blobs/")
    expect(card.locator(".attempt").first).to_contain_text("error")
    card.get_by_role("button", name="Log").click()
    expect(card.locator(".log").first).to_contain_text("attempt_ended")

    for name, data in blobs.items():
        place.farm.blobs.put(name, data)
    page.get_by_role("button", name="Try again").click()
    expect(cell).to_have_attribute("aria-label", "Chunk 1, all: done")
    expect(page.locator('.column[data-chunk="0"] .cell[data-source="all"]')).to_have_attribute(
        "aria-label", "Chunk 0, all: failed"
    )
    page.locator("body").press("Escape")
    expect(page.locator(".drawer")).to_be_hidden()
    page.get_by_role("button", name="Retry").click()
    expect(pill(page)).to_have_text("completed")
    expect(page.locator(".fault")).to_be_hidden()


def test_the_list_of_jobs_and_the_workers_move_by_themselves(visit: Visit, place: Place, clip: Path) -> None:
    page = visit.page
    visit.open("/")
    expect(page.locator("h1")).to_have_text("Jobs")
    job = submitted(place, clip, "watched in the list", "9-20")
    row = page.locator(f'[data-job="{job}"]')
    expect(row.locator(".name")).to_have_text("watched in the list")
    expect(row.locator(".pill")).to_have_text("completed")
    has_pictures(page, f'[data-job="{job}"]')
    page.get_by_role("link", name="Workers").click()
    expect(page.locator(".worker")).to_have_count(2)
    expect(page.locator('[data-worker="w0"]')).to_contain_text("per detail task")


def test_a_farm_with_keys_asks_once_and_then_shows_pictures_and_streams(
    browser: Browser, place: Place, clip: Path
) -> None:
    job = submitted(place, clip, "behind a key", "1-4")
    place.farm.wait(job)
    port = free_port()
    place.farm.start("api-with-keys", "farm.cli", "api", api_port=port, api_keys=f"operator:{KEY}")
    url = f"http://127.0.0.1:{port}"
    with Client(url, KEY) as client:

        def answers() -> bool:
            with suppress(FarmError):
                return client.ready()[0]
            return False

        until("the API answers", answers)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/jobs/{job}")
    page.fill("#key-text", "not the key")
    page.get_by_role("button", name="Open the farm").click()
    expect(page.locator("dialog .problem")).to_contain_text("not one of this farm's")
    page.fill("#key-text", KEY)
    page.get_by_role("button", name="Open the farm").click()
    expect(pill(page)).to_have_text("completed")
    has_pictures(page, ".look .compare")
    assert page.evaluate("document.cookie") == ""
    page.goto(url)
    expect(page.locator(f'[data-job="{job}"] .name')).to_have_text("behind a key")
    context.close()
