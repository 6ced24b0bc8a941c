"""Sweeps whose jobs run in their own processes: table and tracker contain all of them.

``TILER_SWEEP_REPEATS=10 python -m pytest tests/test_launchers.py`` runs the parallel sweep ten
times, each on a fresh database.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from command import Started, complaint, fresh_tiler, read_csv, tiler
from tracked import COMMON, TILES, files_of, mlflow_client, mlflow_runs, picture

from tiler.config.sweeps import submitit_jobs
from tiler.config.sweeps.submitit_jobs import launch_error
from tiler.runner.signals import Interrupted, interruptible, pass_on

TESTS = Path(__file__).parent
REPEATS = int(os.environ.get("TILER_SWEEP_REPEATS", "1"))
KEPT = {"16": TILES, "32": 6}
"""Tiles by their size."""


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(REPEATS))
def test_a_parallel_sweep_is_complete_in_mlflow(tmp_path: Path, repeat: int) -> None:
    picture(tmp_path)
    result = tiler(
        "-m", *COMMON, "tile.size=16,32", "threshold=0.25", "tracker=mlflow",
        "hydra/launcher=submitit_local", "out=sweep", cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "tracker" not in result.stderr
    assert "2 jobs" in result.stderr
    assert not list(tmp_path.rglob("*%*"))
    rows = read_csv(tmp_path / "sweep/sweep.csv")
    assert Counter((row["tile.size"], row["status"]) for row in rows) == {
        (size, "done"): 1 for size in KEPT
    }

    client = mlflow_client(tmp_path / "sweep/mlflow.db")
    runs = mlflow_runs(client)
    assert len(runs) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.params["tile.size"] == "16,32"
    assert parent.data.metrics == {
        "jobs": 2, "failures": 0, "slides": 2, "tiles": sum(KEPT.values()),
    }  # fmt: skip
    assert "sweep.csv" in files_of(client, parent.info.run_id)

    settings = {(run.data.params["tile.size"], run.data.params["threshold"]) for run in children}
    assert settings == {(size, "0.25") for size in KEPT}
    assert {run.info.run_name for run in children} == {row["job"] for row in rows}
    for run in children:
        metrics = run.data.metrics
        assert metrics["tiles"] == KEPT[run.data.params["tile.size"]]
        assert (metrics["slides"], metrics["failures"]) == (1, 0)
        assert metrics["tiles_per_s"] == pytest.approx(metrics["tiles"] / metrics["seconds"])
        (step,) = {point.step for point in client.get_metric_history(run.info.run_id, "tiles")}
        assert step == 1
        assert files_of(client, run.info.run_id) == {"run.json", "slides.csv"}


@pytest.mark.slow
def test_a_job_that_dies_is_reported_and_the_others_finish(tmp_path: Path) -> None:
    picture(tmp_path)
    env = {"TILER_TARGETS": "faulty", "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    result = tiler(
        "-m", *COMMON, "tracker=jsonl", "hydra/launcher=submitit_local", "out=sweep",
        "slides._target_=tiler.slides.find_slides,faulty.deadly_slides", cwd=tmp_path, env=env,
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("E_WORKER")]
    assert ".submitit" in line
    done, lost = read_csv(tmp_path / "sweep/sweep.csv")
    assert (done["status"], lost["status"]) == ("done", "failed")
    assert done["slides._target_"] == "tiler.slides.find_slides"
    assert lost["reason"] == "job 1 (slides._target_=faulty.deadly_slides) left no record"
    assert (tmp_path / "sweep/tracking.jsonl").read_text().count('"status": "failed"') == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="signals of POSIX systems")
@pytest.mark.parametrize(
    ("engine", "signals"),
    [("serial", ["SIGUSR2"]), ("processes", ["SIGTERM", "SIGUSR2"])],
)
def test_a_job_that_its_launcher_queues_again_resumes(
    tmp_path: Path, engine: str, signals: list[str]
) -> None:
    """submitit sends SIGUSR2 to a preempted job, and starts it again."""
    for name in ("a", "slow"):
        picture(tmp_path, f"{name}.png")
    words = [
        "-m", *COMMON, "slides.paths=[a.png,slow.png]",
        "exporter=[csv,images]", f"engine={engine}", "reader._target_=faulty.SlowImageReader",
        "reader=image", "hydra/launcher=submitit_local", "out=sweep",
    ]  # fmt: skip
    env = {"TILER_TARGETS": "faulty", "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    sweep = Started(*words, cwd=tmp_path, env=env)
    begun = first(tmp_path / "sweep/job", ".partial/slow.*/slide/tiles/*")
    wait_for("[1/2] a done", tmp_path / "sweep/.submitit")
    job = int(begun.parents[2].name.split(".")[-2])  # work folders are named after the process
    for name in signals:
        os.kill(job, getattr(signal, name))
    code, said = sweep.end(timeout=120)
    assert code == 0, said
    log = logged(tmp_path / "sweep/.submitit")
    assert "interrupted; 1 done, 1 pending" in log
    assert "1 of 2 slides are done already" in log
    assert "Traceback" not in log
    assert {row["status"] for row in read_csv(tmp_path / "sweep/sweep.csv")} == {"done"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="signals of POSIX systems")
@pytest.mark.parametrize(
    ("number", "code", "status"), [("SIGUSR2", 0, "done"), ("SIGTERM", 143, "interrupted")]
)
def test_a_job_that_is_preempted_while_it_starts_is_queued_again(
    tmp_path: Path, number: str, code: int, status: str
) -> None:
    """Submitit queues a job again after its signal; it ignores SIGTERM."""
    picture(tmp_path)
    env = {"TILER_TARGETS": "faulty", "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
           "PREEMPTED": str(tmp_path / "preempted"), "PREEMPTED_BY": number}  # fmt: skip
    result = tiler(
        "-m", *COMMON, "slides._target_=faulty.preempted_slides", "hydra/launcher=submitit_local",
        "out=sweep", cwd=tmp_path, env=env,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    log = logged(tmp_path / "sweep/.submitit")
    assert "interrupted; 0 done, 1 pending" in log
    assert "sys.exit" not in log
    assert "Traceback" not in log
    assert {row["status"] for row in read_csv(tmp_path / "sweep/sweep.csv")} == {status}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="signals of POSIX systems")
@pytest.mark.parametrize(
    ("requeue", "leaves"), [("kill -TERM $$", True), ("exit 1", False), ("exit 0", False)]
)
def test_a_job_leaves_no_result_when_its_end_also_ends_its_requeue(
    requeue: str, leaves: bool
) -> None:
    """Slurm ends all processes of a job that asks to be queued again, ``scontrol`` included."""

    def queue_again(number: int, frame: object) -> None:
        subprocess.check_call(["sh", "-c", requeue])

    before = signal.signal(signal.SIGUSR2, queue_again)
    try:
        with pytest.raises(Interrupted), interruptible():
            signal.raise_signal(signal.SIGUSR2)
        with pytest.raises(SystemExit) if leaves else nullcontext():
            assert pass_on()
        assert not pass_on()
    finally:
        signal.signal(signal.SIGUSR2, before)


def logged(folder: Path) -> str:
    """Return the logs of a sweep's jobs."""
    return "".join(path.read_text() for path in folder.glob("*_log.err"))


def wait_for(text: str, folder: Path) -> None:
    """Wait until a job has written a text to its log."""
    deadline = time.monotonic() + 60
    while text not in logged(folder):
        assert time.monotonic() < deadline, f"no {text!r} in {logged(folder)}"
        time.sleep(0.02)


def first(folder: Path, pattern: str) -> Path:
    """Wait for the first file in a folder, and return it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := next(folder.glob(pattern), None):
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in {folder}")


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_joblib_is_refused_over_a_pool(tmp_path: Path, engine: str) -> None:
    picture(tmp_path)
    result = tiler(
        "-m", *COMMON, "tile.size=16,32", "hydra/launcher=joblib", f"engine={engine}", "out=sweep",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    line = complaint(result)
    for word in ("joblib", "pool of workers", "engine=serial", "submitit_local"):
        assert word in line
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_joblib_runs_jobs_without_workers_and_refuses_those_with_a_pool(tmp_path: Path) -> None:
    picture(tmp_path)
    result = tiler(
        "-m", *COMMON, "engine=serial,processes", "tile.size=16,32", "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2", "out=sweep", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    rows = {
        (row["engine"], row["tile.size"]): row for row in read_csv(tmp_path / "sweep/sweep.csv")
    }
    assert len(rows) == 4
    for size, kept in KEPT.items():
        assert rows["serial", size]["status"] == "done"
        assert int(rows["serial", size]["kept"]) == kept
        assert "pool of workers" in rows["processes", size]["reason"]


def test_missing_slurm_is_reported_in_one_line(tmp_path: Path) -> None:
    picture(tmp_path)
    result = tiler(
        "-m", *COMMON, "tile.size=16,32", "hydra/launcher=submitit_slurm", "out=sweep",
        cwd=tmp_path, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 2
    assert "no srun" in complaint(result)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (["timeout_min=3"], "no srun"),
        (["timeout_min=2"], "hydra.launcher.timeout_min=2: "),
        (["timeout_min=1", "signal_delay_s=59"], "no srun"),
        (["timeout_min=10", "signal_delay_s=601"], "hydra.launcher.signal_delay_s=601"),
    ],
)
def test_slurm_jobs_that_would_be_ended_as_they_start_are_refused(
    tmp_path: Path, limits: list[str], said: str
) -> None:
    """Submitit asks Slurm for a signal some seconds before the end of a job, 120 by default."""
    picture(tmp_path)
    result = tiler(
        "-m", *COMMON, "tile.size=16,32", "hydra/launcher=submitit_slurm", "out=sweep",
        *(f"hydra.launcher.{limit}" for limit in limits), cwd=tmp_path, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 2
    assert said in complaint(result)
    assert not (tmp_path / "sweep").exists()


def test_a_missing_launcher_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['hydra_plugins.hydra_submitit_launcher'] = None\n"
        "sys.modules['hydra_plugins.hydra_submitit_launcher.config'] = None\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{TESTS.parent}"}
    words = ["-m", "threshold=0.1,0.2", "hydra/launcher=submitit_local", "out=sweep"]
    result = fresh_tiler(*words, cwd=tmp_path, env=env)
    assert result.returncode == 2
    assert "pip install 'tiler[submitit]'" in result.stderr.splitlines()[-1]


def test_a_slurm_job_that_left_the_queue_without_a_result_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Submitit waits for ever if Slurm keeps no accounting; a late result still counts."""
    submitit = pytest.importorskip("submitit", reason="tiler[submitit] is not installed")
    monkeypatch.setattr(submitit_jobs, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(submitit_jobs, "ended", lambda jobs: set(jobs) - {"7_2"})
    submit(tmp_path, "5", "threshold=0.9")  # of an earlier sweep
    jobs = submitit_jobs.SlurmJobs(str(tmp_path / "%j"), ["threshold"])
    for number, name in enumerate(("7_0", "7_1", "7_2")):
        submit(tmp_path, name, f"threshold=0.{number}")
    late = tmp_path / "7_1/7_1_0_result.pkl"
    late.write_bytes(pickle.dumps(("success", 1)))
    dead = tmp_path / "7_0/7_0_0_result.pkl"
    first(tmp_path, "7_0/*_result.pkl")
    time.sleep(0.5)
    assert set(jobs._pending()) == {"7_2"}
    assert pickle.loads(late.read_bytes()) == ("success", 1)
    assert not (tmp_path / "5/5_0_result.pkl").exists()
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("E_WORKER: ", "job 7_0", "(threshold=0.0)", "7_0_0_log.err"):
        assert word in line
    assert pickle.loads(dead.read_bytes()) == ("error", line)
    with pytest.raises(submitit.core.utils.FailedJobError) as caught:
        submitit.Job(str(tmp_path / "%j"), "7_0").result()
    assert submitit_jobs.launch_error(caught.value) is None  # already reported


def submit(folder: Path, job: str, override: str) -> None:
    """Write the files that submitit writes for a submitted job."""
    from submitit.core.utils import DelayedSubmission

    (folder / job).mkdir()
    DelayedSubmission(print, [override, "out=sweep"]).dump(folder / f"{job}/{job}_submitted.pkl")


def test_other_errors_of_launchers_are_reported_in_one_line() -> None:
    trace = 'Traceback:\n  File "a.py"\nValueError: 7 is odd'
    fence = "-" * 22
    text = f"Job (task=0) failed during processing with trace:\n{fence}\n{trace}\n{fence}\nYou can"
    failed = type("FailedJobError", (Exception,), {})(f"{text} look:\n  - a.err\n  - a.out")
    assert "died, others may still run: ValueError: 7 is odd; " in str(launch_error(failed))
    refused = Exception("sbatch: error: no such queue\nsbatch: error: Batch job submission failed")
    assert str(launch_error(refused)).endswith("no such queue Batch job submission failed")
    assert launch_error(refused).exit_code == 2
