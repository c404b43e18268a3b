"""The page of a long job costs a browser what a short one's does."""

from __future__ import annotations

from playwright.sync_api import Browser

from farm.adapters.redis_ledger import RedisLedger
from tests.bench.job_page import FRAMES, cost, served


def test_a_job_of_twenty_thousand_frames_is_no_heavier_for_a_browser(browser: Browser, redis_url: str) -> None:
    ledger = RedisLedger(redis_url)
    with served(ledger) as (url, jobs):
        short, long = (cost(browser, url, job, frames) for job, frames in zip(jobs, FRAMES, strict=True))
    ledger.close()
    assert long.elements < 1000
    assert long.heap_mb < 1.5 * short.heap_mb
    assert long.map_bytes < 1000
