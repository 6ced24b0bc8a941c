"""Outputs are regular files: other files with their names are neither replaced nor followed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import complaint, tiler
from PIL import Image
from special_files import plant
from tracked import COMMON, picture

from tiler.errors import ConfigError, DestinationError
from tiler.files import append_line, write_chunks, write_plain, write_whole
from tiler.runner.store.lock import held
from tiler.storage.destinations import check_writable, own_folder
from tiler.trackers import JsonlTracker

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and FIFOs of POSIX systems")

KINDS = {
    "link": "a symbolic link",
    "dangling": "a symbolic link",
    "fifo": "a FIFO",
    "socket": "a socket",
    "device": "a symbolic link",
    "folder": "a folder",
}


def planted(path: Path, kind: str) -> tuple[int, bytes]:
    """Put a special file under a name; return its kind and the content of its target."""
    if kind == "link":
        path.write_bytes(b"a file of the user's\n")
    plant(path, "link" if kind == "dangling" else kind)
    return state(path)


def state(path: Path) -> tuple[int, bytes]:
    other = path.with_name(f"{path.name}.other")
    return stat.S_IFMT(path.lstat().st_mode), other.read_bytes() if other.exists() else b""


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out.csv"
    before = planted(path, kind)
    with pytest.raises(DestinationError, match=f"E_DEST: .*out.csv is {KINDS[kind]}"):
        write_whole(path, b"x")
    with pytest.raises(DestinationError, match=f"E_DEST: .*out.csv is {KINDS[kind]}"):
        append_line(path, b"x")
    assert state(path) == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_planted_after_the_check_is_not_followed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tile.png"
    before = planted(path, kind)
    with pytest.raises(DestinationError):
        write_plain(str(tmp_path), "tile.png", b"x")
    other = path.with_name("tile.png.other")
    assert before[1] == (other.read_bytes() if other.exists() else b"")


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(DestinationError, match="is a device"):
        check_writable(Path("/dev/null"))
    check_writable(Path("/dev/nothing_of_this_name"))


def test_a_folder_that_tiler_names_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="symbolic link"):
        own_folder(tmp_path / "a")
    assert own_folder(tmp_path / "b") == tmp_path / "b"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and a run of it."""
    folder = tmp_path_factory.mktemp("made")
    picture(folder)
    assert tiler(*COMMON, "out=run", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize("name", ["run.json", "slides.csv", "events.jsonl", ".lock"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_run_keeps_foreign_files(made: Path, tmp_path: Path, name: str, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = planted(out / name, kind)
    done = tiler(*COMMON, f"out={out}", cwd=made, timeout=30)
    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert last.startswith("E_DEST: ")
    assert f"{name} is {KINDS[kind]}" in last
    assert state(out / name) == before
    assert not (out / "slides").exists()


@pytest.mark.slow
def test_a_dry_run_and_a_cache_keep_foreign_files(made: Path, tmp_path: Path) -> None:
    before = planted(tmp_path / "budget.json", "link")
    done = tiler(*COMMON, f"out={tmp_path}", "dry_run=true", "cache=off", cwd=made, timeout=30)
    assert (done.returncode, state(tmp_path / "budget.json")) == (4, before)
    planted(tmp_path / ".cache", "device")
    done = tiler(*COMMON, f"out={tmp_path}", cwd=made, timeout=30)
    assert done.returncode == 2
    assert ".cache is a symbolic link" in complaint(done)
    planted(tmp_path / "fifo", "fifo")
    done = tiler(*COMMON, f"out={tmp_path}", f"cache={tmp_path}/fifo", cwd=made, timeout=30)
    assert done.returncode == 2
    assert "fifo: this folder cannot be made" in complaint(done)


@pytest.mark.parametrize("name", ["sweep.csv", "sweep.json", "sweep.parquet", "sweep.png"])
def test_a_sweep_keeps_foreign_files(made: Path, tmp_path: Path, name: str) -> None:
    before = planted(tmp_path / name, "link")
    done = tiler("-m", *COMMON, "threshold=0.1,0.2", f"out={tmp_path}", cwd=made, timeout=60)
    assert done.returncode == 4, done.stderr
    assert f"{name} is a symbolic link" in done.stderr
    assert state(tmp_path / name) == before


@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_a_tracker_path_that_is_a_link_is_only_a_warning(
    made: Path, tmp_path: Path, kind: str
) -> None:
    before = planted(tmp_path / "t.jsonl", kind)
    words = ["tracker=jsonl", f"tracker.path={tmp_path}/t.jsonl", f"out={tmp_path}/out"]
    done = tiler(*COMMON, *words, cwd=made, timeout=30)
    assert done.returncode == 0
    assert f"tracker: DestinationError: E_DEST: {tmp_path}/t.jsonl is {KINDS[kind]}" in done.stderr
    assert state(tmp_path / "t.jsonl") == before
    planted(tmp_path / ".u.jsonl.lock", "link")
    with pytest.raises(DestinationError):
        JsonlTracker(tmp_path / "u.jsonl").start("a", {}, None)


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "folder"])
def test_comparing_keeps_foreign_files(made: Path, tmp_path: Path, kind: str) -> None:
    run = str(made / "run")
    before = planted(tmp_path / "c.csv", kind)
    done = tiler(run, run, "--csv", str(tmp_path / "c.csv"), cwd=made, module="tiler.compare")
    assert done.returncode == 4
    assert f"c.csv is {KINDS[kind]}" in complaint(done)
    assert done.stdout == ""
    assert state(tmp_path / "c.csv") == before
    before = planted(tmp_path / "pic.jpg", kind)
    done = tiler(run, run, "--overlay", str(tmp_path), cwd=made, module="tiler.compare")
    assert done.returncode == 4
    assert state(tmp_path / "pic.jpg") == before


def test_comparing_replaces_no_other_table(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made / "run", tmp_path / "run")
    (tmp_path / "mine.csv").write_text("slide,note\n")
    for path in (tmp_path / "mine.csv", run / "slides.csv", *run.glob("slides/*/*.csv")):
        before = path.read_bytes()
        done = tiler(str(run), str(run), "--csv", str(path), cwd=made, module="tiler.compare")
        assert done.returncode == 2
        assert f"{path}: is a file that tiler-compare did not write" in complaint(done)
        assert path.read_bytes() == before
    for _ in range(2):
        words = "--csv", str(tmp_path / "new.csv")
        assert tiler(str(run), str(run), *words, cwd=made, module="tiler.compare").returncode == 0


def test_overlays_replace_no_other_picture(tmp_path: Path) -> None:
    slide = tmp_path / "in/pic.jpg"
    slide.parent.mkdir()
    Image.effect_noise((300, 300), 50).convert("RGB").save(slide)
    before = slide.read_bytes()
    words = ["slides=files", f"slides.paths={slide}", "reader=image", "resolution=level"]
    assert tiler(*words, "tile.size=100", "mask=none", "out=run", cwd=tmp_path).returncode == 0
    compare = "run", "run", "--overlay"
    done = tiler(*compare, "in", cwd=tmp_path, module="tiler.compare")
    assert done.returncode == 2
    assert "in/pic.jpg: is a picture that tiler-compare did not write" in complaint(done)
    assert slide.read_bytes() == before
    for _ in range(2):
        done = tiler(*compare, "drawn", cwd=tmp_path, module="tiler.compare")
        assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "drawn/pic.jpg") as picture:
        picture.load()


_HOLDING = """
import sys, time
from collections.abc import Iterator
from pathlib import Path
from tiler.errors import LockedError
from tiler.runner.store.lock import held
end, held_it = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    try:
        with held(Path(sys.argv[1])):
            held_it += 1
            Path(sys.argv[1], "mine").touch(exist_ok=False)
            Path(sys.argv[1], "mine").unlink()
    except LockedError:
        pass
print(held_it)
"""


@pytest.mark.slow
def test_only_one_process_at_a_time_locks_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDING, str(tmp_path / "deep" / "out"), "1.5"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in said] == [""] * 4
    assert sum(int(held) for held, _ in said) > 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("name", ["products.json", "run.json", "sweep.csv"])
def test_temporary_files_of_killed_processes_go_and_those_of_users_stay(
    tmp_path: Path, name: str
) -> None:
    def killed() -> Iterator[bytes]:
        yield b"half"
        os._exit(9)

    if not (child := os.fork()):
        write_chunks(tmp_path / name, killed())
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    mine = [tmp_path / ".1.0123456789ab.partial", tmp_path / ".draft.partial"]
    for path in mine:
        path.write_text("mine")
    link = left.with_name(left.name.replace(left.name.split(".")[1], "1"))
    link.symlink_to(mine[0])
    with held(tmp_path):
        assert not left.exists()
    assert [path.read_text() for path in (*mine, link)] == ["mine"] * 3
