"""The page of a sweep in Chromium: 15 settings of 3 real slides, and two of them side by side."""

import re
from pathlib import Path

import pytest
import report_runs
from command import read_csv, tiler
from page_checks import findings, looks, overflowing, shot
from PIL import Image

pytestmark = pytest.mark.slow
FILES = ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-(387).ndpi")
THRESHOLDS, SIZES = (0.1, 0.3, 0.5, 0.7, 0.9), (256, 384, 512)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, shared_slides) -> Path:
    """The folder of a sweep of 15 settings over 3 real slides."""
    folder = tmp_path_factory.mktemp("sweep")
    for name in FILES:
        (folder / name).symlink_to(shared_slides / name)
    done = tiler("-m", f"threshold={','.join(map(str, THRESHOLDS))}",
                 f"tile.size={','.join(map(str, SIZES))}", "slides=files", "slides.paths=.",
                 "resolution=level", "resolution.value=0", "report=html", "out=sweep",
                 cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "report: sweep/report/index.html" in done.stderr
    return folder / "sweep"


def table_of(sweep: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    rows = read_csv(sweep / "sweep.csv")
    return {(row["threshold"], row["tile.size"], row["slide_id"]): row for row in rows}


def opened_page(opened, sweep: Path):
    page = opened(sweep / "report/index.html")
    page.locator("table.heat td button").first.wait_for()
    page.locator(".comparison p").first.wait_for()
    return page


def test_the_numbers_are_those_of_sweep_csv(opened, sweep):
    page = opened_page(opened, sweep)
    rows = table_of(sweep)
    assert len(rows) == 45
    said = page.evaluate(
        "[...document.querySelectorAll('td.heat-cell button')].map((one) => one.ariaLabel)"
    )
    assert len(said) == 45
    pattern = re.compile(r"([\d,]+) [\d.]+ % of ([\d,]+) grid cells: (.+), (\S+)")
    for label in said:
        kept, candidates, settings, slide = pattern.match(label).groups()
        values = dict(word.split("=") for word in settings.replace(",", " ").split())
        row = rows.pop((values["threshold"], values["tile.size"], slide))
        assert (row["kept"], row["candidates"]) == (
            kept.replace(",", ""),
            candidates.replace(",", ""),
        )
    assert rows == {}


def test_two_settings_side_by_side_name_gained_and_lost_tiles(opened, sweep):
    page = opened_page(opened, sweep)
    rows = table_of(sweep)
    for slide_id in sorted({key[2] for key in rows}):
        page.get_by_label("Slide", exact=True).select_option(label=slide_id)
        boxes = {}
        for side, threshold in (("left", "0.1"), ("right", "0.9")):
            job = rows[threshold, "256", slide_id]["job"]
            page.locator(f"#choose-{side}").select_option(
                label=f"threshold={threshold} tile.size=256"
            )
            table = sweep / job / "slides" / slide_id / f"{slide_id}.csv"
            boxes[side] = {(row["x0"], row["y0"]) for row in read_csv(table)}
        a, b = boxes["left"], boxes["right"]
        page.get_by_text(f"A keeps {len(a):,} tiles, B keeps {len(b):,}").wait_for()
        assert a > b
        for count, word in ((len(b), "in both"), (len(a - b), "lost"), (0, "gained")):
            page.locator(".marks").get_by_text(f"{count:,} {word}").wait_for()
    page.wait_for_timeout(300)
    shot(page, "sweep_side_by_side")


def test_the_page_is_accessible_and_fits(opened, sweep):
    page = opened_page(opened, sweep)
    for colours in looks(page):
        assert findings(page) == [], colours
        assert overflowing(page) == [], colours
        shot(page, f"sweep_{colours}")


def test_hostile_names_and_settings_are_text(opened, tmp_path):
    hostile = "<img src=x onerror=window.hit=1>.png"
    for stem in report_runs.HOSTILE_STEMS[:3]:
        report_runs.small_slide(tmp_path / f"{stem}.svs")
    Image.new("1", (12, 8), 1).save(tmp_path / hostile)
    done = tiler("-m", f'mask.path="{hostile}","<b>missing.png"', "mask=file", "slides=files",
                 "slides.paths=.", *report_runs.SMALL, "out=sweep", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 3, done.stderr
    page = opened(tmp_path / "sweep/report/index.html")
    page.locator("table.heat td button").first.wait_for()
    text = page.inner_text("main")
    assert hostile in text
    assert "<b>missing.png" in text
    for row in read_csv(tmp_path / "sweep/sweep.csv"):
        assert row["slide_id"] in text
    page.get_by_text("A keeps 96 tiles, B keeps 96").wait_for()  # one setting on both sides
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x], main script").count() == 0
    assert findings(page) == []
    assert overflowing(page) == []
    shot(page, "hostile_sweep")
