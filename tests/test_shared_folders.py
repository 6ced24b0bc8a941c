"""Folders that a group shares: files have the mode of the umask, and a colleague can continue."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from command import tiler
from tracked import COMMON, picture

from tiler import Level, TileExtractor, TileSpec
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.readers import ImageReader
from tiler.runner.engines import SerialEngine
from tiler.runner.reporting.tracking import tracked
from tiler.runner.run import run
from tiler.runner.work.job import SlideJob
from tiler.trackers import JsonlTracker
from tiler.trackers.mlflow import _prepare

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")

GROUP, OWNER, COLLEAGUE = 54321, 12345, 12346


def mode_of(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode) & 0o777


@pytest.mark.parametrize(
    ("umask", "words"),
    [
        (0o002, ["exporter=[csv,json,images,overview]", "tracker=jsonl"]),
        (0o077, ["exporter=[csv,images]", "tracker=jsonl"]),
        (0o002, ["-m", "threshold=0,1", "exporter=[csv,images]", "tracker=jsonl"]),
        pytest.param(
            0o002,
            ["dry_run=true", "slides=demo", "resolution=mpp", "resolution.value=8"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["run", "private", "sweep", "demo"],
)
def test_files_of_a_run_have_the_mode_of_the_umask(
    tmp_path: Path, umask: int, words: list[str]
) -> None:
    picture(tmp_path)
    (tmp_path / "run").mkdir()
    common = [word.replace("pic.png", "../pic.png") for word in COMMON]
    if "slides=demo" in words:
        common = ["tile.size=16"]
    done = tiler(*words, *common, "out=out/below", cwd=tmp_path / "run", umask=umask)
    assert done.returncode == 0, done.stderr
    paths = list((tmp_path / "run").rglob("*"))
    assert len(paths) > 3
    wrong = [p for p in paths if mode_of(p) != (0o777 if p.is_dir() else 0o666) & ~umask]
    assert wrong == []


def test_a_trackers_database_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="tiler[mlflow] is not installed")
    before = os.umask(0o002)
    try:
        _prepare(f"sqlite:///{tmp_path}/below/mlflow.db")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "below/mlflow.db") == 0o664


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder with the group's set-group-ID bit, below one that others may enter."""
    if not hasattr(os, "setresuid") or os.geteuid() != 0:
        pytest.skip("only root can work as two people")
    folder = Path(tempfile.mkdtemp(prefix="shared-"))
    folder.chmod(0o755)
    (folder / "group").mkdir()
    os.chown(folder / "group", OWNER, GROUP)
    (folder / "group").chmod(0o2775)
    yield folder / "group"
    shutil.rmtree(folder)


def tile(folder: Path, size: int) -> int:
    """Return the exit code of a run with a tile size."""
    extractor = TileExtractor(TileSpec(size, resolution=Level(0)), mask_threshold=0)
    job = SlideJob(
        folder.parent / "pic.png",
        "pic",
        partial(ImageReader),
        extractor,
        {"csv": CsvExporter(), "images": ImagesExporter()},
        {"tile.size": size},
        cache=folder / "out/.cache",
    )
    tracker = JsonlTracker(folder / "out/tracking.jsonl")
    tracking = tracked(tracker, "run", {}, None, folder / "out")
    return run([job], folder / "out", SerialEngine(), {}, tracking=tracking).exit_code


def as_user(user: int, folder: Path, size: int) -> int:
    """Return the exit code of a run by another user, in its own process."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgroups([])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(user, user, user)
            os.umask(0o002)
            code = tile(folder, size)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_colleague_continues_in_a_folder_of_the_group(shared: Path) -> None:
    picture(shared.parent)
    warm = shared.parent / "warm"
    warm.mkdir()
    assert tile(warm, 16) == 0  # loads files that the other user may not read
    assert as_user(OWNER, shared, 16) == 0
    assert as_user(COLLEAGUE, shared, 32) == 0
    assert len(list((shared / "out/slides/pic/tiles").iterdir())) == 6
    owners = {path.stat().st_uid for path in (shared / "out").rglob("*")}
    assert owners == {OWNER, COLLEAGUE}
    assert {path.stat().st_gid for path in (shared / "out").rglob("*")} == {GROUP}
    lines = (shared / "out/tracking.jsonl").read_text().splitlines()
    assert len(lines) == 6, "start, step and end of both"
    assert as_user(OWNER, shared, 16) == 0
