"""What the dashboard offers to whom: viewers, artists with jobs of their own, admins."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from farm.adapters.daemon import free_port
from farm.client import Farm as Client
from farm.domain.job import InputRequest, JobRequest, SegmentRequest
from farm.errors import FarmError
from tests.browser.conftest import WAIT_MS, Place
from tests.browser.test_dashboard import LONG, has_pictures, pill
from tests.e2e.farm_under_test import until

expect.set_options(timeout=WAIT_MS)

KEYS = {role: f"a-long-key-of-the-{role}" for role in ("viewer", "artist", "admin")}


@pytest.fixture(scope="module")
def guarded(place: Place) -> str:
    """Address of an API of the same farm that asks for keys."""
    port = free_port()
    names = {"viewer": "vera", "artist": "ann", "admin": "otto"}
    keys = ",".join(f"{names[role]}:{role}:{key}" for role, key in KEYS.items())
    place.farm.start("api-with-people", "farm.cli", "api", api_port=port, api_keys=keys)
    url = f"http://127.0.0.1:{port}"
    with Client(url, KEYS["admin"]) as client:

        def answers() -> bool:
            with suppress(FarmError):
                return client.ready()[0]
            return False

        until("the API answers", answers)
    return url


def sign_in(browser: Browser, url: str, role: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.fill("#key-text", KEYS[role])
    page.get_by_role("button", name="Open the farm").click()
    expect(page.locator("#who")).to_contain_text(role)
    return page


def submitted(url: str, role: str, clip: Path, **fields: object) -> str:
    with Client(url, KEYS[role]) as client:
        uploaded = client.upload(clip)
        segment = SegmentRequest.model_validate({"name": "all", "mask": uploaded.uri, **LONG})
        source = InputRequest(uri=uploaded.uri, frames="1-16")
        request = {"name": f"of {role}", "input": source, "segments": (segment,), "model": "demo", "chunk": 4, **fields}
        return client.submit(JobRequest.model_validate(request)).id


def test_a_viewer_looks_and_is_told_why_nothing_can_be_changed(
    browser: Browser, place: Place, guarded: str, clip: Path
) -> None:
    job = submitted(guarded, "artist", clip)
    page = sign_in(browser, guarded, "viewer")
    expect(page.locator(f'[data-job="{job}"]')).to_be_visible()
    expect(page.get_by_role("link", name="New job")).to_have_count(0)
    page.goto(f"{guarded}/submit")
    expect(page.locator("main")).to_contain_text("You are vera, a viewer")
    expect(page.locator("#files")).to_have_count(0)
    page.goto(f"{guarded}/workers")
    expect(page.locator('[data-worker="w0"]').get_by_role("button", name="Drain")).to_be_disabled()
    page.goto(f"{guarded}/jobs/{job}")
    expect(page.locator(".head .barred")).to_contain_text("an artist or an admin")
    expect(page.locator(".head [data-action]")).to_have_count(0)
    page.locator("#who").click()
    expect(page.get_by_role("dialog")).to_contain_text("Jobs that have not ended")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#key-text")).to_be_visible()
    page.context.close()


def test_an_artist_decides_about_their_own_jobs_and_an_admin_about_all(
    browser: Browser, place: Place, guarded: str, clip: Path
) -> None:
    own, other = submitted(guarded, "artist", clip), submitted(guarded, "admin", clip)
    with Client(guarded, KEYS["artist"]) as ann:
        ann.http.post(f"/jobs/{own}/actions", {"action": "pause"})
    page = sign_in(browser, guarded, "artist")
    page.goto(f"{guarded}/jobs/{other}")
    expect(page.locator(".head .barred")).to_contain_text("This job is otto's")
    page.goto(f"{guarded}/jobs/{own}")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.locator(".head .barred")).to_have_count(0)
    page.context.close()
    page = sign_in(browser, guarded, "admin")
    page.goto(f"{guarded}/jobs/{own}")
    page.get_by_role("button", name="Cancel").click()
    page.fill("#reason", "the wrong clip")
    page.locator("dialog button[type=submit]").click()
    expect(pill(page)).to_have_text("canceled")
    page.get_by_text("History").click()
    history = page.locator(".history li")
    expect(history.first).to_contain_text("otto canceled it “the wrong clip”")
    expect(history.last).to_contain_text("ann submitted it")
    page.context.close()


@pytest.mark.parametrize(("verdict", "state"), [("Approve", "completed"), ("Reject", "canceled")])
def test_a_job_that_waits_for_approval_shows_what_it_has_made(
    browser: Browser, place: Place, guarded: str, clip: Path, verdict: str, state: str
) -> None:
    job = submitted(guarded, "artist", clip, approve_every=2)
    page = sign_in(browser, guarded, "artist")
    page.goto(f"{guarded}/jobs/{job}")
    expect(pill(page)).to_have_text("awaiting approval")
    shots = page.locator(".review .pictures-list button")
    expect(shots).to_have_count(2)
    has_pictures(page, ".review")
    shots.nth(1).click()
    expect(page.locator(".side h2")).to_have_text("Frame 10")
    page.get_by_role("button", name=verdict).click()
    if verdict == "Reject":
        page.fill("#reason", "too sharp")
        page.locator("dialog button[type=submit]").click()
    expect(pill(page)).to_have_text(state)
    expect(page.locator(".review")).to_be_hidden()
    page.context.close()
