"""``tiler-report``: the report of a run afterwards, whatever became of the run and its slides."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import complaint, read_csv, tiler
from report_data import files_in, loaded
from test_report_run import NAMES, WORDS, lasting, slide

from tiler.runner.store.lock import locked


def report(
    *words: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return tiler(*words, "--workers", "1", cwd=cwd, env=env, module="tiler.config.command.report")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with slides and ``out``, a run of them without report. Read only."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate(NAMES):
        slide(folder, f"{name}.tiff", number)
    done = tiler(*WORDS, "report=none", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a folder with that run, of slides that are links to the same files."""
    shutil.copytree(made / "out", tmp_path / "out")
    for path in made.glob("*.tiff"):
        os.link(path, tmp_path / path.name)
    return tmp_path


def test_the_report_afterwards_is_that_of_the_run(made: Path, tmp_path: Path) -> None:
    with_report = tmp_path / "with"
    with_report.mkdir()
    for path in made.glob("*.tiff"):
        os.link(path, with_report / path.name)
    assert tiler(*WORDS, cwd=with_report).returncode == 0
    shutil.copytree(made / "out", with_report / "again")
    before = files_in(with_report / "again")
    done = report("again", cwd=with_report)
    assert (done.returncode, done.stdout) == (0, "again/report/index.html\n"), done.stderr
    assert lasting(with_report / "again/report") == lasting(with_report / "out/report")
    after = files_in(with_report / "again")
    own = {path for path in after if path.startswith(("report/", ".cache/"))}
    assert {path: after[path] for path in after.keys() - own} == {
        path: data for path, data in before.items() if path not in own
    }


def test_it_takes_scores_from_the_cache_of_the_run(folder: Path) -> None:
    cache = folder / "out/.cache"
    before = {path.name for path in cache.rglob("*") if path.is_file()}
    assert report("out", cwd=folder).returncode == 0
    added = {path.name for path in cache.rglob("*") if path.is_file()} - before
    assert before
    assert len(added) == len(NAMES)  # the scores of cells below the threshold


@pytest.mark.slow
def test_slides_that_moved_are_found(folder: Path) -> None:
    (folder / "moved").mkdir()
    for name in ("b.tiff", "c.tiff"):
        (folder / name).rename(folder / "moved" / f"new_{name}")
    slide(folder, "moved/other.tiff", 9)
    lost = report("out", cwd=folder)
    assert lost.returncode == 3
    assert lost.stdout == "out/report/index.html\n"
    assert "b: there is no file b.tiff here; start where the run was started" in lost.stderr
    data = loaded(folder / "out/report/data/run.js")["slides"]
    assert [name is None for name in data["data"]] == [False, True, True]
    assert "there is no file c.tiff" in data["warnings"][2]
    found = report("out", "--slides", "moved", cwd=folder)
    assert found.returncode == 0, found.stderr
    data = loaded(folder / "out/report/data/run.js")["slides"]
    assert None not in data["data"]
    assert data["warnings"][1:] == ["", ""]
    again = report("out", cwd=folder)  # what is there is still right
    assert again.returncode == 0, again.stderr


def test_a_slide_that_was_replaced_says_so(folder: Path) -> None:
    (folder / "b.tiff").unlink()
    slide(folder, "b.tiff", 99)
    assert report("out", cwd=folder).returncode == 0
    data = loaded(folder / "out/report/data/slides/000001.js")
    assert "the slide's file changed" in data["stale"]
    assert "1 slide differs" in (folder / "out/report/index.html").read_text()


def test_a_run_of_failures_has_a_page_of_their_reasons(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.tiff").write_bytes(b"no slide")
    run = tiler(*WORDS[:1], "slides.paths=[x.tiff,y.tiff]", *WORDS[2:], cwd=tmp_path)
    assert run.returncode == 3
    index = tmp_path / "out/report/index.html"
    first = index.read_text()
    assert "No slide could be tiled" in first
    assert "2 slides" in first
    assert "E_OPEN" in first
    done = report("out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No slide could be tiled" in index.read_text()


def test_a_run_that_was_killed_or_has_no_slides_has_a_page(folder: Path) -> None:
    path = folder / "out/run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "status": "running", "exit_code": None}))
    assert report("out", cwd=folder).returncode == 0
    assert "was killed" in (folder / "out/report/index.html").read_text()
    (folder / "out/slides.csv").unlink()
    path.write_text(json.dumps({**run, "counts": {"slides": 0}}))
    done = report("out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "The run has no slides" in (folder / "out/report/index.html").read_text()


def test_what_is_no_run_is_refused_in_one_line(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    (folder / "other/run.json").write_text('{"mine": 1}')
    (folder / "damaged").mkdir()
    (folder / "damaged/run.json").write_text('{"tiler": ')
    for name, says in (
        ("missing", "there is no such folder"),
        ("empty", "it has no run.json or sweep.json"),
        ("other", "contains no configuration of a run"),
        ("damaged", "is damaged"),
    ):
        before = files_in(folder / name)
        refused = report(name, cwd=folder)
        assert refused.returncode == 2, refused.stderr
        assert says in complaint(refused)
        assert files_in(folder / name) == before
    (folder / "out/slides.csv").write_text("slide_id,status\na,done\n")
    refused = report("out", cwd=folder)
    assert refused.returncode == 2, refused.stderr
    assert "slides.csv is damaged: it has no column 'candidates'" in complaint(refused)


def test_an_active_run_is_left_alone(folder: Path) -> None:
    with locked(folder / "out"):
        refused = report("out", cwd=folder)
    assert refused.returncode == 5
    assert "is in use" in complaint(refused)
    assert not (folder / "out/report").exists()


def test_a_secret_of_a_tracker_is_not_needed_but_one_of_a_reader_is(folder: Path) -> None:
    path = folder / "out/run.json"
    run = json.loads(path.read_text())
    tracker = {"_target_": "tiler.trackers.MlflowTracker", "uri": "http://***@host"}
    path.write_text(json.dumps({**run, "config": {**run["config"], "tracker": tracker}}))
    assert report("out", cwd=folder).returncode == 0
    mask = {"_target_": "tiler.masks.FileMask", "path": "http://***@host/{slide}.png"}
    path.write_text(json.dumps({**run, "config": {**run["config"], "mask": mask}}))
    refused = report("out", cwd=folder)
    assert refused.returncode == 2
    assert "mask.path=http://***@host/{slide}.png: run.json does not contain" in complaint(refused)


@pytest.mark.slow
def test_the_settings_of_a_table_are_those_of_its_slides(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        slide(tmp_path, f"{name}.tiff", number)
    table = tmp_path / "slides.csv"
    table.write_text("path,threshold,_site\na.tiff,0.2,Ulm\nb.tiff,,Bonn\nc.tiff,0.9,Kiel\n")
    words = ("slides=table", "slides.table=slides.csv", *WORDS[2:])
    assert tiler(*words, cwd=tmp_path).returncode == 0
    first = lasting(tmp_path / "out/report")
    data = loaded(tmp_path / "out/report/data/run.js")
    assert data["rules"] is None
    assert (data["base"]["threshold"], data["base"]["from_table"]) == (0.5, [])
    assert data["set_by_table"] == {"threshold": 2}
    assert data["words"].endswith("; the table of slides sets threshold for 2 of 3 slides")
    assert data["funnel"][1]["label"] == "Coverage ≥ 0.5, or as the table sets it"
    assert data["slides"]["_site"] == ["Ulm", "Bonn", "Kiel"]
    slides = [loaded(tmp_path / f"out/report/data/slides/{n:06d}.js") for n in range(3)]
    assert [one["rules"]["threshold"] for one in slides] == [0.2, 0.5, 0.9]
    assert [one["rules"]["from_table"] for one in slides] == [["threshold"], [], ["threshold"]]
    assert [one["set_by_table"] for one in slides] == ["threshold=0.2", "", "threshold=0.9"]
    shutil.rmtree(tmp_path / "out/report")
    assert report("out", cwd=tmp_path).returncode == 0
    assert lasting(tmp_path / "out/report") == first
    shutil.rmtree(tmp_path / "out/report")
    table.write_text("path,threshold\na.tiff,0.3\nb.tiff,\nc.tiff,0.9\n")
    changed = report("out", cwd=tmp_path)
    assert changed.returncode == 3
    assert "a: its settings are not those of run.json and the table (threshold" in changed.stderr


@pytest.mark.slow
def test_limits_that_a_filter_of_the_command_lacks_are_named_and_can_be_added(
    tmp_path: Path,
) -> None:
    slide(tmp_path, "a.tiff", 0)
    own = "+filter.soft={_target_:tiler.scores.Blur,min:5,mpp:null}"
    words = (*(word for word in WORDS if not word.startswith("slides.paths")), own)
    assert tiler("slides.paths=a.tiff", *words, cwd=tmp_path).returncode == 0
    base = loaded(tmp_path / "out/report/data/run.js")["base"]
    assert base["absent"] == ["filter.soft.max"]
    again = ("++filter.soft.max=1e9", "report=none", "out=again")
    for first in (["slides.paths=a.tiff", *words], ["--rerun", "out"]):
        done = tiler(*first, *again, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (before,), (after,) = (read_csv(tmp_path / out / "slides.csv") for out in ("out", "again"))
        assert after["kept"] == before["kept"] != "0"


@pytest.mark.slow
def test_a_job_of_a_sweep_has_a_report_of_its_own_from_the_cache_of_the_sweep(
    tmp_path: Path,
) -> None:
    slide(tmp_path, "a.tiff", 0)
    words = [word for word in WORDS if not word.startswith(("slides.paths", "report"))]
    sweep = tiler("-m", "threshold=0.2,0.6", "slides.paths=a.tiff", *words, cwd=tmp_path)
    assert sweep.returncode == 0, sweep.stderr
    cache = {path for path in (tmp_path / "out/.cache").rglob("*") if path.is_file()}
    done = report("out/threshold=0.6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out/threshold=0.6/.cache").exists()
    added = {path for path in (tmp_path / "out/.cache").rglob("*") if path.is_file()} - cache
    assert len(added) == 1
    own = loaded(tmp_path / "out/threshold=0.6/report/data/slides/000000.js")
    (row,) = read_csv(tmp_path / "out/threshold=0.6/slides.csv")
    assert own["row"]["kept"] == int(row["kept"])
    assert own["stale"] == ""


HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def test_no_name_is_markup_and_no_path_of_the_machine_is_in_a_report(tmp_path: Path) -> None:
    place = tmp_path / "secret-place"
    place.mkdir()
    slide(place, f"{HOSTILE}.tiff", 0)
    (place / f"{HOSTILE}2.tiff").write_bytes(b"no slide")
    rows = [f"{HOSTILE}.tiff", f"{HOSTILE}2.tiff"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in rows]
    table = 'path,"_<script>alert(2)</script>"\n' + "".join(
        f"{name},<script>alert(3)</script>\n" for name in quoted
    )
    (place / "table.csv").write_text(table)
    words = ("slides=table", "slides.table=secret-place/table.csv", *WORDS[2:])
    done = tiler(*words, "name='<script>alert(4)</script>'", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    report_folder = tmp_path / "out/report"
    for path, data in files_in(report_folder).items():
        assert str(tmp_path).encode() not in data, path
        assert b"/secret-place" not in data, path
        if path.endswith(".html"):
            text = data.decode()
            assert text.count("<script") == 1, path
            assert "<img src=x" not in text, path
        if path.startswith("data/"):
            assert b"<" not in data, path
        assert HOSTILE not in path
    columns = loaded(report_folder / "data/run.js")["slides"]
    assert columns["path"] == rows
    assert columns["_<script>alert(2)</script>"] == ["<script>alert(3)</script>"] * 2


def test_the_command_starts_as_users_start_it(folder: Path) -> None:
    code = "import sys; from tiler.config.command.report import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "usage: tiler-report" in done.stdout
    words = ("out", "--workers", "0")
    wrong = tiler(*words, cwd=folder, module="tiler.config.command.report")
    assert wrong.returncode == 2


def test_a_changed_run_json_makes_no_folder_and_ends_in_a_line_or_a_page(folder: Path) -> None:
    path = folder / "out/run.json"
    run = json.loads(path.read_text())
    config = {**run["config"], "cache": "elsewhere/cache"}
    path.write_text(json.dumps({**run, "config": config, "slides": {"base": 1e300}}))
    done = report("out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "elsewhere").exists()
    mask = {"_target_": "os.system", "command": "touch elsewhere"}
    path.write_text(json.dumps({**run, "config": {**config, "mask": mask}}))
    refused = report("out", cwd=folder)
    assert refused.returncode == 2
    assert complaint(refused).startswith("E_CONFIG: mask._target_=os.system: mask has")
    assert not (folder / "elsewhere").exists()
