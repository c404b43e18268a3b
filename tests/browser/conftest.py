"""A real farm and a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from farm.adapters.servers import EmbeddedS3
from farm.client import Farm as Client
from tests.browser.chromium import MISSING, launch, program
from tests.e2e import shots
from tests.e2e.conftest import s3_keys  # noqa: F401 - a fixture is known to the tests by being imported here
from tests.e2e.farm_under_test import FarmUnderTest
from tests.unit.adapters.clips import make_clip, pictures

TRIES = 3
WAIT_MS = 60_000
"""For what a busy machine takes long to do."""


@dataclass
class Visit:
    """A browser's page on a farm, and what went wrong in it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the dashboard. Other tests' network namespaces may break a request off: then once more."""
        for _ in range(TRIES):
            self.page.goto(self.url + path)
            with suppress(Error):
                self.page.wait_for_selector("main h1, dialog", timeout=WAIT_MS / TRIES)
                return
        raise AssertionError(f"{path} shows nothing")


@dataclass(frozen=True)
class Place:
    """A farm with its API."""

    farm: FarmUnderTest
    client: Client
    url: str


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests. Without one they are skipped on a desk and fail in CI."""
    if not program():
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def place(
    browser: Browser,
    s3_keys: EmbeddedS3,  # noqa: F811 - the fixture of that name
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """A farm with two workers whose crops take a while, so that there is something to watch."""
    folder = tmp_path_factory.mktemp("browser") / f"farm-{uuid4().hex[:12]}"
    with FarmUnderTest(folder, s3_keys, fake_seconds=0.1) as farm:
        client = farm.api()
        farm.add_model("demo", shots.make_model(folder / "model"))
        farm.workers(2)
        yield Place(farm, client, client.http.url)


@pytest.fixture
def visit(browser: Browser, place: Place) -> Iterator[Visit]:
    """A new visitor; an error in a script or a refused script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    visit = Visit(context.new_page(), place.url)

    def failed(error: Error) -> None:
        visit.errors.append(str(error))

    visit.page.on("pageerror", failed)
    yield visit
    context.close()
    assert visit.errors == []


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", list(pictures(48, 320, 240)))
