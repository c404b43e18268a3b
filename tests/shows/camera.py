"""Takes pictures of the dashboard's pages, once they have come to rest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.e2e.farm_under_test import until
from tests.shows.stage import say

WAIT_MS = 120_000
WIDE = (1440, 900)
"""Pixels."""
QUALITY = 88
LOADED = "all => all.length > 0 && all.every(one => one.naturalWidth > 0)"
AT_REST = "() => document.getAnimations().filter(one => one.effect.getTiming().iterations !== Infinity).length === 0"
TALL = "() => document.documentElement.scrollHeight"


@dataclass(frozen=True)
class Camera:
    """A browser on an API, and where its pictures go."""

    browser: Browser
    url: str
    folder: Path

    @contextmanager
    def visit(self, who: str, path: str, *, size: tuple[int, int] = WIDE, dark: bool = False) -> Iterator[Page]:
        """Somebody's page, signed in."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(WAIT_MS)
        context.request.post(f"{self.url}/api/v1/session", data={"key": key(who)}, headers={"Origin": self.url})
        page = context.new_page()
        page.goto(self.url + path)
        page.wait_for_selector("main h1, dialog")
        yield page
        context.close()

    def take(self, page: Page, name: str, *, whole: bool = True) -> None:
        """Keep what the page shows, to its full height."""
        if whole:
            width = (page.viewport_size or {"width": WIDE[0]})["width"]
            page.set_viewport_size({"width": width, "height": page.evaluate(TALL)})
        page.wait_for_function(AT_REST)
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.convert("RGB").save(self.folder / f"{name}.webp", quality=QUALITY, method=6)
        say(f"   {name}.webp  {picture.width} x {picture.height}")


def key(who: str) -> str:
    """Somebody's API key."""
    return f"a-long-key-of-{who}"


def pictures_are_there(page: Page, within: str) -> None:
    """Wait until all pictures in a part of the page are shown."""
    until(f"pictures in {within}", lambda: page.locator(f"{within} img").evaluate_all(LOADED))


def film_is_there(page: Page) -> None:
    """Wait until each frame of the strip that has a picture shows it."""
    missing = "all => all.length > 0 && all.every(one => one.querySelector('img')?.naturalWidth > 0)"
    until("the pictures of the strip", lambda: page.locator(".strip .thumb[data-of]").evaluate_all(missing))
