"""The page of a run in Chromium: cards, sorting, filters, the keyboard, and runs without tiles."""

import shlex
from pathlib import Path

import pytest
import report_runs
from command import Started, read_csv, tiler
from page_checks import findings, looks, overflowing, overrides_of, shot, until

NAMES = ".card-name"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """The report of 5 slides that differ and 60 files that are no slides."""
    folder = tmp_path_factory.mktemp("cohort")
    slides = report_runs.cohort(folder / "slides", 5)
    for n in range(60):
        (slides / f"text_{n:02}.svs").write_bytes(b"not a slide")
    return report_runs.report("slides=files", "slides.paths=slides", *report_runs.SMALL,
                              "filter=[blur,white]", "filter.blur.mpp=2", "filter.blur.min=15",
                              "filter.white.max=0.2", cwd=folder, code=3)  # fmt: skip


def rows_of(report: Path) -> list[dict[str, str]]:
    return read_csv(report.parent / "slides.csv")


def names(page) -> list[str]:
    return page.locator(NAMES).all_inner_texts()


def test_the_page_shows_what_slides_csv_has(opened, cohort):
    page = opened(cohort / "index.html")
    rows = rows_of(cohort)
    page.wait_for_selector(NAMES)
    assert names(page) == [row["slide_id"] for row in rows][:60]
    page.get_by_role("button", name="Show 5 more").click()
    assert len(names(page)) == 65
    assert names(page)[60] in page.evaluate("document.activeElement.textContent")
    text = page.inner_text("main")
    kept = sum(int(row["kept"]) for row in rows)
    assert f"Tiles\n{kept:,}" in text
    first = page.locator(".card").filter(has_text="slide_00").inner_text()
    row = rows[0]
    assert f"{int(row['kept'])} of {int(row['candidates'])}" in first


@pytest.mark.slow
def test_the_funnel_ends_at_the_tiles_of_the_run(opened, cohort):
    page = opened(cohort / "index.html")
    done = [row for row in rows_of(cohort) if row["status"] == "done"]
    left = [int(text.replace(",", "")) for text in page.locator(".funnel td:nth-child(3)")
            .all_inner_texts()]  # fmt: skip
    counts = ("candidates", "below_threshold", "dropped_blur", "dropped_white", "kept")
    total = {name: sum(int(row[name]) for row in done) for name in counts}
    reached = total["candidates"] - total["below_threshold"]
    sharp = reached - total["dropped_blur"]
    assert left == [total["candidates"], reached, sharp, total["kept"]]
    assert 0 < total["dropped_blur"] < reached
    assert 0 < total["dropped_white"] < sharp


@pytest.mark.slow
def test_the_numbers_of_a_card_add_up(opened, cohort):
    page = opened(cohort / "index.html")
    done = [row for row in rows_of(cohort) if row["status"] == "done"]
    page.get_by_label("Status").select_option("done")
    for row, card in zip(done, page.locator(".card").all(), strict=True):
        shown = dict(text.split("\n") for text in card.locator("dl > div").all_inner_texts())
        kept, of, cells, _ = shown["Tiles"].split()
        others = [shown.get(name, "0").split()[0] for name in
                  ("Below threshold", "Dropped otherwise", "Not sampled")]  # fmt: skip
        assert (kept, of, cells) == (row["kept"], "of", row["candidates"])
        assert int(kept) + sum(map(int, others)) == int(cells)
        assert shown["Below threshold"] == row["below_threshold"]


@pytest.mark.slow
def test_cards_are_sorted_and_filtered(opened, cohort):
    page = opened(cohort / "index.html")
    done = [row for row in rows_of(cohort) if row["status"] == "done"]
    page.get_by_label("Status").select_option("done")
    page.get_by_label("Sort by").select_option("fewest")
    by_tiles = sorted(done, key=lambda row: int(row["kept"]))
    assert names(page) == [row["slide_id"] for row in by_tiles]
    assert len({row["kept"] for row in done}) > 1
    page.get_by_label("Sort by").select_option("tissue")
    by_tissue = sorted(done, key=lambda row: float(row["tissue_mm2"]))
    assert names(page) == [row["slide_id"] for row in by_tissue]
    assert by_tissue != by_tiles
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Name contains").fill("TEXT_0")
    assert sorted(names(page)) == [f"text_{n:02}" for n in range(10)]
    assert page.get_by_role("status").inner_text().startswith("10 of 65 slides")
    page.reload()
    assert len(names(page)) == 10  # the address has the choice


@pytest.mark.slow
def test_other_limits_are_counted_over_all_slides(opened, cohort):
    page = opened(cohort / "index.html")
    page.get_by_role("button", name="Count on 5 slides").click()
    panel = page.locator(".panel.cohort")
    panel.get_by_text("5 of 5 slides counted").wait_for()
    panel.get_by_role("spinbutton", name="Coverage at least").fill("0.2")
    slider = panel.get_by_role("group", name="white").get_by_role("slider", name="at most")
    slider.press("Home")
    save = panel.get_by_role("button", name="Save what changes")
    until(page, "node => !node.disabled", save.element_handle())
    overrides = panel.get_by_label("Overrides for tiler").inner_text()
    with page.expect_download() as download:
        save.click()
    table = read_csv(Path(download.value.path()))
    folder = cohort.parent.parent
    done = tiler("--rerun", "out", *shlex.split(overrides), "out=then", cwd=folder)
    assert done.returncode == 3, done.stderr
    now, then = ({row["slide_id"]: row["kept"] for row in read_csv(folder / out / "slides.csv")
                  if row["status"] != "failed"} for out in ("out", "then"))  # fmt: skip
    assert {row["slide_id"]: row["kept_now"] for row in table} == now
    assert {row["slide_id"]: row["kept_then"] for row in table} == then
    assert then != now
    total = sum(map(int, then.values()))
    assert f"Tiles with these limits\n{total:,}" in panel.inner_text()
    assert overrides.startswith("threshold=0.2 filter.white.max=")
    assert "threshold" in (page.locator(".card-link").first.get_attribute("href") or "")
    panel.get_by_role("button", name="Copy").click()
    panel.get_by_text("Copied").or_(panel.get_by_text("The text is selected")).wait_for()
    for colours in looks(page):
        assert findings(page) == [], colours
        assert overflowing(page) == [], colours
        shot(page, f"cohort_{colours}")
    panel.get_by_role("link", name="slide_01").click()  # with the same limits
    page.locator("#workbench").wait_for()
    assert overrides_of(page) == overrides
    assert page.locator("#kept-here").inner_text() == f"{int(then['slide_01']):,} tiles"
    page.get_by_role("button", name="Count on all slides").click()
    page.get_by_text(f"all 5 slides: {total:,} tiles").wait_for()
    page.get_by_role("link", name="Next slide").click()
    page.wait_for_url("**?n=2#*")
    page.locator("#workbench").wait_for()
    assert overrides_of(page) == overrides
    assert page.locator("#kept-here").inner_text() == f"{int(then['slide_02']):,} tiles"


@pytest.mark.slow
def test_the_keyboard_reaches_a_slide_and_comes_back(opened, cohort):
    page = opened(cohort / "index.html")
    page.wait_for_selector(NAMES)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "card-link":
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url("**/slide.html?n=4")
    page.wait_for_selector("h1")
    page.go_back()
    page.wait_for_selector(NAMES)
    assert page.evaluate("document.activeElement.closest('.card')?.dataset.n") == "4"


@pytest.mark.slow
def test_the_page_is_accessible_and_fits(opened, cohort):
    page = opened(cohort / "index.html", "#name=_0")  # 5 slides and 10 failures
    page.wait_for_selector(NAMES)
    for colours in looks(page):
        assert findings(page) == [], colours
        assert overflowing(page) == [], colours
        shot(page, f"run_{colours}")


@pytest.mark.slow
def test_a_run_with_only_failures_says_why(opened, shared_slides, tmp_path):
    page = opened(report_runs.failed_run(tmp_path, shared_slides) / "index.html")
    text = page.inner_text("main")
    assert "No slide could be tiled" in text
    for row in read_csv(tmp_path / "out/slides.csv"):
        assert row["status"] == "failed"
        assert row["slide_id"] in text
    assert "E_READ" in text
    assert "Bogus marker length" in text
    assert findings(page) == []
    shot(page, "failed")


@pytest.mark.slow
def test_an_empty_run_says_which_rule_dropped_its_cells(opened, tmp_path):
    page = opened(report_runs.empty_run(tmp_path) / "index.html")
    text = page.inner_text("main")
    assert "Slides without tiles" in text
    assert "Empty\n2" in text
    assert page.locator(".funnel tbody tr").last.locator("td").nth(1).inner_text() == "0"
    assert page.locator(".card img").count() == 2
    assert findings(page) == []
    shot(page, "empty")


@pytest.mark.slow
def test_an_interrupted_run_gets_a_page_afterwards(opened, tmp_path):
    report_runs.cohort(tmp_path / "slides", 40)
    started = Started("slides=files", "slides.paths=slides", *report_runs.SMALL, "out=out",
                      cwd=tmp_path)  # fmt: skip
    started.wait_for("[3/40]")
    started.send_signal(2)
    code, _ = started.end()
    assert code == 130
    assert not (tmp_path / "out/report/index.html").exists()
    page = opened(report_runs.rebuilt(tmp_path / "out") / "index.html")
    statuses = [row["status"] for row in read_csv(tmp_path / "out/slides.csv")]
    done = statuses.count("done")
    assert 3 <= done < 40
    text = page.inner_text("main")
    assert "Interrupted" in text
    assert f"Done\n{done}" in text
    assert page.locator(".card img").count() == done
    assert findings(page) == []
    shot(page, "interrupted")


@pytest.mark.slow
def test_hostile_names_and_columns_are_text(opened, tmp_path):
    report = report_runs.hostile_run(tmp_path)
    page = opened(report / "index.html")
    page.wait_for_selector(NAMES)
    rows = read_csv(tmp_path / "out/slides.csv")
    assert names(page) == [row["slide_id"] for row in rows]
    assert page.inner_text("h1").replace("\n", "") == report_runs.SCRIPT + report_runs.PICTURE
    assert "<b>broken<.svs is not a slide" in page.inner_text("main")
    check_text_only(page)
    shot(page, "hostile")
    page = opened(report / "slide.html", "?n=0")
    page.locator("#workbench").wait_for()
    page.get_by_text("Row of slides.csv").click()
    row = page.locator("#row").inner_text()
    for text in (*report_runs.SCRIPT_COLUMNS, *report_runs.SCRIPT_VALUES):
        assert text in row, text
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowDown")
    cell = page.locator("#cell").inner_text()
    for name in report_runs.HOSTILE_CLASSES:
        assert f"share of {shown(name)}" in cell, name
    check_text_only(page)
    assert overflowing(page) == []
    shot(page, "hostile_slide")
    with page.expect_download() as download:
        page.get_by_role("button", name="Kept tiles (CSV)").click()
    table = next((tmp_path / "out/slides").glob("_script*/_script*.csv"))
    assert Path(download.value.path()).read_text() == table.read_text()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert overflowing(page) == []
    wide = page.locator("#row").evaluate("node => node.scrollWidth")
    assert wide <= page.locator(".scroll").last.evaluate("node => node.clientWidth")
    shot(page, "hostile_slide")


def shown(text: str) -> str:
    """Return a text as tiler writes it into tables and pages: signs of direction are escapes."""
    return text.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066")


def check_text_only(page) -> None:
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x], main script").count() == 0
