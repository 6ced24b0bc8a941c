"""The report: what it adds to a run of 1,000 slides, its first view, and its slider on a large slide."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from commands import LEVEL0, TWO, medians, tiler
from slides import cohort, repeated

from tiler.geometry import Size

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser import chromium
from page_checks import until

SLIDES = 1000
CARDS = "#slides .card"
THRESHOLD = "input[type=range]"
INPUT = """async (selector) => {
  const slider = document.querySelector(selector), times = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let step = 0; step < 20; step++) {
    const said = document.body.innerText;
    const start = performance.now();
    slider.value = String(0.2 + 0.03 * step);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    do { await frame(); } while (document.body.innerText === said && performance.now() < start + 5000);
    times.push(performance.now() - start);
  }
  return times;
}"""
"""Moves a slider, and waits for the frame in which the page shows other numbers."""

IN_SIGHT = "[...document.images].every((one) => one.complete || one.getBoundingClientRect().top > innerHeight)"


def report(folder: Path, rounds: int) -> dict[str, object]:
    """All numbers of the report: docs/report.md has their bars."""
    return {
        f"{SLIDES} slides": thousand(folder, rounds),
        "300,000 candidates": candidates(folder),
    }


def thousand(folder: Path, rounds: int) -> dict[str, object]:
    """A run of small slides that differ, with and without a report, and its page."""
    slides, out = cohort(folder, SLIDES), folder / "report"
    common = tiler(slides, out, "resolution.value=2", "tile.size=64", "filter=[blur]",
                   "filter.blur.mpp=2", *TWO)  # fmt: skip
    with_report = [*common, "report=html"]
    found = medians({"none": (common, out), "html": (with_report, out)}, min(rounds, 3))
    index = out / "report/index.html"
    return {
        "seconds": found,
        "seconds added": found["html"] - found["none"],
        "report MB": sum(p.stat().st_size for p in index.parent.rglob("*") if p.is_file()) / 1e6,
        **first_view(index, CARDS),
    }


def first_view(index: Path, selector: str) -> dict[str, object]:
    """Seconds from navigation to the cards and to the pictures in sight; bytes once all are seen."""
    views, pictures, loaded = [], [], 0
    with chromium() as browser:
        for _ in range(3):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
            page = context.new_page()
            urls: set[str] = set()
            page.on("request", lambda request, urls=urls: urls.add(request.url))
            start = time.perf_counter()
            page.goto(index.resolve().as_uri(), wait_until="commit")
            page.wait_for_selector(selector)
            views.append(time.perf_counter() - start)
            until(page, IN_SIGHT)
            pictures.append(time.perf_counter() - start)
            for picture in page.locator(f"{selector} img").all():
                picture.scroll_into_view_if_needed()
            page.wait_for_load_state("networkidle")
            paths = {Path(unquote(urlsplit(url).path)) for url in urls if url.startswith("file:")}
            loaded = sum(path.stat().st_size for path in paths)
            context.close()
    return {
        "first view, seconds": statistics.median(views),
        "with pictures, seconds": statistics.median(pictures),
        "MB loaded": loaded / 1e6,
    }


def candidates(folder: Path) -> dict[str, object]:
    """A slide of 312,500 cells: from the input of a slider to the frame with other numbers."""
    slide, out = repeated(folder, Size(100_000, 80_000)), folder / "report_large"
    command = tiler(slide, out, *LEVEL0, "tile.size=160", "filter=[white]", "filter.white.mpp=8",
                    "report=html")  # fmt: skip
    found = medians({"run": (command, out)}, 1)
    page_file = out / "report/slide.html"
    data = next((out / "report/data/slides").glob("*.js"))
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        page = context.new_page()
        start = time.perf_counter()
        page.goto(page_file.resolve().as_uri() + "?n=0")
        page.wait_for_selector(THRESHOLD)
        shown = time.perf_counter() - start
        page.wait_for_timeout(1000)
        times = page.evaluate(INPUT, THRESHOLD)
        context.close()
    return {
        **found,
        "data MB": data.stat().st_size / 1e6,
        "slide page shown, seconds": shown,
        "slider, median ms": statistics.median(times),
        "slider, worst ms": max(times),
    }
