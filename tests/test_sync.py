"""All files below a folder are flushed in the cheaper way, and an interrupt does not wait."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from command import patience

from tiler.errors import DestinationError
from tiler.runner.signals import Interrupted, interruptible
from tiler.storage import sync
from tiler.storage.sync import sync_tree

pytestmark = pytest.mark.skipif(os.name == "nt", reason="file handles of POSIX systems")
proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of handles by /proc")


def tree(folder: Path, count: int) -> set[Path]:
    """Write a number of files into two folders; return all paths to flush."""
    (folder / "a/b").mkdir(parents=True)
    for number in range(count):
        (folder / ("a/b", "a")[number % 2] / f"{number}").write_bytes(b"x" * 1000)
    return {folder, *folder.rglob("*")}


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record files and folders that are flushed one by one; ``fs`` is a whole file system."""
    found: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: found.append(Path(f"/proc/self/fd/{handle}").readlink())
    )
    monkeypatch.setattr(sync, "_sync_file_system", lambda folder: found.append(Path("fs")))
    return found


@proc
@pytest.mark.parametrize(
    ("count", "waiting", "whole"),
    [
        (1, 0.0, False),
        (50, 0.0, True),
        (50, 64e6, True),
        (50, 1e9, False),
        (50, float("inf"), False),
    ],
)
def test_the_own_files_are_flushed_where_they_are_few_or_others_write_much(
    tmp_path: Path,
    flushed: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    waiting: float,
    whole: bool,
) -> None:
    wanted = tree(tmp_path / "t", count)
    monkeypatch.setattr(sync, "_waiting", lambda: waiting)
    sync_tree(tmp_path / "t", 50_000)
    assert set(flushed) == ({Path("fs")} if whole else wanted)
    assert len(flushed) == (1 if whole else len(wanted))


def test_unwritten_data_is_measured_on_linux(tmp_path: Path) -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc/meminfo here")
    assert 0 <= sync._waiting() < 1 << 50
    tree(tmp_path / "t", 20)
    sync._sync_file_system(tmp_path)
    with pytest.raises(DestinationError, match="ENOENT"):
        sync_tree(tmp_path / "gone", 0)


def test_an_error_of_one_file_is_an_error_of_the_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "t", 50)
    monkeypatch.setattr(sync, "_waiting", lambda: float("inf"))

    def refuse(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DestinationError, match="EIO"):
        sync_tree(tmp_path / "t", 50_000)


def test_an_interrupt_does_not_wait_for_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "t", 400)
    monkeypatch.setattr(sync, "_waiting", lambda: float("inf"))
    monkeypatch.setattr(os, "fsync", lambda handle: time.sleep(0.5))
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.7, signal.pthread_kill, (main, signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(Interrupted), interruptible():
        sync_tree(tmp_path / "t", 50_000)
    assert time.monotonic() - started < patience(3)
