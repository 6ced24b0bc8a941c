"""``report=html``: pages of a run, made on its engine, that never lie and touch nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import complaint, read_csv, tiler
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from report_data import files_in, loaded
from test_crash import CALLS, strace

from tiler.config.build import Plan, build
from tiler.config.command.folder import conf_folder
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.errors import ConfigError, SlideError
from tiler.report import assets
from tiler.report.slide import task as slide_task
from tiler.report.slide.picture_task import PictureTask
from tiler.runner.engines import SerialEngine
from tiler.runner.ledger import RunResult
from tiler.runner.products import report_files
from tiler.runner.run import run
from tiler.runner.signals import Interrupted

NAMES = ("a", "b", "c")
WORDS = ("slides=files", "slides.paths=[a.tiff,b.tiff,c.tiff]", "resolution=level",
         "resolution.value=0", "reader.mpp=4", "tile.size=32", "filter=[blur]",
         "filter.blur.mpp=null", "filter.blur.min=500", "sampler=random", "sampler.n=7",
         "name=trial", "out=out", "report=html")  # fmt: skip
MADE_AT = ("index.html", "data/run.js", "report.json")
"""Files with the time at which they were made."""


def slide(folder: Path, name: str, seed: int) -> None:
    """Write a slide of 224 x 160 pixels: smooth and rough tissue on bright glass."""
    noise = np.random.default_rng(seed).integers(0, 40, (160, 224, 3))
    pixels = np.full((160, 224, 3), (225, 224, 225)) + noise // 20
    pixels[20:130, 30:180] = (150, 60, 140)
    pixels[20:130, 30:110] += noise[20:130, 30:110]
    tifffile.imwrite(folder / name, pixels.astype(np.uint8), tile=(64, 64), photometric="rgb")


@pytest.fixture
def folder(beside_slides: Path) -> Path:
    """Return a working folder with three slides."""
    return beside_slides


@pytest.fixture(scope="module")
def composed(parsed_conf: None) -> Iterator[None]:
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


def plan_of(folder: Path, *words: str) -> Plan:
    return build(compose("config", [*WORDS, *words]), folder / "out")


def ran(folder: Path, *words: str, plan: Plan | None = None, engine: Any = None) -> RunResult:
    plan = plan or plan_of(folder, *words)
    facts = {"config": plan.plain, "slides": {"base": plan.base}}
    engine = engine or SerialEngine()
    return run(plan.jobs, folder / "out", engine, facts, plan.policy, report=plan.report)


def lasting(report: Path) -> dict[str, bytes]:
    """Return the files of a report without those that contain the time."""
    return {path: data for path, data in files_in(report).items() if path not in MADE_AT}


def test_a_run_with_a_report_ends_with_the_path_of_its_page(folder: Path) -> None:
    (folder / "broken.tiff").write_bytes(b"no slide")
    words = [*WORDS[:1], "slides.paths=[a.tiff,broken.tiff,b.tiff,c.tiff]", *WORDS[2:]]
    done = tiler(*words, "engine=processes", cwd=folder)
    assert done.returncode == 3, done.stderr
    rows = read_csv(folder / "out/slides.csv")
    tiles = sum(int(row["kept"]) for row in rows)
    last = f"4 slides: 3 done, 1 failed; {tiles} tiles; report: out/report/index.html"
    assert done.stderr.splitlines()[-1].endswith(last)

    report = folder / "out/report"
    data = loaded(report / "data/run.js")
    assert data["counts"]["kept"] == tiles > 0
    assert (data["status"], data["exit_code"], data["name"]) == ("failed", 3, "trial")
    assert data["words"] == (
        "32 px at level 0, stride 32, Otsu tissue, threshold 0.5, blur ≥ 500,"
        " sampler random 7 tiles"
    )
    assert [stage["left"] for stage in data["funnel"]][::3] == [
        sum(int(row["candidates"]) for row in rows), tiles
    ]  # fmt: skip
    columns = data["slides"]
    assert columns["slide_id"] == ["a", "broken", "b", "c"]
    assert columns["kept"] == [int(row["kept"]) for row in rows]
    assert columns["code"] == ["", "E_OPEN", "", ""]
    assert columns["data"] == [
        f"data/slides/{n:06d}.js" if n != 1 else None for n in range(4)
    ]  # fmt: skip
    assert all((report / name).is_file() for name in columns["picture"] if name)
    page = (report / "index.html").read_text()
    assert "broken" in page
    assert data["words"] in page
    listed = json.loads((report / "report.json").read_text())["files"]
    assert {*listed, "report.json"} == {*files_in(report)}
    for n in (0, 2, 3):
        own = loaded(report / f"data/slides/{n:06d}.js")
        assert (own["slide_id"], own["stale"]) == (columns["slide_id"][n], "")
        assert own["rules"] == {**data["rules"], "measured_from": own["rules"]["measured_from"]}


@pytest.fixture(scope="module")
def reference(three_slides: Path, composed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with a report, on slides of its own. Read only."""
    place = tmp_path_factory.mktemp("reference")
    for path in three_slides.iterdir():
        os.link(path, place / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert ran(place).exit_code == 0
    return place


@pytest.mark.parametrize(
    "engine", ["processes", pytest.param("dask", marks=pytest.mark.slow)]
)  # fmt: skip
def test_all_engines_write_the_same_report(folder: Path, reference: Path, engine: str) -> None:
    done = tiler(*WORDS, f"engine={engine}", "engine.workers=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert lasting(folder / "out/report") == lasting(reference / "out/report")


@pytest.mark.slow
def test_a_report_changes_no_other_output_and_redoes_no_slide(
    folder: Path, reference: Path, composed: None
) -> None:
    ran(folder, "report=none")
    without = files_in(folder / "out/slides")
    assert without == files_in(reference / "out/slides")
    times = {path: path.stat().st_mtime_ns for path in (folder / "out/slides").rglob("*")}
    result = ran(folder, "report=html", "on_change=refuse")
    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert lasting(folder / "out/report") == lasting(reference / "out/report")
    ran(folder, "report=html", "report.charts=[svg]", "on_change=refuse")
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_a_second_run_makes_no_slide_again(folder: Path, composed: None) -> None:
    ran(folder)
    report = folder / "out/report"
    times = {path: (report / path).stat().st_mtime_ns for path in lasting(report)
             if not path.startswith("assets/") and path != "slide.html"}  # fmt: skip

    class Unused(SerialEngine):
        def submit(self, task: Any) -> None:
            raise AssertionError(f"{task} was not needed")

    ran(folder, engine=Unused())
    assert {path: (report / path).stat().st_mtime_ns for path in times} == times
    assert (report / "index.html").is_file()
    (report / "data/slides/000001.js").unlink()
    ran(folder)
    assert (report / "data/slides/000001.js").stat().st_mtime_ns > times["data/slides/000001.js"]
    assert (report / "data/slides/000000.js").stat().st_mtime_ns == times["data/slides/000000.js"]


@pytest.mark.slow
def test_an_interrupted_run_has_no_page_and_the_next_one_completes_it(
    folder: Path, reference: Path, composed: None
) -> None:
    ran(folder, "threshold=0.1")
    index = folder / "out/report/index.html"
    assert index.is_file()

    class Stopping(SerialEngine):
        def submit(self, task: Any) -> None:
            if task.job.slide_id == "b":
                raise Interrupted(130)
            super().submit(task)

    assert ran(folder, engine=Stopping()).exit_code == 130
    assert not index.exists()
    made = tiler("out", cwd=folder, module="tiler.config.command.report")
    assert made.returncode == 0, made.stderr
    assert made.stdout == "out/report/index.html\n"
    data = loaded(folder / "out/report/data/run.js")
    assert data["status"] == "interrupted"
    assert data["slides"]["status"] == ["done", "interrupted", "interrupted"]
    assert [name is None for name in data["slides"]["data"]] == [False, True, True]
    assert "did not reach" in index.read_text()
    assert ran(folder).exit_code == 0
    assert index.is_file()
    assert lasting(folder / "out/report") == lasting(reference / "out/report")


class Killed(BaseException):
    """Ends a run at once, as a signal that no process survives."""


STEPS = ("write_listed", "remove_others", "make_folder")


@pytest.mark.slow
def test_a_run_killed_at_any_step_of_its_report_leaves_no_page_that_lies(
    folder: Path, reference: Path, composed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(folder, "threshold=0.1")
    index, plan = folder / "out/report/index.html", plan_of(folder)
    shutil.copytree("out", "before")
    left = 0

    def counted(name: str) -> Any:
        real = getattr(report_files, name)

        def step(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments)

        return step

    for name in STEPS:
        monkeypatch.setattr(report_files, name, counted(name))
    for steps in range(100):
        left = steps
        shutil.rmtree("out")
        shutil.copytree("before", "out")
        try:
            ran(folder, plan=plan)
            break
        except Killed:
            table = [one["below_threshold"] for one in read_csv(folder / "out/slides.csv")]
            if index.exists():
                data = loaded(folder / "out/report/data/run.js")
                assert [*map(str, data["slides"]["below_threshold"])] == table
    assert steps > 10
    left = 100
    ran(folder, plan=plan)
    assert lasting(folder / "out/report") == lasting(reference / "out/report")
    listed = json.loads((folder / "out/report/report.json").read_text())["files"]
    assert {*listed, "report.json"} == {*files_in(folder / "out/report")}
    assert all(len(entry["versions"]) == 1 for entry in listed.values())


def test_a_run_without_report_withdraws_a_page_about_other_rows(
    folder: Path, composed: None
) -> None:
    ran(folder)
    index = folder / "out/report/index.html"
    ran(folder, "report=none")
    assert index.is_file()  # it is still right
    ran(folder, "report=none", "slides.paths=[a.tiff,b.tiff]")
    assert not index.exists()
    ran(folder)
    assert index.is_file()
    ran(folder, "report=none", "threshold=0.9")
    assert not index.exists()


def test_a_slide_that_is_gone_from_the_run_is_gone_from_its_report(
    folder: Path, composed: None
) -> None:
    ran(folder)
    ran(folder, "slides.paths=[c.tiff]")
    report = folder / "out/report"
    assert loaded(report / "data/run.js")["slides"]["slide_id"] == ["c"]
    assert {path for path in files_in(report) if re.search(r"\d{6}", path)} == {
        path for path in files_in(report) if "000000" in path
    }
    assert loaded(report / "data/slides/000000.js")["slide_id"] == "c"


def test_files_of_a_user_in_the_reports_folder_stay(folder: Path, composed: None) -> None:
    report = folder / "out/report"
    (report / "pictures").mkdir(parents=True)
    (report / "notes.txt").write_text("mine")
    (report / "pictures/mine.jpg").write_text("mine, too")
    ran(folder)
    (report / "views/000000.jpg").write_text("painted over")
    ran(folder, "slides.paths=[b.tiff]", "threshold=0.3")
    assert (report / "notes.txt").read_text() == "mine"
    assert (report / "pictures/mine.jpg").read_text() == "mine, too"
    assert (report / "views/000000.jpg").read_text() == "painted over"


def test_a_foreign_page_or_folder_is_named_before_the_run(folder: Path, composed: None) -> None:
    report, elsewhere = folder / "out/report", folder / "elsewhere"
    elsewhere.mkdir()
    report.mkdir(parents=True)
    (report / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"index\.html is a file that tiler did not write; move"):
        ran(folder)
    assert not (folder / "out/slides.csv").exists()
    assert (report / "index.html").read_text() == "mine"
    (report / "index.html").unlink()
    report.rmdir()
    report.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="report is a symbolic link"):
        ran(folder)
    assert [*elsewhere.iterdir()] == []


def test_links_below_the_report_are_never_followed(folder: Path, composed: None) -> None:
    report, elsewhere = folder / "out/report", folder / "elsewhere"
    elsewhere.mkdir()
    report.mkdir(parents=True)
    (report / "pictures").symlink_to(elsewhere)
    result = ran(folder)
    assert result.exit_code == 3
    assert [*elsewhere.iterdir()] == []
    assert {row.status for row in result.rows} == {"done"}
    data = loaded(report / "data/run.js")
    assert data["slides"]["picture"] == [None, None, None]
    assert None not in data["slides"]["data"]
    (report / "pictures").unlink()
    assert ran(folder).exit_code == 0
    assert None not in loaded(report / "data/run.js")["slides"]["picture"]


def test_a_report_without_its_built_pages_is_refused_before_the_run(
    folder: Path, composed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "FOLDER", folder / "assets")
    with pytest.raises(ConfigError, match="run 'make pages', install tiler from a wheel"):
        ran(folder)
    assert not (folder / "out/slides.csv").exists()


def test_a_wrong_setting_of_the_report_is_one_line(folder: Path) -> None:
    wrong = tiler(*WORDS, "report.charts=[gif]", cwd=folder)
    assert wrong.returncode == 2
    assert "report.charts=['gif']" in complaint(wrong)
    assert "use svg, png or both" in complaint(wrong)
    unknown = tiler(*WORDS, "report=pdf", cwd=folder)
    assert unknown.returncode == 2
    assert "choose from: html none" in complaint(unknown)


def test_a_slide_that_failed_for_another_reason_than_its_pixels_has_a_picture(
    folder: Path, composed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "b.tiff").unlink()
    (folder / "b.tiff").write_bytes(b"no slide")
    Image.new("L", (224, 160), 255).save(folder / "a.png")
    words = ["mask=file", "mask.path='{slide}.png'"]
    made = []
    work = PictureTask.run
    monkeypatch.setattr(PictureTask, "run", lambda task, state: made.append(1) or work(task, state))

    def columns() -> dict[str, list[Any]]:
        assert ran(folder, *words).exit_code in (0, 3)
        return loaded(folder / "out/report/data/run.js")["slides"]

    for _ in range(2):
        found = columns()
        assert found["code"] == ["", "E_OPEN", "E_MASK"]
        assert found["picture"] == ["pictures/000000.jpg", None, "pictures/000002.jpg"]
        assert found["data"] == ["data/slides/000000.js", None, None]
        assert made == [1], "once"
    card = np.asarray(Image.open(folder / "out/report/pictures/000002.jpg"))
    assert card.shape == (160, 224, 3)
    assert "no such file" not in str(found["warnings"])
    Image.new("L", (224, 160), 255).save(folder / "c.png")
    found = columns()
    assert found["data"][2] == "data/slides/000002.js"
    assert found["picture"][2] == "pictures/000002.jpg"
    assert made == [1]


def test_a_slide_that_the_report_cannot_show_stays_done(
    folder: Path, composed: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = slide_task.low_scores

    def failing(job: Any, *others: Any) -> Any:
        if job.slide_id == "a":
            raise SlideError("a", "the report cannot show it")
        if job.slide_id == "b":
            raise RuntimeError("a bug of the report")
        return real(job, *others)

    monkeypatch.setattr(slide_task, "low_scores", failing)
    result = ran(folder)
    assert (result.exit_code, {row.status for row in result.rows}) == (0, {"done"})
    assert "slide=a has no page: E_SLIDE slide=a: the report cannot show it" in caplog.text
    columns = loaded(folder / "out/report/data/run.js")["slides"]
    assert columns["data"] == [None, None, "data/slides/000002.js"]
    assert "the report cannot show it" in columns["warnings"][0]
    assert "a bug in tiler" in columns["warnings"][1]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    ran(folder)  # tries them again
    columns = loaded(folder / "out/report/data/run.js")["slides"]
    assert None not in columns["data"]
    assert columns["warnings"] == ["", "", ""]


@pytest.mark.slow
def test_a_run_from_before_reports_is_repeated_without_one(folder: Path) -> None:
    assert tiler(*WORDS, "report=none", cwd=folder).returncode == 0
    path = folder / "out/run.json"
    run = json.loads(path.read_text())
    del run["config"]["report"]
    path.write_text(json.dumps(run))
    again = tiler("--rerun", "out", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[-1].endswith("report: tiler-report out")
    asked = tiler("--rerun", "out", "report=html", cwd=folder)
    assert asked.stderr.splitlines()[-1].endswith("report: out/report/index.html"), asked.stderr


@pytest.mark.slow
@strace
def test_a_run_killed_as_it_writes_its_report_is_completed_by_the_next(
    folder: Path, reference: Path
) -> None:
    assert tiler(*WORDS, "threshold=0.1", cwd=folder).returncode == 0
    shutil.copytree("out", "before")
    watch = ["strace", "-f", "-qq", "-e", f"trace={CALLS['rename']}"]
    done = tiler(*WORDS, cwd=folder, tracer=[*watch, "-o", str(folder / "log")])
    assert done.returncode == 0, done.stderr
    lines = (folder / "log").read_text().splitlines()
    own = [line for line in lines if line.split()[0] == lines[0].split()[0]]
    at = [number for number, line in enumerate(own, 1) if "/report/" in line]
    assert len(at) > 20
    for number in (*at[:: -(-len(at) // 4)], at[-2], at[-1]):
        shutil.rmtree("out")
        shutil.copytree("before", "out")
        inject = f"inject={CALLS['rename']}:signal=SIGKILL:when={number}"
        assert tiler(
            *WORDS, cwd=folder, tracer=[*watch, "-o", "/dev/null", "-e", inject]
        ).returncode
        table = [row["below_threshold"] for row in read_csv(folder / "out/slides.csv")]
        if (folder / "out/report/index.html").exists():
            data = loaded(folder / "out/report/data/run.js")
            assert [*map(str, data["slides"]["below_threshold"])] == table
        again = tiler(*WORDS, cwd=folder)
        assert again.returncode == 0, again.stderr
        assert lasting(folder / "out/report") == lasting(reference / "out/report")
        assert not (folder / "out/.partial").exists()
