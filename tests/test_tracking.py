"""Trackers get correct numbers, and a failing tracker never fails a run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import complaint, fresh_tiler, read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from tracked import COMMON, TILES, files_of, mlflow_client, mlflow_runs, picture

from tiler.config.groups.tracking import parameters
from tiler.runner.reporting.tracking import Guarded, Tracking, status_of
from tiler.runner.work.job import SlideRow
from tiler.trackers import MlflowTracker, NoTracker
from tiler.trackers.mlflow import fitting, fitting_key

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def outputs(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / "slides").rglob("*")
        if path.is_file()
    }


class Listener:
    """A tracker that keeps its calls, and fails in given ones."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.told: list[tuple] = []

    def _hear(self, *what) -> None:
        self.told.append(what)
        if what[0] in self.failing:
            raise OSError(f"{what[0]} failed\nand more") from ValueError("the cause")

    def start(self, name, parameters, parent):
        self._hear("start", name, dict(parameters), parent)
        return "an-id"

    def step(self, number, metrics):
        self._hear("step", number, dict(metrics))

    def end(self, status, metrics, files):
        self._hear("end", status, dict(metrics), dict(files))


# --- numbers


def test_counts_add_up_and_earlier_work_does_not_count_as_speed() -> None:
    listener = Listener()
    tracking = Tracking(listener)
    tracking.start("run", {}, None)
    tracking.resumed([SlideRow("a", "done", kept=1000), SlideRow("b", "failed")])
    tracking.slide(SlideRow("c", "done", kept=7))
    tracking.slide(SlideRow("d", "failed"))
    tracking.slide(SlideRow("e", "done", kept=5))
    tracking.exit_code = 3
    tracking.end({})
    steps = [what for what in listener.told if what[0] == "step"]
    assert [number for _, number, _ in steps] == [3, 4, 5]
    assert [(m["slides"], m["tiles"], m["failures"]) for _, _, m in steps] == [
        (3, 1007, 1),
        (4, 1007, 2),
        (5, 1012, 2),
    ]
    _, status, last, _ = listener.told[-1]
    assert status == "failed"
    assert (last["slides"], last["tiles"], last["failures"]) == (5, 1012, 2)
    assert last["tiles_per_s"] == pytest.approx(12 / last["seconds"])
    assert "tissue_mm2" not in last


class Slow(Listener):
    """A tracker that starts slowly, as MLflow does with a new database."""

    def start(self, name, parameters, parent):
        time.sleep(0.4)
        return super().start(name, parameters, parent)


def test_seconds_count_from_the_first_work() -> None:
    began = time.monotonic()
    tracking = Tracking(Slow())
    tracking.start("run", {}, None)
    seconds = tracking.metrics()["seconds"]
    assert seconds <= time.monotonic() - began - 0.4
    tracking.working_since(began - 10)
    tracking.slide(SlideRow("a", "done", kept=20, coverage=0.5))
    last = tracking.metrics()
    assert 10 < last["seconds"] < 15
    assert last["tiles_per_s"] == pytest.approx(20 / last["seconds"], rel=0.01)


@pytest.mark.slow
def test_start_up_of_workers_is_no_part_of_a_runs_seconds(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        picture(tmp_path, name)
    words = [*COMMON, "slides.paths=[one.png,two.png]", "tracker=jsonl"]
    started = time.monotonic()
    done = fresh_tiler(*words, "engine=processes", "engine.workers=1", "out=out", cwd=tmp_path)
    whole = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    last = lines_of(tmp_path / "out/tracking.jsonl")[-1]["metrics"]
    slides = [float(row["seconds"]) for row in read_csv(tmp_path / "out/slides.csv")]
    assert 0 < last["seconds"] < whole / 2
    assert last["seconds"] < sum(slides), "the first slide waits for its worker to start"
    assert last["tiles_per_s"] == pytest.approx(2 * TILES / last["seconds"])


def test_coverage_is_the_mean_over_tiles() -> None:
    tracking = Tracking(NoTracker())
    assert "coverage" not in tracking.metrics()
    rows = [("a", 3, 1.0), ("b", 1, 0.2), ("c", 0, None)]
    tracking.resumed([SlideRow(name, "done", kept=n, coverage=c) for name, n, c in rows])
    assert tracking.metrics()["coverage"] == pytest.approx(0.8)


def test_known_areas_of_tissue_are_summed() -> None:
    tracking = Tracking(NoTracker())
    tracking.resumed([SlideRow("a", "done", tissue_mm2=area) for area in (1.5, None, 0.25)])
    assert tracking.metrics()["tissue_mm2"] == 1.75


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, "finished"), (3, "failed"), (4, "failed"), (None, "failed"), (130, "killed"),
     (143, "killed")],
)  # fmt: skip
def test_the_status_states_how_a_run_ended(code: int | None, status: str) -> None:
    assert status_of(code) == status


# --- parameters


def test_parameters_are_flat_and_without_lists_of_slides() -> None:
    plain = {
        "slides": {"_target_": "tiler.slides.find_slides", "paths": ["secret/a.svs", "b.svs"]},
        "mask": {"hue": [0, 180], "close": None},
        "exporter": {"images": {"passthrough": False}, "csv": {}},
        "threshold": 0.5,
        "name": "demo",
    }
    assert parameters(plain) == {
        "slides._target_": "tiler.slides.find_slides",
        "slides.paths": "2 entries",
        "mask.hue": "[0, 180]",
        "mask.close": "null",
        "exporter.images.passthrough": "false",
        "exporter.csv": "{}",
        "threshold": "0.5",
        "name": "demo",
    }


def test_a_sweep_is_described_by_what_is_swept() -> None:
    plain = {"mask": {"_target_": "x", "mpp": 8}, "masked": 1, "tile": {"size": 5, "unit": "um"}}
    assert parameters(plain, {"mask": "otsu,hsv", "tile.size": "1,2"}) == {
        "mask": "otsu,hsv",
        "masked": "1",
        "tile.size": "1,2",
        "tile.unit": "um",
    }


@given(st.text(st.characters(), max_size=40), st.integers(0, 300))
def test_long_values_are_cut_with_a_note(text: str, times: int) -> None:
    value = text * times
    fit = fitting(value)
    assert len(fit) <= 6000
    fit.encode()
    if len(value) <= 500:  # each character may take ten to spell
        assert "cut" not in fit or "cut" in value
    if len(value) > 6000:
        assert "run.json has them all" in fit
    assert re.fullmatch(r"[A-Za-z0-9_.\-/: ]{0,250}", fitting_key(value))


# --- failures


@pytest.mark.parametrize(
    ("failing", "heard"),
    [
        ((), ["start", "step", "step", "end"]),
        (("start",), ["start"]),
        (("step",), ["start", "step", "end"]),
        (("end",), ["start", "step", "step", "end"]),
        (("step", "end"), ["start", "step", "end"]),
    ],
)
def test_a_failure_is_reported_once_in_one_line(
    failing: tuple[str, ...], heard: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(*failing)
    guarded = Guarded(listener)
    assert guarded.start("run", {}, None) == ("" if "start" in failing else "an-id")
    guarded.step(1, {})
    guarded.step(2, {})
    guarded.end("finished", {}, {})
    assert [what[0] for what in listener.told] == heard
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (1 if failing else 0)
    for line in said:
        assert f"OSError: {failing[0]} failed (ValueError: the cause) (test_tracking.py:" in line
        assert "\n" not in line


@pytest.mark.slow
def test_a_run_survives_an_invalid_database(tmp_path: Path) -> None:
    picture(tmp_path)
    assert tiler(*COMMON, "out=good", cwd=tmp_path).returncode == 0
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/mlflow.db").write_text("not a database " * 1000)
    result = tiler(*COMMON, "out=bad", "tracker=mlflow", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "tracker" in line]
    assert len(said) == 1
    assert "file is not a database" in said[0]
    assert "Traceback" not in result.stderr
    assert outputs(tmp_path / "bad") == outputs(tmp_path / "good")


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_a_missing_extra_is_named_before_any_work(tmp_path: Path, sweep: tuple[str, ...]) -> None:
    picture(tmp_path)
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sitecustomize.py").write_text("import sys; sys.modules['mlflow'] = None")
    path = f"{tmp_path / 'without'}:{TESTS.parent}"
    result = fresh_tiler(
        *sweep, *COMMON, "tracker=mlflow", "out=out", cwd=tmp_path, env={"PYTHONPATH": path}
    )
    assert result.returncode == 2
    assert "pip install 'tiler[mlflow]'" in complaint(result)
    assert not (tmp_path / "out").exists()


# --- the command


@pytest.mark.slow
def test_another_tracker_redoes_nothing(tmp_path: Path) -> None:
    picture(tmp_path)
    assert tiler(*COMMON, "out=out", cwd=tmp_path).returncode == 0
    before = outputs(tmp_path / "out")
    assert any(name.endswith("record.json") for name in before)
    for tracker in (["tracker=jsonl"], ["tracker=jsonl", "tracker.path=elsewhere/t.jsonl"]):
        result = tiler(*COMMON, "out=out", *tracker, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "1 of 1 slides are done already" in result.stderr
        assert "redone" not in result.stderr
    assert outputs(tmp_path / "out") == before
    lines = lines_of(tmp_path / "elsewhere/t.jsonl")
    assert [line["event"] for line in lines] == ["start", "end"]
    assert lines[1]["metrics"]["tiles"] == TILES
    assert lines[1]["metrics"]["tiles_per_s"] == 0


@pytest.fixture(scope="module")
def in_mlflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run that is in MLflow, and what it printed. MLflow needs 3 s for a file."""
    folder = tmp_path_factory.mktemp("mlflow")
    picture(folder)
    (folder / "bad.png").write_bytes(b"no picture")
    result = tiler(
        *COMMON, "slides.paths=[pic.png,bad.png]", "exporter=[csv,overview]", "tracker=mlflow",
        "name='my run'", "out='o u%t'", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    return folder / "o u%t", result.stderr


@pytest.mark.slow
def test_a_run_in_mlflow(in_mlflow: tuple[Path, str], tmp_path: Path) -> None:
    out, stderr = in_mlflow
    said = [re.sub(r"^[\d:]{8} ", "", line)[:16] for line in stderr.splitlines()]
    end = "INFO masks: 1 ma", "INFO 2 slides: 1"
    assert said in (  # no line of MLflow, and no line of tiler is missing
        [*("INFO 2 slides", "ERROR [1/2] bad ", "INFO [2/2] pic d"), *end],
        [*("INFO 2 slides", "INFO [1/2] pic d", "ERROR [2/2] bad "), *end],
    )
    client = mlflow_client(out / "mlflow.db")
    (run,) = mlflow_runs(client, "my run")
    assert run.info.run_name == "my run"
    assert run.info.status == "FAILED"
    config = json.loads((out / "run.json").read_text())["config"]
    assert run.data.params == parameters(config)
    assert run.data.params["slides.paths"] == "2 entries"
    assert run.data.metrics["slides"] == 2
    assert run.data.metrics["failures"] == 1
    assert run.data.metrics["coverage"] == 1
    rows = read_csv(out / "slides.csv")
    assert run.data.metrics["tiles"] == TILES == sum(int(row["kept"]) for row in rows)
    history = client.get_metric_history(run.info.run_id, "slides")
    assert {(point.step, point.value) for point in history} == {(1, 1), (2, 2)}
    picture_name = "slides/pic/pic_overview.jpg"
    assert files_of(client, run.info.run_id) == {"run.json", "slides.csv", picture_name}
    copy = client.download_artifacts(run.info.run_id, picture_name, str(tmp_path))
    assert Path(copy).read_bytes() == (out / picture_name).read_bytes()
    assert (out / "mlflow-artifacts").is_dir()


@pytest.mark.slow
def test_mlflow_takes_many_and_long_parameters(in_mlflow: tuple[Path, str]) -> None:
    database = in_mlflow[0] / "mlflow.db"
    tracker = MlflowTracker(f"sqlite:///{database}", "limits")
    given = {f"key.{n}@x": str(n) for n in range(250)} | {"long": "a" * 7000, "empty": ""}
    run_id = tracker.start("many", given, None)
    tracker.end("killed", {}, {})
    run = mlflow_client(database).get_run(run_id)
    assert len(run.data.params) == 252
    assert run.data.params["key.249_x"] == "249"
    assert run.data.params["long"].startswith("a" * 5000)
    assert "cut, 7000 characters" in run.data.params["long"]
    assert run.info.status == "KILLED"


def test_jobs_of_a_sweep_are_children_in_one_file(tmp_path: Path) -> None:
    picture(tmp_path)
    result = tiler("-m", *COMMON, "tile.size=16,4.5,32", "tracker=jsonl", "out=sweep", cwd=tmp_path)
    assert result.returncode == 2
    lines = lines_of(tmp_path / "sweep/tracking.jsonl")
    starts = {line["run"]: line for line in lines if line["event"] == "start"}
    ends = {line["run"]: line for line in lines if line["event"] == "end"}
    parent, *children = starts.values()
    assert parent["parent"] is None
    assert parent["parameters"]["tile.size"] == "16,4.5,32"
    assert [child["name"] for child in children] == ["tile.size=16", "tile.size=32"]
    assert {child["parent"] for child in children} == {parent["run"]}
    assert {ends[child["run"]]["status"] for child in children} == {"finished"}
    assert lines[-1] == ends[parent["run"]]
    assert lines[-1]["status"] == "failed"
    assert lines[-1]["metrics"] == {"jobs": 3, "failures": 1, "slides": 2, "tiles": TILES + 6}
    assert lines[-1]["files"] == ["sweep.csv", "sweep.json", "sweep.png"]


@pytest.mark.parametrize("key", ["tracker=none,jsonl", "report=none,html", "name=a,b", "out=a,b"])
def test_shared_keys_cannot_be_swept(tmp_path: Path, key: str) -> None:
    picture(tmp_path)
    result = tiler("-m", *COMMON, "hydra.sweep.dir=out", key, cwd=tmp_path)
    assert result.returncode == 2
    assert f"{key.split('=')[0]} cannot be swept" in complaint(result)
    assert [path.name for path in tmp_path.iterdir()] == ["pic.png"]


@pytest.mark.slow
def test_lines_of_many_processes_stay_whole(tmp_path: Path) -> None:
    code = (
        "from tiler.trackers import JsonlTracker\n"
        f"t = JsonlTracker({str(tmp_path / 't.jsonl')!r})\n"
        "t.start('run', {'long': 'x' * 20000}, None)\n"
        "for n in range(25): t.step(n, {'value': n})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    lines = lines_of(tmp_path / "t.jsonl")
    assert len(lines) == 4 * 26
    for run in {line["run"] for line in lines}:
        steps = [line["step"] for line in lines if line["run"] == run and "step" in line]
        assert steps == list(range(25))


@pytest.mark.slow
def test_mlflow_is_loaded_only_when_used(tmp_path: Path) -> None:
    picture(tmp_path)
    code = (
        "import sys; from tiler.cli import run_command; assert run_command(0.0) == 0;"
        "print([m for m in ('mlflow', 'sqlalchemy', 'submitit') if m in sys.modules])"
    )
    arguments = [*COMMON, "out=out", "tracker=jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    text = (DOCS / "tracking.md").read_text()
    for mark in ("ourlab/tracker.py", "configs/tracker/text.yaml"):
        block = re.search(rf"```\w+\n# {re.escape(mark)}\n(.*?)```", text, re.S)
        assert block, f"no {mark} in the page"
        (tmp_path / mark).parent.mkdir(parents=True)
        (tmp_path / mark).write_text(block.group(1))
    command = re.search(r"^PYTHONPATH=\. (TILER_TARGETS=\w+) tiler (--config-dir .*)$", text, re.M)
    assert command
    picture(tmp_path)
    variable, _, package = command.group(1).partition("=")
    env = {variable: package, "PYTHONPATH": os.pathsep.join([".", str(TESTS.parent)])}
    result = tiler(*command.group(2).split(), *COMMON, "out=out", cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out/log.txt").read_text().splitlines() == [
        "demo begins, child of None, threshold 0.5",
        f"demo 1 slides, {TILES} tiles",
        "demo finished with run.json, slides.csv",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".bashrc", "#!/bin/sh\n"),
        ("new.py", None),
        ("settings.json", '{"a": 1}'),
        ("lines.jsonl", "{ true\n}\n"),
        ("more.jsonl", '{"a": 1}\ntrue\n'),
    ],
)
def test_lines_are_added_to_no_other_kind_of_file(
    tmp_path: Path, name: str, text: str | None
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    words = [*COMMON, "tracker=jsonl", f"tracker.path={name}", "name='$(touch pwned)'", "out=out"]
    picture(tmp_path)
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert f"tracker.path={name} is not a file of JSON lines" in complaint(done)
    assert ((tmp_path / name).read_text() if text else None) == text


@pytest.mark.parametrize("text", ["", '{"a": 1}\n', '{"a": 1}\n{"b": 2}\n{"cut sho'])
def test_lines_are_added_to_a_file_of_json_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    from tiler.trackers import JsonlTracker

    JsonlTracker(tmp_path / "t.jsonl").start("a", {}, None)
    added = (tmp_path / "t.jsonl").read_text()
    assert added.startswith(text)
    assert len(added) > len(text)
