"""Debian's Chromium, driven by Playwright: one browser for all tests of a process, as Playwright runs once a thread.

A test file imports the fixtures that it uses.
"""

from __future__ import annotations

import atexit
import functools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

__all__ = ["Watched", "browser", "find_chromium", "page"]

_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass
class Watched:
    """A page of the browser, and all that it complained of: console errors, exceptions, failed requests."""

    page: Any
    complaints: list[str] = field(default_factory=list)


def find_chromium() -> str | None:
    """Where Chromium lies, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Any:
    """Chromium without a window; without Chromium or Playwright, the test is skipped."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    return _launched(chromium)


@pytest.fixture
def page(browser: Any) -> Iterator[Watched]:
    """A fresh page of 1500 x 1200 pixels."""
    context = browser.new_context(viewport={"width": 1500, "height": 1200})
    context.set_default_timeout(120_000)  # busy machines
    watched = Watched(context.new_page())
    complain = watched.complaints.append
    watched.page.on("console", lambda message: message.type == "error" and complain(f"console: {message.text}"))
    watched.page.on("pageerror", lambda error: complain(f"exception: {error}"))
    watched.page.on(
        "response", lambda response: response.status >= 400 and complain(f"{response.status}: {response.url}")
    )
    yield watched
    context.close()


@functools.cache
def _launched(chromium: str) -> Any:
    from playwright.sync_api import sync_playwright

    playwright = sync_playwright().start()
    launched = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))

    def stop() -> None:
        launched.close()
        playwright.stop()

    atexit.register(stop)
    return launched
