"""What the page of a long job costs a browser, beside that of a short one: `python -m tests.bench.job_page`.

Chromium opens the page of a job of 200 frames and of one of 20,000, on a real ledger, goes to the end, and comes back.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
import torch
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from api.app import create_app
from farm.adapters.daemon import free_port
from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.servers import EmbeddedRedis
from farm.settings import Settings
from tests.bench.long_job import farm_without_workers, long_job
from tests.bench.measures import machine, out, table
from tests.browser.chromium import MISSING, launch, program

FRAMES = (200, 20_000)
REPEATS = 5
MORE = 1.5
"""Times as much heap and elements, at the most, as the short job's page has."""
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
SHOWN = "() => [...document.querySelectorAll('.look .pictures img')].filter(one => one.naturalWidth).length === 2"
AT_END = "name => document.querySelector('.frame[aria-current]')?.getAttribute('aria-label').startsWith(name) ?? false"


@dataclass
class Cost:
    """Of one page."""

    first_paint_ms: float
    frame_shown_ms: float
    """From the beginning until both pictures of a frame are there."""
    to_the_end_ms: float
    """From the press of End until the last frame is in view."""
    heap_mb: float
    """Of JavaScript, after a collection."""
    elements: float
    map_bytes: float
    map_ms: float
    """That the API takes for the states of all chunks, from the ledger."""


def cost(browser: Browser, url: str, job: str, frames: int) -> Cost:
    """Open a job's page as a new visitor, and measure."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(f"{url}/jobs/{job}")
    _until(lambda: page.evaluate(SHOWN))
    shown = time.perf_counter() - begin
    painted = page.evaluate(PAINTED)
    begin = time.perf_counter()
    page.locator("body").press("End")
    _until(lambda: page.evaluate(AT_END, f"Frame {frames},"))
    there = time.perf_counter() - begin
    page.locator("body").press("Home")
    _until(lambda: page.evaluate(SHOWN))
    devtools = context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
    elements = page.evaluate("() => document.querySelectorAll('*').length")
    context.close()
    begin = time.perf_counter()
    answer = httpx.get(f"{url}/api/v1/jobs/{job}/chunks")
    took = time.perf_counter() - begin
    return Cost(painted, shown * 1e3, there * 1e3, heap / 1e6, elements, len(answer.content), took * 1e3)


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "the page did not come to rest"
        time.sleep(0.01)


@contextmanager
def served(ledger: RedisLedger) -> Iterator[tuple[str, list[str]]]:
    """An API in a thread; its address, and a job of each length."""
    farm = farm_without_workers(ledger)
    jobs = [long_job(farm, frames) for frames in FRAMES]
    port = free_port()
    app = create_app(farm, farm.blobs, Settings.read(api_port=port))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}", jobs
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def measure(repeats: int = REPEATS) -> list[Cost]:
    """The middle one of each cost, per length."""
    with tempfile.TemporaryDirectory() as folder:
        redis = EmbeddedRedis(Path(folder))
        redis.start()
        ledger = RedisLedger(redis.url)
        try:
            with served(ledger) as (url, jobs), sync_playwright() as playwright:
                browser = launch(playwright)
                found: list[list[Cost]] = [[] for _ in jobs]
                cost(browser, url, jobs[0], FRAMES[0])  # the first page of a browser is slower
                for _ in range(repeats):
                    for costs, job, frames in zip(found, jobs, FRAMES, strict=True):
                        costs.append(cost(browser, url, job, frames))
                browser.close()
        finally:
            ledger.close()
            redis.stop(grace_s=0)
    return [_middle(costs) for costs in found]


def _middle(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(one, field.name) for one in costs) for field in fields(Cost)))


def main() -> int:
    """Measure and print; 1 if the long job's page holds more than `MORE` times the short one's in memory."""
    if not program():
        out.print(MISSING)
        return 1
    out.print(machine(torch.device("cpu")))
    short, long = measure()
    rows = []
    for field in fields(Cost):
        one, other = getattr(short, field.name), getattr(long, field.name)
        rows.append((field.name, f"{one:,.1f}", f"{other:,.1f}", f"{other / one:.2f}x"))
    title = f"The page of a job, in Chromium; the middle of {REPEATS}"
    table(title, ("", *(f"{frames:,} frames" for frames in FRAMES), "ratio"), rows)
    # Times are told, not judged: the first paint is the same empty page for both.
    return 0 if long.heap_mb <= MORE * short.heap_mb and long.elements <= MORE * short.elements else 1


if __name__ == "__main__":
    sys.exit(main())
