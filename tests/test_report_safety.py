"""What a report survives: signals, full disks, links, and tables that are damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import read_csv, tiler
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from report_data import files_in, loaded, unpacked
from special_files import plant
from test_report_run import WORDS, plan_of, ran, slide
from test_workers import FAULTY

from tiler.config.build import Plan
from tiler.config.command.folder import conf_folder
from tiler.config.rebuilt import _overrides
from tiler.config.schema import register_schema
from tiler.config.sweeps.end import end_sweep
from tiler.config.sweeps.multirun import Sweep, SweepContext, register_resolvers
from tiler.config.sweeps.report import report_sweep
from tiler.errors import ConfigError, DestinationError, SlideError
from tiler.report import html, pages
from tiler.report.run.rows import typed_rows
from tiler.report.slide import task as slide_task
from tiler.report.slide.picture_task import file_facts
from tiler.report.sweep import report as sweep_report
from tiler.runner.engines import SerialEngine
from tiler.runner.products import report_files
from tiler.runner.products.listed import Listed, read_listed, write_listed
from tiler.runner.products.report_files import LIST, ReportFiles, withdraw_page
from tiler.runner.reporting.tracking import Guarded
from tiler.storage.csv_text import csv_text
from tiler.storage.stored import StoredError
from tiler.trackers import NoTracker


@pytest.fixture
def folder(beside_slides: Path) -> Path:
    """Return a working folder with three slides."""
    return beside_slides


@pytest.fixture
def plan(folder: Path, parsed_conf: None) -> Iterator[Plan]:
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield plan_of(folder)
    GlobalHydra.instance().clear()


def state(folder: Path) -> tuple[str, int, bool]:
    """Return status and exit code in ``run.json``, and whether there is a page."""
    run = json.loads((folder / "out/run.json").read_text())
    return run["status"], run["exit_code"], (folder / "out/report/index.html").exists()


def unfinished(folder: Path) -> list[str]:
    """Return the temporary files below a folder."""
    return [path for path in files_in(folder) if ".partial" in path or "lock-holder" in path]


def job_of_a_sweep(folder: Path) -> Sweep:
    """Write what a job of a sweep without slides leaves, and return the sweep."""
    job = folder / "res/threshold=0.2"
    job.mkdir(parents=True)
    facts = {"id": "4711", "number": 0, "settings": {"threshold": "0.2"}}
    run = {"status": "done", "sweep": facts, "exit_code": 0, "config": {"engine": None}}
    (job / "run.json").write_text(json.dumps(run))
    context = SweepContext("4711", ("threshold",), None, folder / "res")
    jobs = ({"threshold": "0.2"},)
    return Sweep(context, folder / "res", Guarded(NoTracker()), (), jobs, reported=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("step", ["run_data", "write_run_pages", "table_key"])
def test_a_signal_while_pages_are_written_ends_the_run_in_order(
    folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, number: int, code: int, step: str
) -> None:
    real = getattr(html, step)

    def stopped(*arguments: Any) -> Any:
        os.kill(os.getpid(), number)
        return real(*arguments)

    monkeypatch.setattr(html, step, stopped)
    result = ran(folder, plan=plan)
    assert result.exit_code == code
    assert {row.status for row in result.rows} == {"done"}
    assert state(folder) == ("interrupted", code, False)
    assert unfinished(folder / "out") == []
    monkeypatch.setattr(html, step, real)
    assert ran(folder, plan=plan).exit_code == 0
    assert state(folder) == ("done", 0, True)


def test_a_signal_while_the_report_of_a_sweep_is_made_ends_it_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = job_of_a_sweep(tmp_path)

    def stopped(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_report, "write_sweep_pages", stopped)
        assert end_sweep(sweep, 0) == 143
    assert not (tmp_path / "res/report/index.html").exists()
    assert unfinished(tmp_path) == []
    assert end_sweep(sweep, 0) == 0
    assert (tmp_path / "res/report/index.html").exists()


def test_unfinished_files_of_a_sweeps_report_go_through_no_link(tmp_path: Path) -> None:
    sweep = job_of_a_sweep(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "res/.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="partial is a symbolic link"):
        end_sweep(sweep, 0)


def test_a_disk_that_is_full_for_the_pages_is_the_end_that_run_json_has(
    folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise DestinationError(f"out: {os.strerror(errno.ENOSPC)}")

    with monkeypatch.context() as patch:
        patch.setattr(html, "write_run_pages", full)
        with pytest.raises(DestinationError):
            ran(folder, plan=plan)
    assert state(folder) == ("failed", 4, False)
    assert unfinished(folder / "out") == []
    assert ran(folder, plan=plan).exit_code == 0
    assert state(folder) == ("done", 0, True)


def test_the_next_report_removes_what_a_killed_one_left_of_its_list(
    folder: Path, plan: Plan
) -> None:
    report = folder / "out/report"
    report.mkdir(parents=True)
    left = report / ".4711.9dbd93802160.partial"
    users = report / ".4711.000000000000.partial"
    left.write_bytes(b'{"tiler": ')
    users.write_bytes(b"mine")
    ran(folder, plan=plan)
    assert not left.exists()
    assert users.read_bytes() == b"mine"


def test_a_damaged_list_is_named_with_one_step_that_helps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_bytes(b"of an earlier run")
    withdraw_page(tmp_path)
    assert not caplog.records, "a page without a list is the user's"
    (report / "report.json").write_bytes(b'{"tiler": ')
    before = files_in(report)
    with pytest.raises(ConfigError, match=f"move {report} away, or use report=none"):
        ReportFiles(tmp_path).check()
    withdraw_page(tmp_path)
    assert f"move {report} away" in caplog.text
    assert files_in(report) == before


def test_a_link_in_place_of_the_report_during_the_run_is_not_followed(
    folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "report.json").write_text("mine")
    (elsewhere / "index.html").write_text("mine")
    real = ReportFiles.put

    def late(self: ReportFiles, *arguments: Any) -> None:
        if not self.folder.is_symlink():
            self.folder.symlink_to(elsewhere)
        real(self, *arguments)

    monkeypatch.setattr(ReportFiles, "put", late)
    result = ran(folder, plan=plan)
    assert result.exit_code == 3
    assert {row.status for row in result.rows} == {"done"}
    assert files_in(elsewhere) == {"report.json": b"mine", "index.html": b"mine"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("candidates", "many"),
        ("kept", "9" * 400),
        ("dropped", "-1"),
        ("dropped_blur", "1.5"),
        ("coverage", "0x1p3"),
        ("seconds", "1" * 5000),
    ],
)
def test_a_table_whose_numbers_are_none_is_damaged(name: str, text: str) -> None:
    row = {"slide_id": "a", "status": "done", "candidates": "1", "kept": "1", "_n": "x", name: "2"}
    good = csv_text([*row], [row]).encode()
    assert typed_rows(good)[0][name] == 2
    bad = csv_text([*row], [{**row, name: text}]).encode()
    with pytest.raises(StoredError, match=rf"is damaged: slide \S+ has {name}='"):
        typed_rows(bad)


def test_a_sweep_passes_over_a_job_with_a_damaged_table(tmp_path: Path) -> None:
    sweep = job_of_a_sweep(tmp_path)
    row = {"slide_id": "a", "status": "done", "candidates": "many", "kept": "1"}
    table = tmp_path / "res/threshold=0.2/slides.csv"
    table.write_text(csv_text([*row], [row]))
    assert end_sweep(sweep, 0) == 2  # no other job left a record
    table.write_text(csv_text([*row], [{**row, "candidates": str(1 << 40)}]))
    assert end_sweep(sweep, 0) == 0
    content = loaded(tmp_path / "res/report/data/sweep.js")
    assert unpacked(content["columns"]["candidates"]).tolist() == [1 << 40]


def test_a_changed_list_never_ends_a_report(folder: Path, plan: Plan) -> None:
    ran(folder, plan=plan)
    report = folder / "out/report"
    facts = ["[1]", '{"doubt": 5, "more": "x"}', '{"problems": {"a": 1}}']
    listed = read_listed(report, LIST)
    files = {
        path: replace(one, key=f"{one.key.partition(' ')[0]} {facts[int(one.exporter)]}")
        if one.exporter.isdigit()
        else one
        for path, one in listed.files.items()
    }
    write_listed(report, Listed({}, files), LIST)
    assert ran(folder, plan=plan).exit_code == 0
    columns = loaded(report / "data/run.js")["slides"]
    assert columns["doubt"] == columns["warnings"] == ["", "", ""]
    assert None not in columns["data"]


def test_a_report_without_jinja2_is_refused_before_the_run(
    folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs jinja2.*; run: pip install jinja2"):
        ran(folder, plan=plan)
    assert not (folder / "out").exists()


def test_no_secret_of_the_run_is_in_its_report(
    folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job: Any, *others: Any) -> Any:
        raise SlideError(job.slide_id, "cannot read https://me:hunter2@host/a.png")

    monkeypatch.setattr(slide_task, "low_scores", failing)
    named = {**plan.plain, "name": "https://me:hunter2@host\x1b[31m"}
    ran(folder, plan=replace(plan, plain=named))
    for path, data in files_in(folder / "out/report").items():
        assert b"hunter2" not in data, path
        if path.endswith((".html", ".json")):
            assert b"\x1b" not in data, path
    data = loaded(folder / "out/report/data/run.js")
    assert data["name"] == "https://me:***@host\\x1b[31m"
    assert "cannot read https://me:***@host" in data["slides"]["warnings"][0]


def test_an_impossible_path_of_a_slide_is_a_slide_that_cannot_be_read(folder: Path) -> None:
    path = folder / "a\0b.tiff"
    assert file_facts(path) == {}
    run = tiler(*WORDS, "report=none", cwd=folder)
    assert run.returncode == 0, run.stderr
    table = folder / "out/slides.csv"
    table.write_text(table.read_text().replace("b.tiff", "b\0.tiff"))
    done = tiler("out", "--workers", "1", cwd=folder, module="tiler.config.command.report")
    assert done.returncode == 3, done.stderr
    assert "b: there is no file b" in done.stderr


@pytest.mark.parametrize(
    "engine", ["processes", pytest.param("dask", marks=pytest.mark.slow)]
)  # fmt: skip
def test_a_worker_that_dies_in_the_report_harms_no_slide(folder: Path, engine: str) -> None:
    (folder / "b.tiff").rename(folder / "dies.tiff")
    words = ["slides.paths=[a.tiff,dies.tiff,c.tiff]" if "paths" in word else word
             for word in WORDS]  # fmt: skip
    words += ["reader=openslide", "reader._target_=faulty.DiesInReportsReader", "reader.mpp=4"]
    words += [f"engine={engine}", "engine.workers=2"]
    done = tiler(*words, cwd=folder, env=FAULTY, timeout=300)
    assert done.returncode == 0, done.stderr
    assert state(folder) == ("done", 0, True)
    rows = read_csv(folder / "out/slides.csv")
    assert [row["status"] for row in rows] == ["done", "done", "done"]
    data = loaded(folder / "out/report/data/run.js")["slides"]
    assert [name is None for name in data["data"]] == [False, True, False]
    assert "E_WORKER" in data["warnings"][1]
    assert unfinished(folder / "out") == []


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "large", "nul"])
def test_a_run_of_others_names_no_table_that_hangs(tmp_path: Path, kind: str) -> None:
    (tmp_path / "table.csv").write_text("path\n")
    if kind != "nul":
        plant(tmp_path / "table.csv", kind)
    name = "table\0.csv" if kind == "nul" else "table.csv"
    config = {"slides": {"table": str(tmp_path / name)}}
    assert _overrides(config) == {}


def test_the_list_is_not_written_for_each_job_of_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide(tmp_path, "a.tiff", 0)
    words = [word for word in WORDS if not word.startswith(("slides.paths", "report"))]
    sweep = ["-m", "slides.paths=a.tiff", "threshold=0.1,0.2,0.3,0.4,0.5"]
    assert tiler(*sweep, *words, cwd=tmp_path).returncode == 0
    written: list[int] = []
    real = report_files.write_listed

    def counted(out: Path, listed: Listed, name: str) -> None:
        written.append(len(listed.files))
        real(out, listed, name)

    monkeypatch.setattr(report_files, "write_listed", counted)
    monkeypatch.chdir(tmp_path)
    page, lacks = report_sweep(Path("out"), SerialEngine(), None)
    assert page is not None
    assert not lacks
    assert len(written) == 4  # tiles, pages, the first page, and the end
    assert len([*(tmp_path / "out/report").glob("data/jobs/*/000000.js")]) == 5
