"""The page of workers: asking one to end, and thinking better of it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from farm.ports import WorkerStatus
from tests.browser.conftest import WAIT_MS, Place, Visit
from tests.browser.test_dashboard import has_pictures, submitted

expect.set_options(timeout=WAIT_MS)


def test_a_worker_is_drained_after_a_question_and_may_be_kept(visit: Visit, place: Place) -> None:
    ledger = place.farm.ledger
    ledger.beat(WorkerStatus("gpu 7/a", "host", 1, ("gpu.24",), "cuda:0", seen=0, tasks=()), 600)
    try:
        page = visit.page
        visit.open("/workers")
        card = page.locator('[data-worker="gpu 7/a"]')
        card.get_by_role("button", name="Drain").click()
        page.get_by_role("button", name="Back").click()
        expect(card.locator(".pill")).to_have_text("idle")
        card.get_by_role("button", name="Drain").click()
        page.get_by_label("Why").fill("a new driver")
        page.locator("dialog").get_by_role("button", name="Drain").click()
        expect(card.locator(".pill")).to_have_text("draining")
        expect(card).to_contain_text("Asked to end by local: a new driver")
        kept = next(worker.drain for worker in ledger.workers() if worker.id == "gpu 7/a")
        assert kept is not None
        assert kept.reason == "a new driver"
        card.get_by_role("button", name="Keep it").click()
        expect(card.locator(".pill")).to_have_text("idle")
    finally:
        ledger.leave("gpu 7/a")


def test_a_worker_shows_the_job_that_it_works_on_with_its_last_picture(visit: Visit, place: Place, clip: Path) -> None:
    job = submitted(place, clip, "seen at work", "1-48", prompt="seen at work")
    page = visit.page
    visit.open("/workers")
    at_work = page.locator(".worker .at-work").first
    expect(at_work.locator(".name")).to_have_text("seen at work")
    has_pictures(page, ".worker .at-work")
    at_work.click()
    page.wait_for_url(f"**/jobs/{job}")
    place.client.http.post(f"/jobs/{job}/actions", {"action": "cancel"})
