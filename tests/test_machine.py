"""Limits of the machine and absurd settings: one line, before memory is allocated, and no hang."""

from __future__ import annotations

import errno
import gc
import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tracked import COMMON, picture

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.checks.machine import machine_limit
from tiler.config.components import made_again
from tiler.entry import main
from tiler.errors import ConfigError, EnvironmentRefusedError, LimitError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.readers import ImageReader
from tiler.readers.openslide import selftest
from tiler.runner import signals
from tiler.runner.engines import ProcessEngine, SerialEngine, processes
from tiler.runner.run import run
from tiler.runner.work.attempt import attempt
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import PlanTask
from tiler.runner.work.worker_state import WorkerState

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits of POSIX systems")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (ImportError("cv2.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("OpenCV: (-4:Insufficient memory) Failed"), "not enough memory"),
        (ValueError("array is too big; `arr.size` is larger"), "not enough memory"),
        (caused(KeyError("a"), caused(ValueError("b"), MemoryError())), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files (ulimit -n is "),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "cannot start another process"),
        (RuntimeError("can't start new thread"), "cannot start another process or thread"),
        (FileNotFoundError(2, "No usable temporary directory found in []"), "set TMPDIR"),
        (OSError(errno.EIO, "Input/output error"), None),
        (FileNotFoundError(2, "No such file or directory"), None),
        (ValueError("the array is too large"), None),
        (RuntimeError("insufficient"), None),
    ],
)
def test_limits_of_the_machine_are_distinguished_from_other_errors(
    error: Exception, words: str
) -> None:
    told = machine_limit(error)
    assert (told is None) if words is None else (words in str(told))
    assert "\n" not in str(told)


class Hungry:
    """A mask that allocates more memory than exists."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def generate(self, source: object) -> np.ndarray:
        raise self.error


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture(tmp_path_factory.mktemp("slide"))


def job_of(slide: Path, spec: TileSpec, threshold: float = 0.0, **parts: object) -> SlideJob:
    extractor = TileExtractor(spec, mask_threshold=threshold, **parts)
    exporters = {"csv": CsvExporter(), "images": ImagesExporter()}
    reader = partial(ImageReader, mpp=0.5, allow_upsampling=True)
    return SlideJob(slide, "pic", reader, extractor, exporters, {})


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOMEM, "no"), RuntimeError("can't start new thread")]
)
def test_a_machine_limit_during_a_slide_fails_that_slide(slide: Path, error: Exception) -> None:
    job = job_of(slide, TileSpec(16, resolution=Level(0)), mask_provider=Hungry(error))
    assert isinstance(attempt(PlanTask(job), WorkerState()), LimitError)


ABSURD = {
    "a huge tile": TileSpec(1_000_000, resolution=Level(0), edge="pad"),
    "far too huge a tile": TileSpec(1e30, resolution=Level(0), edge="pad"),
    "a coarse resolution": TileSpec(16, resolution=MPP(1e9), edge="pad"),
    "20 mm per pixel": TileSpec(16, resolution=MPP(20_000), edge="pad"),
    "no resolution": TileSpec(16, resolution=MPP(1e300), edge="pad"),
    "billions of cells": TileSpec(1, resolution=MPP(1e-3)),
    "a long row of cells": TileSpec((1, 10**6), (1, 1), resolution=MPP(1e-7)),
    "an endless grid": TileSpec(1, resolution=MPP(1e-300)),
    "microns": TileSpec(1e12, resolution=Level(0), unit="um", edge="pad"),
    "a stride": TileSpec(16, 1e30, resolution=Level(0)),
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_settings_are_refused_before_memory_is_taken(
    slide: Path, tmp_path: Path, what: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    job = job_of(slide, ABSURD[what])
    result = run([job], tmp_path / "out", SerialEngine(), {})
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    (row,) = result.rows
    assert (result.exit_code, row.status) == (3, "failed")
    assert row.reason.startswith("E_LIMIT slide=pic: ")
    assert "choose a" in row.reason or "choose smaller" in row.reason
    assert grown < 200 << 10  # KiB


def test_a_thumbnail_that_fills_the_memory_is_refused(slide: Path) -> None:
    with ImageReader(slide) as reader, pytest.raises(LimitError, match="thumbnail"):
        reader.thumbnail((10**6, 10**6))


def tiler_within(limit: str, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command under a limit of the shell's."""
    command = f'ulimit {limit}; exec "$0" -m tiler "$@"'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *COMMON, *words],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v of Linux")
@pytest.mark.parametrize("engine", [["engine=serial"], ["engine=processes", "engine.workers=1"]])
def test_too_little_memory_fails_the_slide_with_one_line(
    slide: Path, tmp_path: Path, engine: list[str]
) -> None:
    done = tiler_within("-v 260000", slide.parent, *engine, "mask=otsu", f"out={tmp_path}/out")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "E_LIMIT slide=pic: not enough memory (ulimit -v is 260000)" in done.stderr


@pytest.mark.slow
def test_too_few_open_files_for_workers_are_one_line(slide: Path, tmp_path: Path) -> None:
    words = ["engine=processes", "engine.workers=20", f"out={tmp_path}/out"]
    done = tiler_within("-n 16", slide.parent, *words)
    assert done.returncode == 6, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("E_ENV: engine.workers=20: too many open files (ulimit -n is 16)")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out/slides").exists()


@pytest.mark.slow
def test_a_low_limit_of_open_files_is_reported(slide: Path, tmp_path: Path) -> None:
    done = tiler_within("-n 5", slide.parent, f"out={tmp_path}/out")
    assert done.returncode in (3, 4, 6), done.stderr
    assert "Traceback" not in done.stderr
    assert "oo many open files" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("can't start new thread"), "cannot start another process or thread"),
        (FileNotFoundError(2, "No usable temporary directory found in []"), "set TMPDIR"),
    ],
)
@pytest.mark.parametrize("place", ["run_command", "compose", "do_job", "run_composed"])
def test_a_machine_limit_before_any_slide_is_one_line(
    place: str,
    error: Exception,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.chdir(tmp_path)
    for name in ("OPENBLAS_NUM_THREADS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(gc, "set_threshold", lambda number: None)  # this process continues
    monkeypatch.setattr(signals, "leave_at_once", lambda: None)
    monkeypatch.setattr(sys, "argv", ["tiler", "out=out"])
    monkeypatch.setattr(f"tiler.cli.{place}", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 6
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("E_ENV: ")
    assert words in last


def hungry_slides() -> list[object]:
    """A source of slides that allocates more memory than exists."""
    raise MemoryError


def test_a_component_that_needs_too_much_memory_is_no_configuration_error() -> None:
    plain = {"slides": {"_target_": f"{__name__}.hungry_slides"}}
    with pytest.raises(EnvironmentRefusedError, match="not enough memory"):
        made_again(plain, "slides")


def test_too_many_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="eight per core"):
        ProcessEngine(10**6)


def no_more(workers: int) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_worker_that_cannot_be_replaced_does_not_hang_the_run(
    slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(slide, TileSpec(16, resolution=Level(0)))
    with ProcessEngine(1) as engine:
        process = engine._workers[0]._process
        assert process is not None
        monkeypatch.setattr(processes, "take", no_more)
        process.kill()
        for _ in range(2):
            engine.submit(PlanTask(job))
        first, second = engine.next()[1], engine.next()[1]
        assert "signal 9" in str(first)
        assert "too many open files" in str(second)
        monkeypatch.undo()
        engine.submit(PlanTask(job))
        assert not isinstance(engine.next()[1], Exception)
    monkeypatch.setattr(processes, "take", no_more)
    with pytest.raises(EnvironmentRefusedError, match="too many open files"), ProcessEngine(1):
        pass


@pytest.mark.parametrize(
    ("error", "told"), [(TypeError("not these"), "E_BUG"), (MemoryError(), "not enough memory")]
)
def test_a_result_that_cannot_be_read_does_not_hang_the_run(
    slide: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(file: object) -> None:
        raise error

    task = PlanTask(job_of(slide, TileSpec(16, resolution=Level(0))))
    with ProcessEngine(1) as engine:
        monkeypatch.setattr(processes.pickle, "load", fail)
        engine.submit(task)
        assert told in str(engine.next()[1])
        monkeypatch.undo()
        engine.submit(task)
        assert not isinstance(engine.next()[1], Exception)


def test_the_self_test_reports_a_missing_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(tempfile, "tempdir", None)
    selftest.check_openslide.cache_clear()
    with pytest.raises(EnvironmentRefusedError, match="set TMPDIR"):
        selftest.check_openslide()
