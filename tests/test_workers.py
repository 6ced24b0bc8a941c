"""Workers that die, hang or are stopped, and engines that write the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import faulty
import numpy as np
import pytest
import tifffile
from command import Started, alive, complaint, fresh_tiler, patience, read_csv, tiler

from tiler import Magnification, TileExtractor, TileSpec, open_slide
from tiler.errors import (
    DestinationError,
    EnvironmentRefusedError,
    OpenError,
    SlideError,
    WorkerError,
)
from tiler.exporters import ImagesExporter
from tiler.protocols import Exported
from tiler.runner.engines import DaskEngine, ProcessEngine, dask_engine, processes, spawning
from tiler.runner.engines.dask_watch import Watch
from tiler.runner.engines.dask_worker import Home, attempt_at_home, code_of_job
from tiler.runner.signals import Interrupted, interruptible
from tiler.runner.store.versions import versions
from tiler.runner.work import finish as finishing
from tiler.runner.work.finish import FinishTask
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import PlanTask, TilesTask
from tiler.runner.work.worker_state import WorkerState
from tiler.written import WrittenFile

HERE = Path(__file__).parent
FAULTY = {
    "TILER_TARGETS": "faulty",
    "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
}
AT_ONCE = {"DAWDLE_S": "0"}
"""Makes slow slides as fast as others."""
COMMON = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=40", "mask=none",
          "exporter=[csv,images]", "reader=openslide", "out=out"]  # fmt: skip
READER = "reader._target_=faulty.FaultyReader"
"""Goes with ``reader=openslide``, whose keys it takes."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Path:
    (tmp_path / "in").mkdir()
    shutil.copy(shared_slides / "boxes.tiff", tmp_path / "small.svs")  # 300 × 250, tiled quickly
    shutil.copy(shared_slides / "CMU-1-Small-Region.svs", tmp_path / "large.svs")
    return tmp_path


def slides(folder: Path, *names: str) -> None:
    """Add slides: small ones, or large ones if one of them has to be slow."""
    content = "large.svs" if any("slow" in name for name in names) else "small.svs"
    for name in names:
        os.link(folder / content, folder / f"in/{name}.svs")


def outputs(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in (out / "slides").rglob("*")
        if path.is_file()
    }


def statuses(folder: Path) -> dict[str, tuple[str, str]]:
    rows = read_csv(folder / "out/slides.csv")
    return {row["slide_id"]: (row["status"], row["reason"]) for row in rows}


def wait_for(path: Path) -> None:
    """Wait for a file."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


@pytest.mark.slow
def test_engines_write_the_same_bytes(folder: Path) -> None:
    slides(folder, "a", "b", "c")
    trees = []
    for engine in (["engine=serial"], ["engine=processes", "engine.workers=1"],
                   ["engine=processes", "engine.workers=3"]):  # fmt: skip
        result = tiler(*COMMON, *engine, cwd=folder)
        assert result.returncode == 0, result.stderr
        trees.append(outputs(folder / "out"))
        shutil.rmtree(folder / "out")
    assert trees[0] == trees[1] == trees[2]
    assert len(trees[0]) > 100


@pytest.mark.slow
def test_a_dead_worker_fails_only_its_slide(folder: Path) -> None:
    slides(folder, "a", "killed", "b", "aborts", "c")
    result = tiler(*COMMON, READER, "engine=processes", "engine.workers=2", cwd=folder, env=FAULTY)
    assert result.returncode == 3
    found = statuses(folder)
    assert {name: status for name, (status, _) in found.items()} == {
        "a": "done", "b": "done", "c": "done", "killed": "failed", "aborts": "failed",
    }  # fmt: skip
    assert "signal 9" in found["killed"][1]
    assert "signal 6" in found["aborts"][1]
    assert result.stderr.count("tried once more") == 2
    assert "BrokenProcessPool" not in result.stderr
    assert {p.name for p in (folder / "out/slides").iterdir()} == {"a", "b", "c"}
    assert not (folder / "out/.partial").exists()


@pytest.mark.slow
def test_a_single_death_of_a_worker_fails_no_slide(folder: Path) -> None:
    slides(folder, "a", "b")
    result = tiler(
        *COMMON, "reader._target_=faulty.DiesOnceReader", "engine=processes",
        "engine.workers=1", cwd=folder,
        env={**FAULTY, "DIED_ALREADY": str(folder / "mark")},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "tried once more" in result.stderr
    assert {status for status, _ in statuses(folder).values()} == {"done"}


def test_a_worker_that_hangs_is_killed(folder: Path) -> None:
    """The other slides are done earlier, so that a slow machine cannot delay them."""
    slides(folder, "a", "b")
    common = [*COMMON, READER]
    assert tiler(*common, cwd=folder, env=FAULTY).returncode == 0
    slides(folder, "hangs")
    processes = ["engine=processes", "engine.workers=1", "engine.timeout=0.5"]
    result = tiler(*common, *processes, cwd=folder, env=FAULTY)
    assert result.returncode == 3
    found = statuses(folder)
    assert found["a"][0] == found["b"][0] == "done"
    assert "no progress for 0.5 s" in found["hangs"][1]


@pytest.mark.slow
def test_other_workers_continue_while_one_hangs_and_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's clock stands still until the test moves it: no result depends on the load."""
    now = [0.0]
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now[0]))
    good = PlanTask(small_job(tmp_path))
    hanging = PlanTask(replace(good.job, path=tmp_path / "h.tiff", open_reader=faulty.hang))
    shutil.copy(good.job.path, hanging.job.path)
    with ProcessEngine(2, timeout=0.5) as engine:
        engine.submit(hanging)
        engine.submit(good)
        task, result = engine.next()
        assert task.job.path == good.job.path
        assert not isinstance(result, Exception), result
        wait_for(tmp_path / "h.began")
        now[0] = 0.5
        task, result = engine.next()
        assert task.job.path == hanging.job.path
        assert isinstance(result, WorkerError)
        assert "no progress for 0.5 s" in str(result)
        engine.submit(good)
        assert not isinstance(engine.next()[1], Exception)


@pytest.mark.slow
def test_a_dask_worker_that_is_stopped_is_killed(folder: Path) -> None:
    pytest.importorskip("distributed", reason="tiler[dask] is not installed")
    slides(folder, "a")
    common = [*COMMON, READER]
    assert tiler(*common, cwd=folder, env=FAULTY).returncode == 0  # at any load
    slides(folder, "stopped")
    dask = ["engine=dask", "engine.workers=1", "engine.timeout=0.5"]
    result = tiler(*common, *dask, cwd=folder, env=FAULTY)
    assert result.returncode == 3, result.stderr
    found = statuses(folder)
    assert found["a"][0] == "done"
    assert "E_WORKER slide=stopped: no progress for 0.5 s" in found["stopped"][1]
    assert result.stderr.count("tried once more") == 1
    deadline = time.monotonic() + 10
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(folder) == []


def test_a_worker_that_progresses_or_works_for_other_runs_does_not_hang() -> None:
    watch, own = Watch(timeout=10), {"a", "b", "c"}
    assert watch.hung({"w": ("a", "b"), "v": (), "u": ("x", "c")}, own, 0) is None
    assert watch.hung({"w": ("b",), "v": (), "u": ("x", "c")}, own, 9) is None  # a has ended
    assert watch.hung({"w": ("b", "a"), "v": (), "u": ("x", "c")}, own, 18) is None
    assert watch.hung({"w": ("b", "a"), "v": (), "u": ("x", "c")}, own, 19) == "w"
    assert watch.hung({"w": ("b", "a"), "v": ("c",), "u": ("x",)}, own, 20) is None


@pytest.mark.parametrize(
    ("raised", "said"), [(ValueError, "no nanny that could kill it"), (KeyError, "was killed")]
)
def test_a_hanging_dask_worker_that_cannot_be_restarted_fails_its_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[Exception], said: str
) -> None:
    pytest.importorskip("distributed", reason="tiler[dask] is not installed")

    def restart_workers(*args: object, **more: object) -> None:
        raise raised

    now = [0.0]
    monkeypatch.setattr(dask_engine, "time", SimpleNamespace(monotonic=lambda: now[0]))
    engine, task = DaskEngine(workers=1, timeout=10), PlanTask(small_job(tmp_path))
    engine._client = SimpleNamespace(
        processing=lambda: {"w": ("later", "key")}, restart_workers=restart_workers
    )
    engine._tasks = {"key": task, "later": task}
    engine._futures = dict.fromkeys(engine._tasks, SimpleNamespace(cancel=lambda: None))
    assert engine._hung() is None
    now[0] = 10
    given_up, error = engine._hung()
    assert given_up is task
    assert isinstance(error, WorkerError)
    assert said in str(error)
    assert set(engine._futures) == {"later"}, "what it would have done next goes elsewhere"


def test_hints_that_only_type_checkers_resolve_are_no_mistake(folder: Path) -> None:
    slides(folder, "a")
    reader = "reader={_target_: faulty.HintsForCheckersReader, _partial_: true, mpp: 1}"
    words = [word for word in COMMON if word != "reader=openslide"]
    result = tiler(*words, "~reader", f"+{reader}", cwd=folder, env=FAULTY)
    assert result.returncode == 0, result.stderr


def _swept_by(folder: Path, out: str, *words: str) -> dict[str, set[str]]:
    """Return the processes that worked on a sweep of two jobs, by their variable OTHER."""
    done = tiler(
        "-m", *COMMON, "reader._target_=faulty.TellsItsProcessReader",
        "threshold=0.2,0.8", f"out={out}", *words, cwd=folder,
        env={**FAULTY, "PIDS": str(folder / out) + ".pids"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    for line in (folder / f"{out}.pids").read_text().splitlines():
        process, _, other = line.partition(" ")
        found.setdefault(other, set()).add(process)
    return found


@pytest.mark.slow
def test_jobs_of_a_sweep_share_their_workers(folder: Path) -> None:
    slides(folder, "a", "b")
    two = ["engine=processes", "engine.workers=2"]
    assert len(_swept_by(folder, "serial")[""]) == 1
    assert len(_swept_by(folder, "kept", *two)[""]) <= 2 + 1  # the command draws sweep.png
    apart = _swept_by(
        folder,
        "apart",
        two[0],
        "engine.workers=1",
        "+hydra.job.env_set.OTHER=${hydra.job.override_dirname}",
    )
    first, second = (apart[key] for key in ("threshold=0.2", "threshold=0.8"))
    assert not first & second, "workers with another environment are not used"
    trees = {out: {job.name: outputs(job) for job in (folder / out).iterdir() if job.is_dir()}
             for out in ("serial", "kept", "apart")}  # fmt: skip
    assert trees["serial"] == trees["kept"] == trees["apart"]
    assert len(trees["kept"]) == 2 + (folder / "kept/.cache").is_dir()
    assert not alive(folder)


@pytest.fixture
def no_processes() -> Iterator[None]:
    spawning._end_idle()
    yield
    spawning._end_idle()


def test_workers_are_reused_if_they_would_be_started_the_same_way(
    monkeypatch: pytest.MonkeyPatch, no_processes: None, tmp_path: Path
) -> None:
    task = PlanTask(SlideJob(tmp_path / "a", "a", open_slide, TileExtractor(
        TileSpec(40, 40, Magnification(5))), {}, {}))  # fmt: skip
    with ProcessEngine(1) as engine:
        engine.submit(task)
        assert isinstance(engine.next()[1], OpenError)
    ((_, kept),) = spawning._idle
    with ProcessEngine(1) as engine:
        assert [worker._process for worker in engine._workers] == [kept]
        engine.submit(task)
        assert isinstance(engine.next()[1], OpenError)
    monkeypatch.setenv("MADE", "otherwise")
    with ProcessEngine(1) as engine:
        assert [worker._process for worker in engine._workers] != [kept]
    assert kept.poll() is not None


@pytest.mark.slow
def test_a_refused_command_leaves_no_worker(folder: Path) -> None:
    done = fresh_tiler("engine=processes", "engine.workers=1", "threshold=high", cwd=folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert alive(folder) == []


@pytest.fixture(scope="module")
def erring(
    tmp_path_factory: pytest.TempPathFactory, shared_slides: Path
) -> Callable[[str], tuple[Path, CompletedProcess[str]]]:
    """Run an engine once over a good slide and slides that fail; return folder and command."""
    folder = tmp_path_factory.mktemp("erring")
    (folder / "in").mkdir()
    for name in ("a", "buggy", "raises", "swapped"):
        shutil.copy(shared_slides / "boxes.tiff", folder / f"in/{name}.svs")

    @cache
    def run(engine: str) -> tuple[Path, CompletedProcess[str]]:
        words = [f"engine={engine}", "engine.workers=1"] if engine == "processes" else []
        result = tiler(*COMMON, READER, *words, f"out={engine}/out", cwd=folder, env=FAULTY)
        return folder / engine, result

    return run


def test_a_slide_changed_while_it_is_read_is_discarded(erring) -> None:
    folder, _ = erring("serial")
    found = statuses(folder)
    assert found["a"][0] == "done"
    assert "changed while it was read" in found["swapped"][1]
    assert not (folder / "out/slides/swapped").exists()


def test_a_bug_fails_one_slide_and_is_reported(erring) -> None:
    folder, result = erring("serial")
    assert result.returncode == 1
    assert statuses(folder)["a"][0] == "done"
    assert statuses(folder)["buggy"][1].startswith("E_BUG slide=buggy: a bug in tiler: ")
    assert "Traceback" in result.stderr


def test_an_error_of_the_users_reader_is_no_bug_of_tiler(folder: Path) -> None:
    slides(folder, "a", "raises")
    shutil.copy(folder / "small.svs", folder / "in/swapped.svs")
    result = tiler(*COMMON, READER, cwd=folder, env=FAULTY)
    assert result.returncode == 3
    found = statuses(folder)
    assert found["a"][0] == "done"
    assert "changed while it was read" in found["swapped"][1]
    assert "E_COMPONENT slide=raises: LookupError: nobody" in found["raises"][1]
    assert "(faulty.py:" in found["raises"][1]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_errors_in_workers_are_reported_as_in_a_serial_run(erring) -> None:
    seen = []
    for engine in ("serial", "processes"):
        folder, result = erring(engine)
        assert result.returncode == 1
        rows = read_csv(folder / "out/slides.csv")
        reasons = {row["slide_id"]: row["reason"] for row in rows}
        assert "(faulty.py:" in reasons["raises"]
        assert "changed while it was read" in reasons["swapped"]
        reasons["buggy"] = reasons["buggy"].partition("TypeError")[0]  # differs with the first use
        seen.append(([row["status"] for row in rows], reasons))
        assert not (folder / "out/slides/swapped").exists()
        assert result.stderr.count("Traceback") == 1, "that of the bug"
    assert seen[0] == seen[1]
    assert seen[0][0] == ["done", "failed", "failed", "failed"]
    assert reasons["buggy"].startswith("E_BUG slide=buggy: a bug in tiler: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "number", "code"),
    [
        (["engine=serial"], signal.SIGINT, 130),
        (["engine=serial"], signal.SIGTERM, 143),
        (["engine=serial"], signal.SIGHUP, 129),
        (["engine=processes", "engine.workers=1"], signal.SIGINT, 130),
        (["engine=processes", "engine.workers=1"], signal.SIGTERM, 143),
    ],
)
def test_a_signal_ends_everything_and_a_rerun_finishes(
    folder: Path, engine: list[str], number: signal.Signals, code: int
) -> None:
    slides(folder, "a", "slow1", "slow2")
    started = Started(*COMMON, "tile.size=600", READER, *engine, cwd=folder, env=FAULTY)
    started.wait_for("[1/3] a done")
    time.sleep(0.3)
    started.send_signal(number)
    ended, said = started.end(timeout=patience(5))
    assert ended == code
    assert "re-run to resume" in said.partition("[1/3] a done")[2]
    assert alive(folder) == []
    left = {path.name.partition(".")[0] for path in (folder / "out").glob(".partial/*")}
    assert left <= {"slow1", "slow2"}  # with their finished tiles
    assert statuses(folder)["a"][0] == "done"
    assert statuses(folder)["slow2"][0] == "interrupted"
    run = json.loads((folder / "out/run.json").read_text())
    assert (run["status"], run["exit_code"]) == ("interrupted", code)

    result = tiler(*COMMON, "tile.size=600", READER, cwd=folder, env=FAULTY | AT_ONCE)
    assert result.returncode == 0, result.stderr
    assert "of 3 slides are done already" in result.stderr


@pytest.mark.slow
def test_the_tables_of_a_killed_run_are_its_own_and_have_status_running(folder: Path) -> None:
    slides(folder, "a", "slow1")
    common = [*COMMON, "tile.size=600", READER]
    assert tiler(*common, cwd=folder, env=FAULTY | AT_ONCE).returncode == 0
    started = Started(*common, "threshold=0.3", cwd=folder, env=FAULTY)
    started.wait_for("[1/2] a done")
    started.send_signal(signal.SIGKILL)
    assert started.end()[0] == -signal.SIGKILL
    run = json.loads((folder / "out/run.json").read_text())
    assert (run["status"], run["exit_code"]) == ("running", None)
    assert run["config"]["threshold"] == 0.3
    assert run["counts"]["interrupted"] == 2
    assert {status for status, _ in statuses(folder).values()} == {"interrupted"}
    same = tiler("out", "out", cwd=folder, module="tiler.compare")
    assert "A is still running or was killed" in same.stdout
    again = tiler("--rerun", "out", cwd=folder, env=FAULTY | AT_ONCE)
    assert "1 of 2 slides are done already" in again.stderr
    run = json.loads((folder / "out/run.json").read_text())
    assert (run["status"], run["exit_code"]) == ("done", 0)
    assert {status for status, _ in statuses(folder).values()} == {"done"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_between_two_workers_ends_those_that_have_started(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A signal that arrives while a process starts counts when the process is known."""
    real, started = subprocess.Popen, []

    def popen(*arguments, **options):
        started.append(real(*arguments, **options))
        if len(started) == 2:
            signal.raise_signal(number)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(Interrupted), interruptible(), ProcessEngine(workers=3):
        pass
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2


def test_ctrl_c_while_workers_start_ends_them(folder: Path) -> None:
    """Before that, ``test_start.py`` interrupts."""
    slides(folder, "slow1", "slow2", "slow3")
    words = [*COMMON, "tile.size=600", READER, "engine=processes", "engine.workers=2"]
    started = Started(*words, cwd=folder, env=FAULTY)
    deadline = time.monotonic() + 60
    while len(alive(folder)) < 2:  # the command, and its first worker before its first import
        assert time.monotonic() < deadline
        time.sleep(0.005)
    started.send_signal(signal.SIGINT)
    code, said = started.end()
    assert code == 130
    assert "0 done, 3 pending; re-run to resume" in said
    assert "Traceback" not in said
    assert alive(folder) == []


@pytest.mark.slow
def test_a_signal_ends_a_sweep_and_not_only_its_job(folder: Path) -> None:
    slides(folder, "a", "slow1")
    words = ["-m", *COMMON, "threshold=0.1,0.2", "tile.size=600", READER]
    started = Started(*words, cwd=folder, env=FAULTY)
    started.wait_for("[1/2] a done")
    time.sleep(0.3)
    started.send_signal(signal.SIGTERM)
    code, said = started.end(timeout=patience(5))
    assert code == 143
    assert "1 job; wrote " in said.partition("[1/2] a done")[2]
    assert [row["status"] for row in read_csv(folder / "out/sweep.csv")] == ["done", "interrupted"]
    assert not (folder / "out/threshold=0.2").exists()


@pytest.mark.slow
def test_a_signal_cancels_the_jobs_that_submitit_started(folder: Path) -> None:
    slides(folder, "a", "slow1")
    words = ["-m", *COMMON, "threshold=0.1,0.2", "tile.size=600", READER,
             "hydra/launcher=submitit_local"]  # fmt: skip
    sweep = Started(*words, cwd=folder, env=FAULTY)
    tables = [folder / f"out/threshold={value}/run.json" for value in (0.1, 0.2)]
    deadline = time.monotonic() + 60
    while not all(table.exists() for table in tables) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    began = time.monotonic()
    sweep.send_signal(signal.SIGHUP)
    code, said = sweep.end(timeout=30)
    assert code == 129, said
    assert time.monotonic() - began < patience(10)  # of which five for the jobs
    assert alive(folder) == []
    assert {row["status"] for row in read_csv(folder / "out/sweep.csv")} <= {"done", "interrupted"}


def test_signals_that_nohup_ignores_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(Interrupted) as stopped, interruptible():
        signal.raise_signal(signal.SIGHUP)
    assert stopped.value.exit_code == 129


def test_workers_follow_a_parent_that_was_killed(folder: Path) -> None:
    slides(folder, "hangs")
    started = Started(
        *COMMON, READER, "engine=processes", "engine.workers=2", cwd=folder, env=FAULTY
    )
    deadline = time.monotonic() + 30
    while len(alive(folder)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(alive(folder)) >= 3
    started.send_signal(signal.SIGKILL)
    started.end()
    deadline = time.monotonic() + 30
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(folder) == []


def test_a_worker_whose_parent_was_killed_prints_nothing() -> None:
    source = (
        "from tiler.runner.engines import worker\n"
        "worker._serve = lambda tasks, results: (results.write(b'x'), results.flush())\n"
        f"worker.main({os.getpid()})"
    )
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-c", source], stdout=writes, stderr=subprocess.PIPE, check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_worker_ends_if_its_parent_died_before_it_started() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    source = f"from tiler.runner.engines.worker import main; main({gone.pid})"
    worker = subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert worker.wait(timeout=60) == 1
    finally:
        worker.kill()
        worker.communicate()


def test_one_run_per_folder(folder: Path) -> None:
    slides(folder, "slow1")
    started = Started(*COMMON, "tile.size=400", READER, cwd=folder, env=FAULTY)
    deadline = time.monotonic() + 30
    while not (folder / "out/events.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    result = tiler(*COMMON, cwd=folder)
    assert result.returncode == 5
    for word in ("E_LOCKED", f"pid {started.pid}", "host", "since"):
        assert word in result.stderr
    assert started.end()[0] == 0
    assert statuses(folder)["slow1"][0] == "done"


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nowhere", "odd://nowhere"])
def test_an_unreachable_dask_address_is_named(folder: Path, address: str) -> None:
    pytest.importorskip("distributed", reason="tiler[dask] is not installed")
    slides(folder, "a")
    words = ["slides=files", "slides.paths=in", "engine=dask", f"engine.address='{address}'"]
    result = tiler(*words, "out=out", cwd=folder)
    assert result.returncode == 2, result.stderr
    assert f"engine.address={address}: no scheduler" in result.stderr


@pytest.mark.slow
def test_dask_writes_the_same_bytes_and_survives_a_lost_worker(folder: Path) -> None:
    pytest.importorskip("distributed", reason="the extra tiler[dask] is not installed")
    slides(folder, "a", "b")
    assert tiler(*COMMON, cwd=folder).returncode == 0
    expected = outputs(folder / "out")
    shutil.rmtree(folder / "out")
    result = tiler(
        *COMMON, "reader._target_=faulty.DiesOnceReader", "engine=dask", "engine.workers=2",
        cwd=folder, env={**FAULTY, "DIED_ALREADY": str(folder / "mark")},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (folder / "mark").exists()
    found = outputs(folder / "out")
    assert set(found) == set(expected)
    records = {name for name in found if name.endswith("record.json")}  # another reader's name
    assert {n: found[n] for n in found.keys() - records} == {
        n: expected[n] for n in expected.keys() - records
    }


@pytest.mark.slow
def test_dask_workers_elsewhere_find_what_the_run_names(folder: Path) -> None:
    """They have several threads, which share one working folder and one open slide."""
    distributed = pytest.importorskip("distributed", reason="tiler[dask] is not installed")
    slides(folder, "a", "b", "c")
    assert tiler(*COMMON, cwd=folder).returncode == 0
    expected = outputs(folder / "out")
    local = {"n_workers": 1, "threads_per_worker": 4, "dashboard_address": None}
    with distributed.LocalCluster(**local) as cluster:  # it works in the folder of the tests
        dask = ["engine=dask", "engine.workers=4", f"engine.address='{cluster.scheduler_address}'"]
        done = tiler(*COMMON, *dask, "out=again", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert outputs(folder / "again") == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine.slurm=yes"], "engine.slurm='yes' is invalid; use"),
        (["engine.slurm={cores: one}"], "engine.slurm.cores='one' is invalid; use a whole number"),
        (["engine.slurm={cores: 1}", "out=a b"], "engine.logs=a b/.dask: a path in a Slurm job"),
        (["engine.slurm={cores: 1}", "engine.workers=null"], "engine.workers is not set"),
        (["engine.slurm={cores: 1}", "PATH"], "there is no Slurm here (no sbatch)"),
    ],
)
def test_an_impossible_slurm_job_is_refused_in_one_line(
    tmp_path: Path, words: list[str], said: str
) -> None:
    pytest.importorskip("dask_jobqueue", reason="tiler[dask] is not installed")
    path = os.environ["PATH"]
    if "PATH" not in words:  # simulates an existing Slurm
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/sbatch").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin/sbatch").chmod(0o755)
        path = f"{tmp_path / 'bin'}{os.pathsep}{path}"
    else:
        path = str(tmp_path)
    words = [word for word in words if word != "PATH"]
    common = ["engine=dask", "engine.workers=1", "out=out"]
    result = tiler(*common, *words, cwd=tmp_path, env={"PATH": path})
    assert result.returncode == 2, result.stderr
    assert said in complaint(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"folder": Path("/not/here")}, ["folder that the run was started in", "share"]),
        (
            {"code": ["0"]},
            ["other versions than the run", "of tiler's code or your own components"],
        ),
        ({"code": ["0"], "versions": {**versions(), "numpy": "0.1"}}, ["numpy 0.1, here"]),
    ],
)
def test_a_dask_worker_with_other_versions_is_reported(
    tmp_path: Path, other: dict[str, object], words: list[str]
) -> None:
    extractor = TileExtractor(TileSpec(40, 40, Magnification(5)))
    job = SlideJob(tmp_path / "a", "a", open_slide, extractor, {}, {})
    home = Home(tmp_path, versions(), code_of_job(job))
    assert isinstance(attempt_at_home(PlanTask(job), home, {})[0], OpenError)
    refused = attempt_at_home(PlanTask(job), replace(home, **other), {})[0]
    assert isinstance(refused, EnvironmentRefusedError)
    assert all(word in str(refused) for word in words)


@pytest.mark.parametrize("changed", ["setting", "file"])
def test_a_worker_state_keeps_nothing_of_another_run(tmp_path: Path, changed: str) -> None:
    """Workers of a lasting scheduler have one, because they serve many runs."""
    path, random = tmp_path / "a.tiff", np.random.default_rng(0)
    extractor = TileExtractor(TileSpec(40, 40, Magnification(5)))
    kept, written = WorkerState(), []
    for power in (20, 10):
        if changed == "file" or not path.exists():
            path.unlink(missing_ok=True)
            pixels = random.integers(0, 256, (192, 256, 3), dtype=np.uint8)
            tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb")
        reader = partial(open_slide, magnification=20 if changed == "file" else power)
        job = SlideJob(path, "a", reader, extractor, {"images": ImagesExporter()}, {})
        planned = PlanTask(job).run(WorkerState())
        for name, state in (("kept", kept), ("fresh", WorkerState())):
            out = tmp_path / f"{name}{power}"
            TilesTask(job, ("images",), planned.plan.regions[:1], out, planned.key).run(state)
            written.append([file.read_bytes() for file in out.glob("tiles/*")])
    assert written[0] == written[1] != written[2] == written[3]


@dataclass(frozen=True)
class Liar:
    """A user's exporter that lists a file that it did not write."""

    per_tile = False

    def export(self, source, regions, mask, folder) -> Exported:
        return Exported((WrittenFile("nothing.txt", 3, "0" * 64),))


def small_job(folder: Path, **exporters: object) -> SlideJob:
    path = folder / "a.tiff"
    pixels = np.random.default_rng(0).integers(0, 256, (192, 256, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb")
    extractor = TileExtractor(TileSpec(40, 40, Magnification(5)))
    return SlideJob(path, "a", partial(open_slide, magnification=20), extractor, exporters, {})


def test_files_that_an_exporter_did_not_write_are_its_own_error(tmp_path: Path) -> None:
    job = small_job(tmp_path, liar=Liar())
    planned, parts = PlanTask(job).run(WorkerState()), tmp_path / "partial"
    with pytest.raises(SlideError, match=r"an exporter lists nothing\.txt"):
        FinishTask(job, planned, {}, (), parts, tmp_path / "final").run(WorkerState())


def test_a_slide_that_another_worker_published_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path, images=ImagesExporter())
    planned, parts, final = (
        PlanTask(job).run(WorkerState()),
        tmp_path / "partial",
        tmp_path / "final",
    )
    tiles = TilesTask(job, ("images",), planned.plan.regions, parts, planned.key).run(WorkerState())
    finish = FinishTask(job, planned, {"images": [tiles.written["images"]]}, (), parts, final)
    check = finishing._check_whole

    def overtaken(*facts: object, foreign: bool) -> None:
        monkeypatch.setattr(finishing, "_check_whole", check)
        rows.append(finish.run(WorkerState()))
        check(*facts, foreign=foreign)

    rows: list[dict[str, object]] = []
    monkeypatch.setattr(finishing, "_check_whole", overtaken)
    assert finish.run(WorkerState()) == rows[0]
    assert final.is_dir()


@pytest.mark.parametrize("fate", ["cut", "gone", "homeless"])
def test_a_file_that_changed_after_writing_is_an_error_of_the_destination(
    tmp_path: Path, fate: str
) -> None:
    job = small_job(tmp_path, images=ImagesExporter())
    planned, state, partial_folder = (
        PlanTask(job).run(WorkerState()),
        WorkerState(),
        tmp_path / "partial",
    )
    tiles = TilesTask(job, ("images",), planned.plan.regions, partial_folder, planned.key).run(
        state
    )
    written = sorted((partial_folder / "tiles").iterdir())[-1]
    final = tmp_path / "final"
    if fate == "cut":
        os.truncate(written, written.stat().st_size - 1)
    elif fate == "gone":
        written.unlink()
    else:
        final = written = tmp_path / "nowhere/final"
    finish = FinishTask(
        job, planned, {"images": [tiles.written["images"]]}, (), partial_folder, final
    )
    with pytest.raises(DestinationError, match=re.escape(written.name)) as caught:
        finish.run(state)
    assert caught.value.exit_code == 4
    assert not final.exists()
