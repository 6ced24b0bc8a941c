"""The report of a sweep: its numbers, its tiles, and when it is made."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import complaint, read_csv, tiler
from report_data import kept_boxes, read_script, unpacked

from tiler.geometry import Size
from tiler.report.sweep.data import job_status, sweep_content
from tiler.report.sweep.page import problems, trouble
from tiler.runner.reporting.tables import COLUMNS
from tiler.slides.demo import write_demo_slide
from tiler.sweep.table import JobRecord

TEXTS = ("status", "reason")
HOSTILE = "<script>alert('x')</script>&amp;"


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return overrides for two small painted slides and a file that is no slide."""
    folder = tmp_path_factory.mktemp("slides")
    for name, size in (("007", Size(1300, 900)), ("b", Size(900, 1100))):
        write_demo_slide(folder / f"{name}.tiff", size)
    (folder / "c.svs").write_bytes(b"no slide")
    return [
        "slides=files",
        f"slides.paths={folder}",
        "tile.size=100",
        "mask=otsu",
        "filter=[white]",
        "filter.white.max=0.9",
        "exporter=[csv]",
    ]


@pytest.fixture(scope="module")
def small(slides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep of two thresholds over those slides, with its report."""
    folder = tmp_path_factory.mktemp("sweep")
    words = "-m", *slides, "threshold=0.2,0.6", "report=html", "out=res"
    done = tiler(*words, cwd=folder)
    assert done.returncode == 3, done.stderr
    assert done.stderr.endswith("; report: res/report/index.html\n")
    return folder / "res"


def content_of(sweep: Path) -> dict[str, Any]:
    name, content = read_script((sweep / "report/data/sweep.js").read_bytes())
    assert name == "sweep"
    return dict(content)


def table_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of ``sweep.csv`` as the page has them."""
    columns = {name: unpacked(array) for name, array in content["columns"].items()}
    rows = []
    for cell in range(len(content["jobs"]) * len(content["slides"])):
        job, slide = divmod(cell, len(content["slides"]))
        if columns["status"][cell]:
            rows.append(
                {
                    "job": content["jobs"][job]["name"],
                    **content["jobs"][job]["settings"],
                    "slide_id": content["slides"][slide]["slide_id"],
                    **{name: values[cell] for name, values in columns.items()},
                }
            )
    return rows


def assert_same_table(sweep: Path, content: dict[str, Any]) -> None:
    """Compare all that the page has of a sweep with ``sweep.csv``."""
    rows, table = table_of(content), read_csv(sweep / "sweep.csv")
    assert len(rows) == len(table)
    for row, wanted in zip(rows, table, strict=True):
        for name in row.keys() & wanted.keys():
            value, text = row[name], wanted[name]
            if isinstance(value, str):
                assert value == text, name
            elif text == "":
                assert value == -1 or math.isnan(value), name
            else:
                assert value == float(text), name
    counts = {name for name in table[0] if name.startswith("dropped_")}
    counts |= {"candidates", "kept", "below_threshold", "not_sampled", "dropped"}
    assert {*content["counts"]} == counts <= rows[0].keys()


@pytest.mark.slow
def test_every_number_of_15_settings_on_real_slides_equals_sweep_csv(
    shared_slides: Path, tmp_path: Path
) -> None:
    table = [["path", "reader.mpp"]]
    table += [[str(shared_slides / "CMU-1-Small-Region.svs"), ""]]
    table += [[str(shared_slides / "TCGA-CR-7395-01A-01-TS1.svs"), "0.5"]]
    table += [[str(shared_slides / "test3-DAPI-2-(387).ndpi"), ""]]
    with (tmp_path / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    words = "slides=table", "slides.table=cohort.csv", "tile.size=256"
    swept = "resolution.value=0.5,1.0,2.0", "threshold=0.1,0.25,0.5,0.75,0.9"
    done = tiler("-m", *words, *swept, "report=html", "out=res", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "res"
    content = content_of(sweep)
    assert (len(content["jobs"]), len(content["slides"])) == (15, 3)
    assert content["keys"] == ["resolution.value", "threshold"]
    assert_same_table(sweep, content)
    assert_kept_tiles(sweep, content)
    assert len(list((sweep / "report/views").iterdir())) == 3


def assert_kept_tiles(sweep: Path, content: dict[str, Any]) -> None:
    """Compare the kept tiles of all jobs on the page with their tables."""
    missing = unpacked(content["columns"]["missing"])
    assert not any(missing)
    for row in table_of(content):
        if not row["status"].startswith("done"):
            continue
        number = next(job["number"] for job in content["jobs"] if job["name"] == row["job"])
        n = [slide["slide_id"] for slide in content["slides"]].index(row["slide_id"])
        name = row["slide_id"]
        table = sweep / row["job"] / f"slides/{name}/{name}.csv"
        wanted = {
            tuple(int(tile[side]) for side in ("x0", "y0", "width0", "height0"))
            for tile in (read_csv(table) if table.exists() else ())
        }
        assert kept_boxes(sweep / f"report/data/jobs/{number}/{n:06d}.js") == wanted


def test_numbers_tiles_and_pictures_of_a_sweep_with_a_failed_slide(small: Path) -> None:
    content = content_of(small)
    assert_same_table(small, content)
    assert_kept_tiles(small, content)
    views = [slide["view"] for slide in content["slides"]]
    assert views == ["views/000000.jpg", "views/000001.jpg", None]
    page = (small / "report/index.html").read_text()
    assert "2 settings of threshold (2 values) on 3 slides" in page
    assert "Failed in part</span> No job finished all of its slides." in page
    assert "1 slide failed: " in page
    assert "<script>" not in page
    assert not list(small.glob("*/report")), "jobs make no report of their own"


@pytest.mark.slow
def test_an_unchanged_sweep_makes_no_tiles_again(
    slides: list[str], small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "res")
    report = tmp_path / "res/report"
    before = {path: path.stat().st_mtime_ns for path in report.rglob("*.js")}
    words = "-m", *slides, "threshold=0.2,0.6", "out=res"
    done = tiler(*words, "report=html", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    again = {path: path.stat().st_mtime_ns for path in report.rglob("*.js")}
    assert {path for path in again if before[path] != again[path]} == {
        report / "data/sweep.js",
        report / "assets/pages.js",
    }
    assert_kept_tiles(tmp_path / "res", content_of(tmp_path / "res"))
    fewer = tiler("-m", *slides, "threshold=0.6,0.7", "out=res", "report=html", cwd=tmp_path)
    assert fewer.returncode == 3, fewer.stderr
    assert_kept_tiles(tmp_path / "res", content_of(tmp_path / "res"))
    without = tiler(*words, cwd=tmp_path)
    assert without.stderr.endswith("; report: tiler-report res\n")
    assert not (report / "index.html").exists(), "it would be about another sweep"


def test_the_report_of_a_sweep_is_made_afterwards(
    slides: list[str], small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "res")
    shutil.rmtree(tmp_path / "res/report")
    (tmp_path / "res/threshold=0.2/run.json").unlink()
    made = tiler("res", "--workers", "1", cwd=tmp_path, module="tiler.config.command.report")
    assert (made.returncode, made.stdout) == (0, "res/report/index.html\n"), made.stderr
    content = content_of(tmp_path / "res")
    assert [one["status"] for one in content["jobs"]] == ["lost", "failed"]
    shown = [row for row in read_csv(small / "sweep.csv") if row["threshold"] == "0.6"]
    rows = table_of(content)
    assert [(row["slide_id"], row["kept"]) for row in rows] == [
        (row["slide_id"], int(row["kept"])) for row in shown
    ]
    assert_kept_tiles(tmp_path / "res", content)
    page = (tmp_path / "res/report/index.html").read_text()
    assert "its folder contains no record of this sweep any more" in page
    assert not (tmp_path / "res/.partial").exists()


@pytest.mark.slow
def test_tiles_that_cannot_be_made_again_are_told(
    slides: list[str], small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "res")
    shutil.rmtree(tmp_path / "res/report")
    shutil.rmtree(tmp_path / "res/.cache")
    folder = slides[1].removeprefix("slides.paths=")
    for table in (tmp_path / "res").glob("threshold*/slides.csv"):
        table.write_text(table.read_text().replace(folder, f"{tmp_path}/gone"))
    made = tiler("res", "--workers", "1", cwd=tmp_path, module="tiler.config.command.report")
    assert made.returncode == 3, made.stderr
    content = content_of(tmp_path / "res")
    missing = unpacked(content["columns"]["missing"]).reshape(2, 3)
    assert all("there is no file" in why for why in missing[:, :2].ravel())
    assert_same_table(tmp_path / "res", content)
    words = "res", "--workers", "1", "--slides", folder
    moved = tiler(*words, cwd=tmp_path, module="tiler.config.command.report")
    assert moved.returncode == 0, moved.stderr
    assert_kept_tiles(tmp_path / "res", content_of(tmp_path / "res"))


def test_a_dry_run_leaves_the_report_of_a_sweep(
    slides: list[str], small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "res")
    page = tmp_path / "res/report/index.html"
    before = page.read_bytes()
    words = "-m", *slides, "threshold=0.3,0.4", "out=res", "report=html", "dry_run=true"
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert page.read_bytes() == before
    assert "report:" not in done.stderr


def test_something_in_the_way_of_the_report_is_refused_before_the_sweep(
    slides: list[str], tmp_path: Path
) -> None:
    (tmp_path / "res").mkdir()
    (tmp_path / "res/report").write_text("mine")
    words = "-m", *slides, "threshold=0.3,0.4", "out=res", "report=html"
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "res/report is a file that tiler did not write" in complaint(done)
    assert not list((tmp_path / "res").glob("threshold*"))
    assert (tmp_path / "res/report").read_text() == "mine"


def test_a_sweep_without_any_slide_is_a_useful_page(slides: list[str], tmp_path: Path) -> None:
    words = "-m", *slides, "mask=file", "mask.path=none.png,no.png"
    done = tiler(*words, "out=res", "report=html", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    content = content_of(tmp_path / "res")
    assert_same_table(tmp_path / "res", content)
    assert not list((tmp_path / "res/report").glob("data/jobs/*"))
    assert "3 slides failed" in (tmp_path / "res/report/index.html").read_text()


def job(number: int, settings: dict[str, str], **run: Any) -> JobRecord:
    sweep = {"id": "x", "number": number, "settings": settings}
    return JobRecord(f"job {number}", {"sweep": sweep, "exit_code": 0, **run}, [])


@pytest.mark.parametrize(
    ("run", "status", "text"),
    [
        ({"status": "done"}, "done", ""),
        ({"status": "running", "exit_code": 3, "error": "it died"}, "died", "it died"),
        ({"overrides": [], "exit_code": 5, "error": "in use"}, "refused", "in use"),
        ({"exit_code": 3, "error": "left no record"}, "lost", "left no record"),
        ({"status": "failed", "exit_code": 4}, "failed", "exit code 4"),
    ],
)
def test_a_job_that_did_not_run_is_never_shown_as_done(
    run: dict[str, Any], status: str, text: str
) -> None:
    one = job(0, {"threshold": "0.5"}, **run)
    assert job_status(one) == status
    content = sweep_content("s", ["threshold"], [one], ["a"], {}, set(), "now")
    assert not unpacked(content["columns"]["status"])[0]
    assert unpacked(content["columns"]["kept"])[0] == -1
    found = trouble(content["jobs"][0], one)
    assert text in found
    assert bool(found) == (status != "done")


def test_jobs_with_one_reason_are_one_entry() -> None:
    jobs = [job(n, {"threshold": str(n)}, exit_code=5, error="in use") for n in range(9)]
    jobs += [job(9, {"threshold": "9"}, status="done"), job(10, {}, exit_code=3, error="died")]
    content = sweep_content("s", ["threshold"], jobs, ["a"], {}, set(), "now")
    found = problems(content["jobs"], jobs)
    assert [(one["text"], len(one["jobs"])) for one in found] == [("in use", 9), ("died", 1)]


def test_hostile_names_are_text() -> None:
    from tiler.report.pages import frame, html
    from tiler.report.sweep.page import words

    one = job(0, {HOSTILE: HOSTILE}, exit_code=3, error=HOSTILE)
    content = sweep_content(HOSTILE, [HOSTILE], [one], [HOSTILE], {}, set(), "now")
    bad = {**content["jobs"][0], "name": HOSTILE, "folder": HOSTILE}
    entries = [{"status": "lost", "jobs": [bad], "text": HOSTILE}]
    values = {"sweep": content, "words": words(content), "problems": entries, "tiles": 0}
    page = html("sweep.html", {**values, **frame(content, {}), "made": HOSTILE}).decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 4


def test_the_columns_of_the_page_exist_in_the_table() -> None:
    one = JobRecord("a", {"sweep": {"number": 0, "settings": {}}, "exit_code": 0}, [])
    content = sweep_content("s", [], [one], [], {}, set(), "now")
    names = {column.name for column in COLUMNS}
    assert content["columns"].keys() - {"missing"} <= names
    assert np.array_equal(unpacked(content["columns"]["kept"]), [])
