"""The page of a sweep in a browser: it is followed, sorted, filtered and saved."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from browser import NARROW, Opener
from command import read_csv, tiler

from tiler.geometry import Size
from tiler.report.sweep.data import slide_ids, sweep_content
from tiler.report.sweep.page import write_sweep_pages
from tiler.slides.demo import write_demo_slide
from tiler.sweep.table import JobRecord

BOX = ("x0", "y0", "width0", "height0")
MAX_NODES, MAX_MS = 10_000, 10_000


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep of two resolutions and three thresholds over two slides and a broken one."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "slides").mkdir()
    for name, size in (("first <b>", Size(1300, 900)), ("b", Size(900, 1100))):
        write_demo_slide(folder / f"slides/{name}.tiff", size)
    (folder / "slides/c.svs").write_bytes(b"no slide")
    words = "slides=files", "slides.paths=slides", "tile.size=40", "mask=otsu", "filter=[white]"
    swept = "resolution.value=0.5,1.0", "threshold=0.1,0.5,0.9"
    done = tiler("-m", *words, *swept, "report=html", "out=res", cwd=folder)
    assert done.returncode == 3, done.stderr
    return folder / "res"


def index(sweep: Path) -> Path:
    return sweep / "report/index.html"


def boxes(sweep: Path, job: str, slide: str) -> set[tuple[str, ...]]:
    rows = read_csv(sweep / f"{job}/slides/{slide}/{slide}.csv")
    return {tuple(row[name] for name in BOX) for row in rows}


@pytest.mark.slow
def test_two_settings_of_one_grid_are_compared_by_tiles(sweep: Path, opened: Opener) -> None:
    page = opened(index(sweep))
    page.select_option("#choose-left", label="resolution.value=0.5 threshold=0.1")
    page.select_option("#choose-slide", label="b")
    page.get_by_role("button", name=": resolution.value=0.5 threshold=0.5, b").click()
    left, right = (
        boxes(sweep, f"resolution.value=0.5,threshold={threshold}", "b") for threshold in (0.1, 0.5)
    )
    assert len(left & right) > 0 < len(left - right)
    marks = page.locator(".comparison .marks")
    marks.get_by_text(f"{len(left - right)} lost: only in A").wait_for()
    assert f"{len(left & right)} in both" in marks.inner_text()
    assert f"{len(right - left)} gained: only in B" in marks.inner_text()
    page.get_by_role("button", name="Swap A and B").click()
    marks.get_by_text(f"{len(left - right)} gained: only in B").wait_for()
    assert page.locator(".pair .view-grid").count() == 2


@pytest.mark.slow
def test_settings_of_other_grids_are_compared_by_area(sweep: Path, opened: Opener) -> None:
    page = opened(index(sweep))
    page.select_option("#choose-left", label="resolution.value=0.5 threshold=0.5")
    page.select_option("#choose-right", label="resolution.value=1.0 threshold=0.5")
    page.get_by_text("The tiles of A and B differ in size on the slide").wait_for()
    assert "mm² only in A" in page.locator(".comparison").inner_text()


@pytest.mark.slow
def test_a_failed_slide_is_told_and_not_drawn(sweep: Path, opened: Opener) -> None:
    page = opened(index(sweep))
    page.select_option("#choose-slide", label="c")
    page.locator(".comparison .note").first.wait_for()
    assert "E_OPEN slide=c" in page.locator(".comparison").inner_text()
    assert not page.locator(".pair").is_visible()
    assert page.locator("td.none").count() == 6


@pytest.mark.slow
def test_the_saved_table_equals_sweep_csv(sweep: Path, opened: Opener) -> None:
    page = opened(index(sweep))
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the table as CSV").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    rows, wanted = list(csv.DictReader(io.StringIO(text))), read_csv(sweep / "sweep.csv")
    names = {"job", "threshold", "slide_id", "status", "reason", "kept", "dropped_white"}
    assert names | {"coverage", "tissue_mm2"} <= rows[0].keys()
    assert rows == [{name: row[name] for name in rows[0]} for row in wanted]


@pytest.mark.slow
def test_the_table_is_sorted_and_filtered_and_follows_the_keyboard(
    sweep: Path, opened: Opener
) -> None:
    page = opened(index(sweep))
    page.get_by_role("columnheader", name="b", exact=True).get_by_role("button").click()
    header = page.get_by_role("columnheader", name="b", exact=True)
    assert header.get_attribute("aria-sort") == "descending"
    column = page.locator(".heat tbody td:nth-of-type(3) button")
    kept = [int(text.split("\n")[0]) for text in column.all_inner_texts()]
    assert kept == sorted(kept, reverse=True)
    page.get_by_label("Slide name contains").fill("FIRST")
    assert page.locator(".heat thead th").count() == 3
    page.get_by_label("Slide name contains").fill("")
    page.locator("td button[tabindex='0']").focus()
    before = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.ariaLabel") != before
    page.keyboard.press("Enter")
    chosen = page.evaluate("document.activeElement.ariaLabel")
    assert page.locator("td button[aria-pressed='true']").get_attribute("aria-label") == chosen


@pytest.mark.slow
def test_a_narrow_page_does_not_scroll_sideways(sweep: Path, opened: Opener) -> None:
    page = opened(index(sweep), size=NARROW)
    page.locator(".pair canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]


def job(number: int, slides: int) -> JobRecord:
    settings = {"threshold": f"0.{number:03d}"}
    run: dict[str, Any] = {"sweep": {"number": number, "settings": settings}, "status": "done"}
    rows = [
        {"slide_id": f"slide {n}", "status": "done", "candidates": "900", "kept": str(n % 900)}
        for n in range(slides)
    ]
    return JobRecord(f"threshold=0.{number:03d}", {**run, "exit_code": 0}, rows)


@pytest.mark.slow
def test_100_jobs_of_1000_slides_are_shown_in_pieces(tmp_path: Path, opened: Opener) -> None:
    jobs = [job(number, 1000) for number in range(100)]
    missing = {(number, n): "not made" for number in range(100) for n in range(1000)}
    content = sweep_content("s", ["threshold"], jobs, slide_ids(jobs), missing, set(), "now")
    write_sweep_pages(tmp_path, content, jobs, {})
    assert (tmp_path / "data/sweep.js").stat().st_size < 3 << 20
    page = opened(tmp_path / "index.html")
    page.locator(".comparison .note").first.wait_for()
    assert page.evaluate("performance.now()") < MAX_MS
    assert page.evaluate("document.querySelectorAll('*').length") < MAX_NODES
    page.get_by_role("button", name="Next slides").click()
    page.get_by_text("slides 21–40 of 1,000").wait_for()
