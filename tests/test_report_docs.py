"""docs/report.md: its commands run, and its numbers are on the page; the pictures of the README."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from command import tiler
from page_checks import overrides_of, picture, until

from tiler.slides.demo import demo_slide

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/report.md").read_text(encoding="utf-8")
SLIDE = "CMU-1-Small-Region.svs"
NAMED = (
    "Count on all slides", "Changed cells (CSV)", "Kept tiles (CSV)", "Overrides to paste",
    "Tiles of this slide", "Barely dropped", "0.4998",
)  # fmt: skip
"""Names and a number that the documentation takes from the page."""


def blocks() -> list[tuple[list[str], str]]:
    """Return the commands of the page, each with the last line that it prints."""
    found = re.findall(r"^```bash\n(.*?)\n```\n\n```text\n(.*?)\n```", PAGE, re.M | re.S)
    return [(shlex.split(command), said) for command, said in found]


def table() -> list[list[str]]:
    """Return the rows of the page's table: limits, tiles, difference and overrides."""
    lines = re.findall(r"^\| ([\d.]+ \|.*) \|$", PAGE, re.M)
    return [[cell.strip(" `") for cell in line.split("|")] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_slides) -> Path:
    """A folder in which the commands of the page ran."""
    folder = tmp_path_factory.mktemp("report")
    (folder / SLIDE).symlink_to(shared_slides / SLIDE)
    for (program, *words), said in blocks():
        assert program == "tiler"
        done = tiler(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr
    return folder


def opened_slide(opened, folder: Path):
    page = opened(folder / "first/report/slide.html", "?n=0", size=(1280, 1180))
    page.locator("#workbench").wait_for()
    return page


def fields(page):
    return (
        page.get_by_role("spinbutton", name="Coverage at least"),
        page.get_by_role("group", name="blur").get_by_role("spinbutton", name="at least"),
    )


def test_the_page_shows_the_numbers_of_the_table(opened, folder):
    page = opened_slide(opened, folder)
    rows = table()
    assert len(rows) == 6
    for threshold, blur, tiles, difference, overrides in rows:
        for field, value in zip(fields(page), (threshold, blur), strict=True):
            field.fill(value)
        page.get_by_text(f"{tiles} tiles", exact=True).wait_for()
        assert overrides_of(page) == overrides
        said = page.locator("#kept-change").inner_text()
        assert difference in said or not overrides
    for text in NAMED:
        assert text in PAGE
        assert text in page.content(), text


def test_the_new_run_has_the_table_that_the_page_offered(opened, folder):
    page = opened_slide(opened, folder)
    for field, value in zip(fields(page), ("0.3", "1500"), strict=True):
        field.fill(value)
    page.get_by_text("149 tiles", exact=True).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Kept tiles (CSV)").click()
    name = SLIDE.removesuffix(".svs")
    offered = Path(download.value.path()).read_text()
    assert offered == (folder / f"second/slides/{name}/{name}.csv").read_text()
    page.wait_for_timeout(500)
    picture(page, "report-slide")


def test_the_picture_of_the_run_page(opened, tmp_path, shared_slides):
    demo_slide(str(tmp_path))
    for name in (SLIDE, "TCGA-CR-7395-01A-01-TS1.svs", "broken.svs"):
        (tmp_path / name).symlink_to(shared_slides / name)
    with (tmp_path / "cohort.csv").open("w", newline="") as file:
        rows = [["path", "reader.mpp"], [SLIDE, ""], ["TCGA-CR-7395-01A-01-TS1.svs", "0.5"],
                ["demo.svs", ""], ["broken.svs", ""]]  # fmt: skip
        csv.writer(file).writerows(rows)
    done = tiler("slides=table", "slides.table=cohort.csv", "tile.size=128", "filter=[blur,pen]",
                 "filter.blur.min=100", "report=html", "name=cohort", "out=out",
                 cwd=tmp_path)  # fmt: skip
    assert done.returncode == 3, done.stderr
    page = opened(tmp_path / "out/report/index.html", size=(1280, 1660))
    until(page, "[...document.images].every((image) => image.complete)")
    assert page.locator(".card img").count() == 3
    picture(page, "report-run")
