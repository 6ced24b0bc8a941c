"""Every command of docs/cluster.md that Slurm runs, on a one-node cluster that is started here.

``python -m pytest -m slurm`` runs them, as root, on Debian; they take some minutes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from command import fresh_tiler, read_csv
from command import tiler as forked_tiler

pytestmark = pytest.mark.slurm

START = Path(__file__).resolve().parents[2] / "shared/slurm/start"
HERE = Path(__file__).parent
ENV = {"TILER_TARGETS": "faulty", "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
NAME = "CMU-1-Small-Region"
COMMON = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=400", "mask=none",
          "reader=openslide", "exporter=[csv,images]"]  # fmt: skip
SLOW = "reader._target_=faulty.FaultyReader"
"""Dawdles over slides whose names contain ``slow``, 0.2 s a tile, unless ``DAWDLE_S`` is 0."""
DASK = ["engine=dask", "engine.workers=1",
        "engine.slurm={queue: normal, cores: 1, memory: 1GB, walltime: '00:10:00'}"]  # fmt: skip


ARRAY = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=normal",
         "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1",
         "hydra.launcher.timeout_min=60"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm cluster: a running one, or one started for these tests."""
    if _slurm("sinfo").returncode == 0:
        yield
        return
    if not START.exists():
        _skip(f"there is no Slurm here, and no {START} to start one")
    if os.getuid() != 0:
        _skip("there is no Slurm here, and only root can start one")
    folder = tmp_path_factory.mktemp("slurm")
    munge = Path("/run/munge/munged.pid")
    had_munge = munge.exists()
    started = subprocess.run(["bash", START, folder], stdout=subprocess.PIPE, text=True, check=True)
    assert "idle" in started.stdout, started.stdout
    yield
    for file in [*folder.glob("*.pid"), *([] if had_munge else [munge])]:
        os.kill(int(file.read_text()), signal.SIGTERM)


def _skip(reason: str) -> NoReturn:
    """Skip with a visible reason: a user who selects these tests expects them to run."""
    warnings.warn(reason, stacklevel=2)
    pytest.skip(reason)


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Iterator[Path]:
    """An empty folder with a slide; nothing but ``out`` may appear beside it."""
    (tmp_path / "in").mkdir()
    shutil.copy(shared_slides / f"{NAME}.svs", tmp_path / "in/a.svs")
    yield tmp_path
    _slurm("scancel", "--user=root")
    until(lambda: not queue(), "the queue is empty")
    stray = {path.name for path in tmp_path.iterdir()} - {"in", "out", "serial"}
    assert not stray, f"in the working directory: {stray}"
    assert not list(tmp_path.rglob("*%*"))


def _slurm(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127)


def queue(state: str = "all") -> list[str]:
    """Return the ids of pending and running jobs."""
    shown = _slurm("squeue", "--noheader", "--array", "--format=%i %T")
    assert shown.returncode == 0, shown.stderr  # no answer is not an empty queue
    lines = [line.split() for line in shown.stdout.splitlines()]
    return [job for job, now in lines if state in ("all", now)]


def until(true: Callable[[], object], what: str, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not so after {timeout} s: {what}"
        time.sleep(0.2)


def tiler(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return fresh_tiler(*words, cwd=folder, env={**ENV, **env}, timeout=240)


def begin(folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tiler", *words]
    env = {**os.environ, **ENV, **env}
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)


def at_once(job: str) -> None:
    """Release a requeued job, which would otherwise wait for two minutes.

    Slurm does not start a job again within the second in which it ended: slurmd then rejects its
    credential ("Job credential revoked"), and the job fails without having run.
    """
    until(lambda: job in queue("PENDING"), "the job waits again")
    time.sleep(1)
    assert _slurm("scontrol", "update", f"jobid={job}", "starttime=now").returncode == 0


def until_half_done(out: Path, slow: str, *done: str) -> None:
    """Wait until some slides are done, and a slow one has tiles."""
    folders = [f"slides/{name}" for name in done] + [f".partial/{slow}.*/slide/tiles/*"]
    until(lambda: all(any(out.glob(pattern)) for pattern in folders), f"half of {out} is done")


def submit(folder: Path, *words: str, **env: str) -> str:
    """Submit the command as in the documentation; return the job's id."""
    command = " ".join(map(shlex.quote, [sys.executable, "-m", "tiler", *words]))
    (folder / "out").mkdir(exist_ok=True)
    done = subprocess.run(
        ["sbatch", "--cpus-per-task=1", "--mem=1G", "--time=00:10:00", "--parsable",
         "--output=out/driver-%j.log", "--wrap", command],
        cwd=folder, env={**os.environ, **ENV, **env}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def more(folder: Path, *names: str) -> None:
    for name in names:
        os.link(folder / "in/a.svs", folder / f"in/{name}.svs")
    (folder / "in/a.svs").unlink()


def outputs(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in (out / "slides").rglob("*")
        if path.is_file()
    }


def serial(folder: Path, *words: str) -> dict[str, bytes]:
    """The output of the same command without Slurm."""
    done = forked_tiler(
        *COMMON, *words, "out=serial", cwd=folder, env={**ENV, "DAWDLE_S": "0"}, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return outputs(folder / "serial")


def test_dask_tiles_in_slurm_jobs(folder: Path) -> None:
    done = tiler(folder, *COMMON, *DASK, "out=out")
    assert done.returncode == 0, done.stderr
    assert outputs(folder / "out") == serial(folder)
    check_logs(folder, 1)


def test_a_cancelled_dask_job_is_replaced_and_every_slide_done(folder: Path) -> None:
    more(folder, "slow1", "z2", "z3")
    run = begin(folder, *COMMON, *DASK, SLOW, "out=out")
    until_half_done(folder / "out", "slow1")
    check_listeners(run.pid)
    (job,) = queue("RUNNING")
    assert _slurm("scancel", job).returncode == 0
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 0, said
    assert outputs(folder / "out") == serial(folder, SLOW)
    check_logs(folder, 2)
    assert not queue()


def check_listeners(pid: int) -> None:
    """A run opens one port of the scheduler at one address, with TLS."""
    listening = [c.laddr for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"]
    assert listening
    outside = [address for address in listening if address.ip != "127.0.0.1"]
    assert len(outside) == 1, listening
    assert outside[0].ip not in ("0.0.0.0", "::")
    from distributed import Client

    with pytest.raises((OSError, TimeoutError)):
        Client(f"tcp://{outside[0].ip}:{outside[0].port}", timeout=5)


def test_ctrl_c_cancels_the_dask_jobs(folder: Path) -> None:
    more(folder, "slow1")
    run = begin(folder, *COMMON, *DASK, SLOW, "out=out")
    until_half_done(folder / "out", "slow1")
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130, said
    assert "Traceback" not in said
    until(lambda: not queue(), "the jobs are gone", 30)
    check_logs(folder, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "{queue: nosuch, cores: 1, memory: 1GB}",
            "Invalid partition name specified; correct the arguments of engine.slurm",
        ),
        (
            "{queue: normal, cores: 999, memory: 1GB}",
            "node configuration is not available; use fewer cores or less memory, or wait if nodes",
        ),
        ("{queue: normal, cores: 1, memory: 1GB, waltime: x}", "unexpected keyword argument"),
        ("{queue: normal, cores: 1, memory: lots}", "Could not interpret 'lots'"),
        ("{queue: normal, memory: 1GB}", "You must specify how much cores and memory"),
    ],
)
def test_a_job_that_slurm_refuses_is_reported_in_one_line(
    folder: Path, arguments: str, said: str
) -> None:
    words = [*COMMON, *DASK[:2], f"engine.slurm={arguments}", "out=out"]
    done = forked_tiler(*words, cwd=folder, env=ENV)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("E_CONFIG: engine.slurm: ")
    assert said in lines[0]
    assert not queue()


def test_a_run_continues_with_the_jobs_that_slurm_accepts(folder: Path, tmp_path_factory) -> None:
    """The user's limit of jobs in the queue is reached."""
    place = tmp_path_factory.mktemp("bin")
    sbatch = place / "sbatch"
    sbatch.write_text(
        f"""#!/bin/sh
if [ "$1" = --test-only ] || mkdir {place}/taken 2>/dev/null; then
  exec {shutil.which("sbatch")} "$@"
fi
echo "sbatch: error: no more" >&2
exit 1
"""
    )
    sbatch.chmod(0o755)
    env = {**ENV, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}
    words = [*COMMON, *DASK, "engine.workers=2", "out=out"]
    done = fresh_tiler(*words, cwd=folder, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "WARNING Slurm refused a job: no more\n" in done.stderr
    assert "Traceback" not in done.stderr
    check_logs(folder, 1)


def check_logs(folder: Path, jobs: int) -> None:
    """The output of a run's jobs is below ``out``, and no key of its connections remains."""
    logs = [path.name for path in (folder / "out/.dask").iterdir()]
    assert all(re.fullmatch(r"dask-worker-\d+\.(out|err)", name) for name in logs)
    assert len({name.rpartition(".")[0] for name in logs}) == jobs


def test_jobs_that_start_no_worker_end_the_run(folder: Path) -> None:
    slurm = "engine.slurm={queue: normal, cores: 1, memory: 1GB, python: /not/here}"
    done = tiler(folder, *COMMON, *DASK[:2], "engine.timeout=8", slurm, "out=out")
    assert done.returncode == 6, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("E_ENV")]
    assert "out/.dask" in line
    logs = "".join(path.read_text() for path in (folder / "out/.dask").glob("*.err"))
    assert "/not/here" in logs


def test_a_driver_in_its_own_job_has_dask_jobs(folder: Path) -> None:
    job = submit(folder, *COMMON, *DASK, "out=out")
    until(lambda: (folder / "out/run.json").exists(), "the run has ended", 120)
    until(lambda: not queue(), "no job is left")
    assert outputs(folder / "out") == serial(folder)
    assert "1/1] a done" in (folder / f"out/driver-{job}.log").read_text()


def test_a_driver_that_slurm_starts_again_resumes(folder: Path) -> None:
    more(folder, "a1", "a2", "slow3")
    words = [*COMMON, SLOW, "engine=processes", "engine.workers=1", "out=out"]
    job = submit(folder, *words)
    log = folder / f"out/driver-{job}.log"
    until_half_done(folder / "out", "slow3", "a1", "a2")
    assert _slurm("scontrol", "requeue", job).returncode == 0
    at_once(job)
    interrupted = json.loads((folder / "out/run.json").read_text())
    assert interrupted["exit_code"] == 143
    assert interrupted["counts"]["interrupted"] == 1
    until(lambda: not queue(), "the job has run again")
    assert "2 of 3 slides are done already" in log.read_text()
    assert outputs(folder / "out") == serial(folder, SLOW)


def test_a_cancelled_driver_is_submitted_again_and_resumes(folder: Path) -> None:
    more(folder, "a1", "a2", "slow3")
    words = [*COMMON, SLOW, *DASK, "out=out"]
    first = submit(folder, *words)
    until_half_done(folder / "out", "slow3", "a1")
    assert len(queue()) == 2
    assert _slurm("scancel", first).returncode == 0
    until(lambda: not queue(), "driver and worker are gone")
    said = (folder / f"out/driver-{first}.log").read_text()
    assert re.search("interrupted; [12] done, [12] pending", said)
    second = submit(folder, *words, DAWDLE_S="0")
    until(lambda: not queue(), "the second driver is done", 180)
    said = (folder / f"out/driver-{second}.log").read_text()
    assert re.search("[12] of 3 slides are done already", said)
    assert outputs(folder / "out") == serial(folder, SLOW)


def test_a_sweep_is_an_array_of_jobs(folder: Path) -> None:
    words = [*COMMON, "tile.size=300,400", "engine=processes", "engine.workers=1", "out=out"]
    done = tiler(folder, *ARRAY, *words)
    assert done.returncode == 0, done.stderr
    rows = read_csv(folder / "out/sweep.csv")
    assert {(row["tile.size"], row["status"]) for row in rows} == {("300", "done"), ("400", "done")}
    for size in ("300", "400"):
        shutil.rmtree(folder / "serial", ignore_errors=True)
        assert outputs(folder / f"out/tile.size={size}") == serial(folder, f"tile.size={size}")
    assert list((folder / "out/.submitit").glob("*_0_0_log.err"))


def test_a_job_of_a_sweep_that_is_cancelled_is_named_and_the_others_stay(folder: Path) -> None:
    more(folder, "slow1")
    words = [*COMMON, SLOW, "tile.size=300,400", "hydra.launcher.array_parallelism=1", "out=out"]
    sweep = begin(folder, *ARRAY, *words)
    until(lambda: queue("RUNNING"), "a job runs")
    waiting = next(job for job in queue() if job.endswith("_1"))
    assert _slurm("scancel", waiting).returncode == 0
    said = sweep.communicate(timeout=240)[1]
    assert sweep.returncode == 3, said
    (line,) = [line for line in said.splitlines() if line.startswith("E_WORKER")]
    assert waiting in line
    assert "tile.size=400" in line
    assert "Traceback" not in said
    done, lost = read_csv(folder / "out/sweep.csv")
    assert (done["tile.size"], done["status"]) == ("300", "done")
    assert (lost["tile.size"], lost["status"]) == ("400", "failed")
    assert lost["reason"] == "job 1 (tile.size=400) left no record"
    again = tiler(folder, *ARRAY, *words, DAWDLE_S="0")
    assert again.returncode == 0, again.stderr
    assert [row["status"] for row in read_csv(folder / "out/sweep.csv")] == ["done", "done"]


def test_a_signal_to_a_sweep_cancels_its_array(folder: Path) -> None:
    more(folder, "slow1")
    words = [*COMMON, SLOW, "tile.size=300,400", "hydra.launcher.array_parallelism=1", "out=out"]
    sweep = begin(folder, *ARRAY, *words)
    until(lambda: (folder / "out/tile.size=300/run.json").exists(), "the first job has begun")
    sweep.send_signal(signal.SIGTERM)
    said = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 143, said
    until(lambda: not queue(), "no job is left")
    again = tiler(folder, *ARRAY, *words, DAWDLE_S="0")
    assert again.returncode == 0, again.stderr


def test_a_sweep_that_slurm_refuses_is_reported_in_one_line(folder: Path) -> None:
    words = ["hydra.launcher.partition=nosuch", "tile.size=300,400", "out=out"]
    done = tiler(folder, *ARRAY, *COMMON, *words)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("sbatch: ")]
    assert len(lines) == 1, done.stderr
    assert "invalid partition" in lines[0]


def test_a_job_of_a_sweep_that_is_out_of_time_ends_in_order(folder: Path) -> None:
    more(folder, "a1", "a2", "slow3")
    words = [*ARRAY, "hydra.launcher.timeout_min=5", *COMMON, SLOW, "out=out"]
    sweep = begin(folder, *words)  # so short a time is nearly out whenever submitit looks
    until_half_done(folder / "out/job", "slow3", "a1", "a2")
    (job,) = queue()
    assert _slurm("scancel", "--signal=USR2", job).returncode == 0
    said = sweep.communicate(timeout=240)[1]
    assert sweep.returncode == 143, said
    assert "Traceback" not in said
    rows = read_csv(folder / "out/sweep.csv")
    assert [row["status"] for row in rows] == ["done", "done", "interrupted"]


@pytest.mark.parametrize(
    "preempt", ["scancel --signal=USR2", "scontrol requeue", "late answer of scontrol"]
)
def test_a_preempted_job_of_a_sweep_is_queued_again_and_resumes(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, preempt: str
) -> None:
    """Submitit queues the job again after its signal, Slurm itself after SIGTERM."""
    more(folder, "a1", "a2", "slow3")
    path = os.environ["PATH"]
    if preempt.startswith("late"):
        late = tmp_path_factory.mktemp("bin") / "scontrol"
        late.write_text(f'#!/bin/sh\n{shutil.which("scontrol")} "$@"; sleep 30 & wait\n')
        late.chmod(0o755)
        path, preempt = f"{late.parent}{os.pathsep}{path}", "scancel --signal=USR2"
    sweep = begin(folder, *ARRAY, *COMMON, SLOW, "out=out", PATH=path)
    until_half_done(folder / "out/job", "slow3", "a1", "a2")
    (job,) = queue()
    assert _slurm(*preempt.split(), job).returncode == 0
    at_once(job)
    said = sweep.communicate(timeout=300)[1]
    assert sweep.returncode == 0, said
    log = "".join(path.read_text() for path in (folder / "out/.submitit").glob("*.err"))
    assert "2 of 3 slides are done already" in log
    assert outputs(folder / "out/job") == serial(folder, SLOW)
