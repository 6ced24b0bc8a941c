"""What the browser tests ask of every page: accessible, nothing cut or covered, a picture of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from browser import NARROW, WIDE
from command import patience

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "pages/node_modules/axe-core/axe.min.js"
SHOTS = Path(os.environ.get("TILER_SCREENSHOTS", ROOT / "outputs/screenshots"))
"""Where screenshots go; `make screenshots` writes those of the documentation to docs/images."""

_OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  const scrolls = (node) => {
    for (let up = node.parentElement; up; up = up.parentElement) {
      const flow = getComputedStyle(up).overflowX;
      if (flow !== "visible") return true;
    }
    return false;
  };
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.getClientRects().length && !scrolls(node))
    .filter((node) => node.getBoundingClientRect().right > wide + 1)
    .map((node) => `${node.tagName}.${node.className}: ${node.getBoundingClientRect().right}`)
}"""
"""Elements that reach over the right edge of the window, and in no box that scrolls."""


@cache
def _axe_source() -> str:
    if not AXE.is_file():
        pytest.skip(f"no axe-core: run `make pages` ({AXE.relative_to(ROOT)} is missing)")
    return AXE.read_text(encoding="utf-8")


def looks(page: Any) -> Iterator[str]:
    """Yield the colours of a page while it is wide and light, then narrow and dark."""
    for (width, height), colours in ((WIDE, "light"), (NARROW, "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=colours)
        page.wait_for_timeout(200)
        yield colours


def until(page: Any, expression: str, arg: object = None) -> None:
    """Wait until an expression is true on a page.

    Not ``wait_for_function``: its polling evaluates text, which the policy of the pages forbids.
    """
    deadline = time.monotonic() + patience(10)
    while not page.evaluate(expression, arg):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def findings(page: Any) -> list[str]:
    """Return the serious and critical findings of axe-core on a page."""
    page.evaluate(_axe_source())
    # preload would fetch style sheets, which the page's policy forbids.
    found = page.evaluate("() => axe.run(document, {preload: false, resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def overflowing(page: Any) -> list[str]:
    """Return elements that reach over the right edge of the window."""
    found: list[str] = page.evaluate(_OVERFLOW)
    return found


def shot(page: Any, name: str, *, full: bool = True) -> None:
    """Keep a screenshot below outputs/screenshots, for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    partial = SHOTS / f".{name}_{os.getpid()}.png"
    page.screenshot(path=partial, full_page=full)
    partial.rename(SHOTS / f"{name}_{size['width']}.png")


def picture(page: Any, name: str) -> None:
    """Keep a small picture of what the window shows, for the documentation."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    partial = SHOTS / f".{name}_{os.getpid()}.jpg"
    page.screenshot(path=partial, type="jpeg", quality=80)
    partial.rename(SHOTS / f"{name}.jpg")


def overrides_of(page: Any) -> str:
    """Return the overrides that a page shows to paste."""
    text: str = page.get_by_label("Overrides for tiler").inner_text()
    return "" if text == "The limits are those of the run" else text
