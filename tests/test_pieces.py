"""A run continues with the tiles that an interrupted run finished, and writes the same bytes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import Started, alive, tiler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiler import Magnification, TileExtractor, TileSpec, open_slide
from tiler.config.groups.exporters import scale_settings, with_context, with_pyramid
from tiler.errors import DestinationError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.files import digest
from tiler.protocols import WSIReader
from tiler.runner.engines import SerialEngine
from tiler.runner.ledger import RunResult
from tiler.runner.run import run
from tiler.runner.signals import Interrupted
from tiler.runner.stock import Policy
from tiler.runner.work import folders
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tiles import journal, pieces

HERE = Path(__file__).parent
TILES = 12 * 9


@dataclass
class StopsReading:
    """A reader that interrupts the run after a number of tiles."""

    after: int = 10**9
    read: int = 0

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        reader = open_slide(path, name=name, magnification=20)
        real = reader.read_region

        def read_region(location, shape, resolution, bounded=True):
            if self.read >= self.after:
                raise Interrupted(130)
            self.read += shape != (1, 1)  # the first pixel only shows that the slide can be read
            return real(location, shape, resolution, bounded)

        reader.read_region = read_region
        return reader


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "a.tiff"
    pixels = np.random.default_rng(0).integers(0, 256, (9 * 40, 12 * 40, 3), dtype=np.uint8)
    pixels[:80, :80] = 255  # blank tiles, which are counted
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb")
    return path


@pytest.fixture(autouse=True)
def listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_EVERY_S", 0)


def job_of(slide: Path, stops: StopsReading, **options: object) -> SlideJob:
    exporters = {"csv": CsvExporter(), "images": ImagesExporter(threads=1, **options)}
    own = {"csv": {}, "images": {"compression": 1, **options}}
    extractor = TileExtractor(TileSpec(40, 40, Magnification(20)))
    return SlideJob(slide, "a", stops, extractor, exporters, {"exporter": own})


def tile(
    slide: Path, out: Path, after: int = 10**9, verify: str = "size", **options: object
) -> tuple[RunResult, int]:
    """Run until a number of tiles is read; return the result and that number."""
    stops = StopsReading(after)
    result = run([job_of(slide, stops, **options)], out, SerialEngine(), {}, Policy(verify))
    return result, stops.read


def tree(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted((out / "slides").rglob("*"))
        if path.is_file()
    }


def resumed(out: Path) -> int:
    """Return the number of tiles that the last run took over."""
    lines = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    starts = [index for index, line in enumerate(lines) if line["event"] == "started"]
    return sum(line["tiles"] for line in lines[starts[-1] :] if line["event"] == "resumed")


@pytest.fixture(scope="module")
def whole(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    assert tile(slide, out)[0].exit_code == 0
    assert not (out / ".partial").exists()
    return tree(out)


@settings(
    max_examples=settings().max_examples // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.integers(0, TILES - 1), max_size=3))
def test_the_bytes_are_the_same_after_any_number_of_interruptions(
    slide: Path,
    whole: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    interrupted: list[int],
) -> None:
    out, done = tmp_path_factory.mktemp("run"), 0
    for after in interrupted:
        result, read = tile(slide, out, after)
        assert resumed(out) == done
        assert not list((out / "slides").iterdir()) or result.exit_code == 0
        if result.exit_code == 0:
            assert read == TILES - done <= after
            done = TILES
            break
        assert result.exit_code == 130
        done += read
    if done < TILES:
        result, read = tile(slide, out)
        assert (result.exit_code, read, resumed(out)) == (0, TILES - done, done)
    assert tree(out) == whole
    assert not (out / ".partial").exists()


def tile_scales(slide: Path, out: Path, after: int = 10**9) -> int:
    """Run with context tiles and parents until a number of tiles is read; return the exit code."""
    job, pyramid = job_of(slide, StopsReading(after)), (Magnification(8),)
    context = (Magnification(10), Magnification(4))
    exporters = with_pyramid(with_context(job.exporters, context), pyramid, drop=False)
    own = scale_settings(job.settings["exporter"], exporters, context, pyramid)
    job = replace(job, exporters=exporters, settings={"exporter": own}, pyramid=pyramid)
    return run([job], out, SerialEngine(), {}).exit_code


@pytest.fixture(scope="module")
def whole_scales(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run with context tiles and parents."""
    out = tmp_path_factory.mktemp("scales")
    assert tile_scales(slide, out) == 0
    return tree(out)


@pytest.mark.slow
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3 * TILES + 20), max_size=3))
def test_other_scales_are_the_same_after_any_number_of_interruptions(
    slide: Path,
    whole: dict[str, bytes],
    whole_scales: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    interrupted: list[int],
) -> None:
    out, done = tmp_path_factory.mktemp("run"), 0
    for after in interrupted:
        if tile_scales(slide, out, after) == 0:
            break
        assert resumed(out) == min(done, 3 * TILES)
        done += after
    assert tile_scales(slide, out) == 0
    assert tree(out) == whole_scales
    names = [name for name in whole_scales if "/tiles/" in name]
    assert len(names) == 3 * TILES
    assert {name for name in whole if "/tiles/" in name} < {*names}
    assert sum("/pyramid/" in name for name in whole_scales) > 10


def test_a_failed_slide_continues_with_its_finished_tiles(
    slide: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    class Flaky(StopsReading):
        """The slide's share becomes unavailable after 50 tiles."""

        def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
            reader = super().__call__(path, name=name)
            real = reader.read_region

            def read_region(*arguments, bounded=True):
                if self.read >= 50:
                    raise OSError(errno.EIO, "Input/output error")
                return real(*arguments, bounded)

            reader.read_region = read_region
            return reader

    result = run([job_of(slide, Flaky())], tmp_path, SerialEngine(), {})
    assert result.exit_code == 3
    assert list((tmp_path / "slides").iterdir()) == []
    gone = slide.rename(tmp_path / "gone.tiff")
    assert tile(slide, tmp_path)[0].exit_code == 3  # a run without the share loses no tile
    gone.rename(slide)
    result, read = tile(slide, tmp_path)
    assert (result.exit_code, read, resumed(tmp_path)) == (0, TILES - 50, 50)
    assert tree(tmp_path) == whole
    assert not (tmp_path / ".partial").exists()


def test_tiles_of_slides_that_a_run_no_longer_has_go_with_it(slide: Path, tmp_path: Path) -> None:
    tile(slide, tmp_path, 50)
    other = replace(job_of(slide, StopsReading()), slide_id="b")
    assert run([other], tmp_path, SerialEngine(), {}).exit_code == 0
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("left", [0, 3])
def test_a_full_disk_removes_only_as_many_tiles_as_the_tables_need(
    slide: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: int,
) -> None:
    """The disk has room for 50 tiles, and for the tables only if some of the tiles go."""
    real, full = os.write, [False]

    def write(handle: int, data: bytes) -> int:
        full[0] = full[0] or len(finished(tmp_path)) > 50
        if full[0] and len(finished(tmp_path)) > 50 - left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(folders, "_ROOM", 1)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DestinationError, match="ENOSPC"):
        tile(slide, tmp_path)
    monkeypatch.setattr(os, "write", real)
    told = json.loads((tmp_path / "run.json").read_text())
    assert (told["status"], told["exit_code"]) == ("failed", 4)
    assert len(finished(tmp_path)) == 50 - left
    result, read = tile(slide, tmp_path)
    assert (result.exit_code, read, resumed(tmp_path)) == (0, TILES - 50 + left, 50 - left)
    assert tree(tmp_path) == whole


def finished(out: Path) -> list[Path]:
    return sorted(out.glob(".partial/*/slide/tiles/*.png"))


def cut(out: Path) -> None:
    os.truncate(finished(out)[3], 7)


def gone(out: Path) -> None:
    finished(out)[3].unlink()


def flipped(out: Path) -> None:
    data = bytearray(finished(out)[3].read_bytes())
    data[-20] ^= 1
    finished(out)[3].write_bytes(data)


def a_link(out: Path) -> None:
    place = finished(out)[3]
    (out / "mine").mkdir()
    place.symlink_to(place.rename(out / "mine/x.png"))


def a_linked_folder(out: Path) -> None:
    (folder,) = out.glob(".partial/*/slide/tiles")
    folder.rename(out / "mine")
    folder.symlink_to(out / "mine")


def journals(out: Path) -> list[Path]:
    (found,) = out.glob(".partial/*/pieces/*.jsonl")
    return [found]


def torn(out: Path) -> None:
    (path,) = journals(out)
    os.truncate(path, path.stat().st_size - 9)


def garbled(out: Path) -> None:
    (path,) = journals(out)
    lines = [line + b"\n" for line in path.read_bytes().splitlines() if line]
    key = json.loads(lines[0].partition(b" ")[2])[0]
    odd = [[key], [key, 1, 2, 3], [key, "", "", [["tiles/../../x", 1, "00" * 32]]], {"a": 1}, None]
    odd += [[key, "", "", [["a", -1, "0"]]], [key, "", "", [[1, 2, 3]]], [key, "", "", [["a"]]]]
    for value in odd:
        body = json.dumps(value).encode()
        lines.insert(2, b"%s %s\n" % (digest(body).encode(), body))
    path.write_bytes(b"\xff\x00\n\n" + b"".join(lines) + b"half a line")


@pytest.mark.parametrize(
    ("harm", "verify", "lost"),
    [
        (cut, "size", 1),
        (cut, "none", 1),
        (gone, "size", 1),
        (a_link, "size", 1),
        (a_linked_folder, "size", 50),
        (flipped, "hash", 1),
        (torn, "size", 1),
        (garbled, "size", 0),
    ],
)
def test_only_tiles_that_equal_their_listing_are_taken_over(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, harm, verify: str, lost: int
) -> None:
    tile(slide, tmp_path, 50)
    assert len(finished(tmp_path)) == 50
    harm(tmp_path)
    mine = {path: path.read_bytes() for path in tmp_path.glob("mine*/*")}
    result, read = tile(slide, tmp_path, verify=verify)
    assert {path: path.read_bytes() for path in mine} == mine
    assert (result.exit_code, read, resumed(tmp_path)) == (0, TILES - 50 + lost, 50 - lost)
    assert tree(tmp_path) == whole


def test_after_a_crash_of_the_machine_tiles_are_read_and_compared(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (journal, pieces):
        monkeypatch.setattr(module, "this_boot", lambda: "one")
    tile(slide, tmp_path, 50)
    flipped(tmp_path)
    for module in (journal, pieces):
        monkeypatch.setattr(module, "this_boot", lambda: "another")
    assert tile(slide, tmp_path, 40)[1] == 40
    assert resumed(tmp_path) == 49
    flipped(tmp_path)  # listed in this boot, so that only the size is compared
    tile(slide, tmp_path)
    assert resumed(tmp_path) == 89
    assert tree(tmp_path).keys() == whole.keys()


@pytest.mark.parametrize("what", ["settings", "slide", "code"])
def test_tiles_of_anything_else_are_not_taken_over(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    own = Path(shutil.copy(slide, tmp_path / "a.tiff"))
    out = tmp_path / "out"
    tile(own, out, 50)
    options: dict[str, object] = {}
    if what == "settings":
        options = {"compression": 2}
    elif what == "slide":
        pixels = np.zeros((9 * 40, 12 * 40, 3), np.uint8)
        tifffile.imwrite(own, pixels, tile=(64, 64), photometric="rgb")
    else:
        monkeypatch.setattr("tiler.runner.work.job.code_version", lambda: "another release")
    _, read = tile(own, out, **options)
    assert (read, resumed(out)) == (TILES, 0)
    assert not (out / ".partial").exists()
    fresh = tmp_path / "fresh"
    tile(own, fresh, **options)
    assert tree(out) == tree(fresh)


def test_foreign_files_stay_in_the_work_folder(slide: Path, tmp_path: Path) -> None:
    mine = [
        tmp_path / ".partial" / name
        for name in ("notes.txt", "a.123/x", "a.123.0123456789abcdef/slide/x", "sample/slides/x")
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for after in (20, 10**9):
        tile(slide, tmp_path, after)
        assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    left = {path for path in (tmp_path / ".partial").rglob("*") if path.is_file()}
    assert left == set(mine)


@pytest.fixture
def counted_renames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list of two numbers: the count of renames, and the one that is interrupted."""
    state, real = [0, 10**9], Path.rename

    def rename(self: Path, target: Path) -> Path:
        state[0] += 1
        if state[0] == state[1]:
            raise Interrupted(130)
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    return state


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("listed", [True, False])
def test_a_run_that_ends_between_two_renames_loses_nothing(
    slide: Path,
    tmp_path: Path,
    counted_renames: list[int],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    listed: bool,
) -> None:
    tile(slide, tmp_path)
    before = tree(tmp_path)
    if not listed:
        monkeypatch.setattr(journal.Journal, "flush", lambda self: None)
    counted_renames[:] = [0, number]
    result, _ = tile(slide, tmp_path, compression=2)
    assert (result.exit_code, counted_renames[0]) == (130, 3 if number == 2 else 1)
    assert tree(tmp_path) == before
    assert (tmp_path / ".partial").exists() == listed
    (row,) = result.rows
    assert (row.status, row.output) == ("interrupted", "earlier")
    counted_renames[:] = [0, 10**9]
    result, read = tile(slide, tmp_path, compression=2)
    assert (result.exit_code, read) == (0, 0 if listed else TILES)
    fresh = tmp_path / "fresh"
    tile(slide, fresh, compression=2)
    assert tree(tmp_path) == tree(fresh)


def test_a_folder_lost_between_two_renames_is_put_back(slide: Path, tmp_path: Path) -> None:
    tile(slide, tmp_path)
    before = tree(tmp_path)
    from tiler.runner.work.folders import new_work

    work = new_work(tmp_path, "a")
    (tmp_path / "slides/a").rename(work.old)
    (work.slide / "tiles").mkdir()
    (work.slide / "tiles/x.png").write_bytes(b"half")
    result, read = tile(slide, tmp_path)
    assert (result.exit_code, read, tree(tmp_path)) == (0, 0, before)
    assert not (tmp_path / ".partial").exists()


def test_a_users_file_in_a_replaced_folder_stays(slide: Path, tmp_path: Path) -> None:
    tile(slide, tmp_path)
    from tiler.runner.work.folders import new_work

    work = new_work(tmp_path, "a")
    shutil.copytree(tmp_path / "slides/a", work.old)  # replaced, but not yet removed
    (work.old / "tiles/mine.txt").write_text("mine")
    before = tree(tmp_path)
    tile(slide, tmp_path)
    left = [path for path in work.path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["mine.txt", "record.json"]
    assert tree(tmp_path) == before


COMMON = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=600", "mask=none",
          "exporter=[csv,images]", "reader=openslide", "reader._target_=faulty.FaultyReader",
          "out=out"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_a_rerun_continues_with_the_tiles_of_a_killed_run(
    tmp_path: Path, shared_slides: Path
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(shared_slides / "CMU-1-Small-Region.svs", tmp_path / "in/slow.svs")
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    env = {"TILER_TARGETS": "faulty", "PYTHONPATH": path}
    command = [*COMMON, "engine=processes", "engine.workers=2"]
    started = Started(*command, cwd=tmp_path, env=env)
    deadline = time.monotonic() + 60
    while len(listed(tmp_path / "out")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    assert started.end()[0] == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while alive(tmp_path):  # workers follow
        assert time.monotonic() < deadline
        time.sleep(0.05)
    inodes = {path.name: path.stat().st_ino for path in finished(tmp_path / "out")}
    known = listed(tmp_path / "out")
    again = tiler(*command, cwd=tmp_path, env=env)
    assert again.returncode == 0, again.stderr
    assert f"images: reuses {len(known)} of 12 tiles of an interrupted run" in again.stderr
    tiles = tmp_path / "out/slides/slow/tiles"
    assert all((tiles / name).stat().st_ino == inodes[name] for name in known)
    assert not (tmp_path / "out/.partial").exists()
    fresh = [*COMMON[:-1], "out=fresh", "engine=serial"]
    assert tiler(*fresh, cwd=tmp_path, env={**env, "DAWDLE_S": "0"}).returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def listed(out: Path) -> set[str]:
    """Return the names of the tiles that a run lists as finished."""
    lists = b"".join(path.read_bytes() for path in out.glob(".partial/*/pieces/*.jsonl"))
    return set(re.findall(r'tiles/([^"]+\.png)', lists.decode()))


def test_a_job_may_be_copied_with_what_it_depends_on(slide: Path) -> None:
    """Workers get the user's code as it was when the run began."""
    job = replace(job_of(slide, StopsReading()), code={"reader": "x"})
    assert replace(job, kept=("csv",)).code == {"reader": "x"}
