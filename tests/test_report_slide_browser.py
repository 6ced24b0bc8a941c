"""The page of a slide in Chromium: what its sliders promise is what tiler then does."""

import csv
import io
import json
import shlex
from pathlib import Path

import pytest
import report_runs
from browser import NARROW
from command import read_csv, tiler
from page_checks import findings, looks, overflowing, overrides_of, shot

SLIDE = "CMU-1-Small-Region"
CELLS = ["tile.size=64", "exporter=[csv,candidates]", "cache=cache"]
RUNS = {
    "filters": ["filter=[blur,white]", "filter.blur.min=1500", "filter.white.max=0.5"],
    "label and sample": ["filter=[blur]", "filter.blur.min=1000", "label=annotation",
                         "label.path=drawn.geojson", "label.keep=[left]",
                         "sampler=random", "sampler.n=200"],
}  # fmt: skip


class Bench:
    """A run of one real slide, and its page."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.folder, self.words, self._runs = folder, words, 0
        self.report = report_runs.report(*words, cwd=folder)
        self.table = self.tables("out")

    def tables(self, out: str) -> tuple[str, list[dict[str, str]]]:
        """Return the text of the slide's table, and the rows of its candidates."""
        slide = self.folder / out / "slides" / SLIDE
        return (slide / f"{SLIDE}.csv").read_text(), read_csv(slide / f"{SLIDE}_candidates.csv")

    def run_with(self, overrides: str) -> tuple[str, list[dict[str, str]]]:
        """Run tiler with overrides that the page shows; return its tables."""
        self._runs += 1
        out = f"again_{self._runs}"
        done = tiler(*self.words, *shlex.split(overrides), f"out={out}", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return self.tables(out)


@pytest.fixture(scope="module")
def benches(tmp_path_factory, shared_slides):
    """Return a function that makes the run of a name, once."""
    made: dict[str, Bench] = {}

    def bench(name: str) -> Bench:
        if name not in made:
            folder = tmp_path_factory.mktemp("bench")
            ring = [[0, 0], [1400, 0], [900, 2967], [0, 2967], [0, 0]]
            drawn = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "classification": {"name": "left"}},
            }
            (folder / "drawn.geojson").write_text(json.dumps([drawn]))
            slide = f"slides.paths={shared_slides / SLIDE}.svs"
            made[name] = Bench(folder, ["slides=files", slide, *CELLS, *RUNS[name]])
        return made[name]

    return bench


def opened_page(opened, bench: Bench):
    page = opened(bench.report / "slide.html", "?n=0")
    page.locator("#workbench").wait_for()
    return page


def field(page, group: str, name: str, role: str):
    return page.get_by_role("group", name=group).get_by_role(role, name=name)


def saved(page, button: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_text()


def cells_of(rows) -> set[tuple[int, int]]:
    return {(int(row["row"]), int(row["column"])) for row in rows}


def kept(rows) -> set[tuple[int, int]]:
    return cells_of(row for row in rows if row["decision"] == "kept")


def check(page, bench: Bench) -> str:
    """Compare what the page says with a run made with its overrides; return the overrides."""
    page.wait_for_timeout(50)
    said = page.locator("#kept-here").inner_text()
    overrides = overrides_of(page)
    table, candidates = bench.run_with(overrides)
    tiles = kept(candidates)
    assert said == f"{len(tiles):,} tiles", overrides
    assert saved(page, "Kept tiles (CSV)") == table
    changes = list(csv.DictReader(io.StringIO(saved(page, "Changed cells (CSV)"))))
    before = kept(bench.table[1])
    assert cells_of(changes) == before ^ tiles
    assert {row["after"] for row in changes if row["before"] == "kept"} <= reasons(candidates)
    assert cells_of(row for row in changes if row["after"] == "kept") == tiles - before
    assert f"{len(changes):,} cells change" in page.locator("#kept-change").inner_text()
    assert changes, "a limit that changes nothing proves nothing"
    return overrides


def reasons(candidates) -> set[str]:
    return {row["decision"] for row in candidates} - {"kept"}


@pytest.mark.slow
def test_the_page_begins_with_the_run(opened, benches):
    bench = benches("filters")
    page = opened_page(opened, bench)
    tiles = kept(bench.table[1])
    assert page.locator("#kept-here").inner_text() == f"{len(tiles):,} tiles"
    assert overrides_of(page) == ""
    assert "blur ≥ 1500, white ≤ 0.5" in page.locator("#words").inner_text()
    assert saved(page, "Kept tiles (CSV)") == bench.table[0]
    counts = {item.split("\n")[0]: item.split("\n")[-1] for item in
              page.locator("#legend li").all_inner_texts()}  # fmt: skip
    rows = bench.table[1]
    assert sum(int(count.replace(",", "")) for count in counts.values()) == len(rows)
    assert page.locator(".sample img").count() >= 4


@pytest.mark.slow
def test_the_threshold_by_value_below_that_of_the_run(opened, benches):
    page = opened_page(opened, benches("filters"))
    field(page, "Threshold", "Coverage at least", "spinbutton").fill("0.12")
    assert check(page, benches("filters")) == "threshold=0.12"


@pytest.mark.slow
def test_the_lowest_blur_by_keyboard(opened, benches):
    page = opened_page(opened, benches("filters"))
    slider = field(page, "blur", "at least", "slider")
    slider.focus()
    for _ in range(7):
        slider.press("ArrowRight")
    assert check(page, benches("filters")).startswith("filter.blur.min=")


@pytest.mark.slow
def test_the_highest_white_and_no_lowest_blur(opened, benches):
    page = opened_page(opened, benches("filters"))
    field(page, "white", "at most", "spinbutton").fill("0.05")
    field(page, "blur", "at least", "slider").press("Home")
    assert check(page, benches("filters")) == "filter.blur.min=null filter.white.max=0.05"


@pytest.mark.slow
def test_all_limits_at_once_follow_a_link(opened, benches):
    bench = benches("filters")
    page = opened_page(opened, bench)
    field(page, "Threshold", "Coverage at least", "slider").press("PageDown")
    field(page, "blur", "at least", "slider").press("PageUp")
    field(page, "blur", "at most", "slider").press("PageDown")
    field(page, "white", "at most", "slider").press("ArrowLeft")
    words = check(page, bench).split()
    assert len(words) == 4
    page.wait_for_url("**#threshold*")
    page.reload()
    page.locator("#workbench").wait_for()
    assert overrides_of(page).split() == words
    page.get_by_role("button", name="Reset").click()
    page.get_by_text("The limits are those of the run", exact=True).wait_for()
    assert overrides_of(page) == ""


@pytest.mark.slow
def test_a_sample_of_labelled_tiles_is_the_one_that_tiler_chooses(opened, benches):
    bench = benches("label and sample")
    page = opened_page(opened, bench)
    field(page, "Threshold", "Coverage at least", "slider").press("PageDown")
    field(page, "blur", "at least", "spinbutton").fill("2345.678")
    assert check(page, bench).endswith("filter.blur.min=2345.678")


@pytest.mark.slow
def test_the_keyboard_shows_a_cell(opened, benches):
    bench = benches("filters")
    page = opened_page(opened, bench)
    page.get_by_role("application").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    spoken = page.locator("#spoken").inner_text()
    first = min(kept(bench.table[1]))
    row, column = first[0] + 2, first[1]
    cell = next(one for one in bench.table[1] if cells_of([one]) == {(row, column)})
    assert spoken.startswith(f"Row {row}, column {column}:")
    shown = dict(zip(page.locator("#cell dt").all_inner_texts(),
                     page.locator("#cell dd").all_inner_texts(), strict=True))  # fmt: skip
    assert float(shown["coverage"]) == pytest.approx(float(cell["ratio"]), abs=1e-4)
    if cell["score_blur"]:
        assert float(shown["blur"]) == pytest.approx(float(cell["score_blur"]), rel=1e-3)


@pytest.mark.slow
def test_the_page_is_accessible_and_fits(opened, benches):
    bench = benches("filters")
    page = opened_page(opened, bench)
    page.wait_for_timeout(500)
    for colours in looks(page):
        assert findings(page) == [], colours
        assert overflowing(page) == [], colours
        shape, filled = drawn(page)  # the whole slide, as large as the picture has room
        assert shape == pytest.approx(grid_shape(bench), rel=0.05), colours
        assert filled > 0.9, colours
        shot(page, f"slide_{colours}")
    page.locator("#sliders input").last.focus()  # of the narrow page
    page.wait_for_timeout(500)
    picture, slider = (page.locator(name).bounding_box() for name in ("#view", ":focus"))
    assert picture["y"] >= 0
    assert picture["y"] + picture["height"] < slider["y"] < NARROW[1] - slider["height"]


def grid_shape(bench: Bench) -> float:
    """Return the width of the grid over its height."""
    columns, rows = ({int(row[name]) for row in bench.table[1]} for name in ("column", "row"))
    return len(columns) / len(rows)


def drawn(page) -> tuple[float, float]:
    """Return the width over the height of the grid as drawn, and which share of the picture it has.

    The share is that of the width or of the height, whichever is larger.
    """
    return page.evaluate("""() => {
      const canvas = document.querySelector("#view .view-grid");
      const { width, height } = canvas;
      const pen = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
      pen.drawImage(canvas, 0, 0);
      const pixels = pen.getImageData(0, 0, width, height).data;
      const [rows, columns] = [new Set(), new Set()];
      for (let at = 0; at < width * height; at++) {
        if (pixels[4 * at + 3]) rows.add(Math.floor(at / width)) && columns.add(at % width);
      }
      return [columns.size / rows.size, Math.max(columns.size / width, rows.size / height)];
    }""")
