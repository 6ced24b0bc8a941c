"""Chromium for the tests of the report: one browser for each module, and a guard for each page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same browser without its windows: a page costs a third of the processor time."""
LOCAL = ("file:", "data:", "blob:")
WIDE, NARROW = (1280, 900), (390, 844)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium, and end it afterwards; skip the test if it or Playwright is missing."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: install Chromium (apt-get install {NAMES[0]})")
    sync = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install 'tiler[test]'"
    )
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


class Opener:
    """Open pages from the file system, and collect whatever they must not do.

    ``faults`` has a line for each request that is not local, each warning or error on the console
    (a violation of the Content-Security-Policy is one), and each exception that no code catches.
    """

    def __init__(self, browser: Any) -> None:
        self.faults: list[str] = []
        self._browser = browser
        self._contexts: list[Any] = []

    def __call__(
        self, path: Path, query: str = "", *, size: tuple[int, int] = WIDE, dark: bool = False
    ) -> Any:
        """Return a page of a new browser context without network, which shows a file."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            offline=True,
            accept_downloads=True,
        )
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        context.on("request", self._requested)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.faults.append(f"exception: {error.error}"))
        page = context.new_page()
        page.goto(path.resolve().as_uri() + query)
        return page

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(LOCAL):
            self.faults.append(f"request: {request.url}")

    def _said(self, message: Any) -> None:
        if message.type in ("warning", "error"):
            self.faults.append(f"console: {message.type}: {message.text}")

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
