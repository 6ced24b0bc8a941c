"""All exporters of tiles share one read of each tile, and the bytes do not depend on the way."""

from __future__ import annotations

import gc
import io
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packing import Added, StackExporter, unpacked
from PIL import Image

from tiler import Magnification, TileExtractor, TileSpec, open_slide
from tiler.config.groups.exporters import scale_settings, with_context, with_spec
from tiler.errors import DestinationError, ReadError
from tiler.exporters import (
    CsvExporter,
    Hdf5Exporter,
    ImagesExporter,
    WebdatasetExporter,
    ZarrExporter,
)
from tiler.protocols import Exported, Exporter, WSIReader
from tiler.runner.budget import estimate
from tiler.runner.engines import DaskEngine, ProcessEngine, SerialEngine
from tiler.runner.ledger import RunResult
from tiler.runner.reporting.progress import Progress
from tiler.runner.run import run
from tiler.runner.signals import Interrupted
from tiler.runner.stock import Policy
from tiler.runner.stopwatch import Stopwatch
from tiler.runner.work import plan as planning
from tiler.runner.work import tasks
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tiles import journal, spool

SIDE, COLUMNS, ROWS = 40, 12, 9
TILES = COLUMNS * ROWS
BLANK = 4


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "a.tiff"
    size = (ROWS * SIDE, COLUMNS * SIDE, 3)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    pixels[: 2 * SIDE, : 2 * SIDE] = 255
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb")
    return path


@pytest.fixture(autouse=True)
def listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_EVERY_S", 0)


@dataclass
class Counting:
    """Opens a slide, counts reads by place and resolution, and fails at given places."""

    stop_after: int = 10**9
    broken: frozenset[tuple[str, float, float]] = frozenset()
    reads: Counter[tuple[str, float, float]] = field(default_factory=Counter)

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        reader = open_slide(path, name=name, magnification=20)
        real = reader.read_region

        def read_region(location, shape, resolution, bounded=True):
            if shape == (1, 1):  # the first pixel only shows that the slide can be read
                return real(location, shape, resolution, bounded)
            if self.reads.total() >= self.stop_after:
                raise Interrupted(130)
            place = (resolution.token, *location)
            self.reads[place] += 1
            if place in self.broken:
                raise ReadError("a", f"broken at {place}", 0, *map(int, location))
            return real(location, shape, resolution, bounded)

        reader.read_region = read_region
        return reader


EXPORTERS = {
    "csv": CsvExporter(),
    "images": ImagesExporter(threads=1),
    "stack": StackExporter(),
    "second": StackExporter(2, "second"),
}


def job_of(slide: Path, reader: object = None, **changed: object) -> SlideJob:
    """Return a job; tiles are taken over from a run with the same kind of reader."""
    own = {name: {} for name in EXPORTERS}
    extractor = TileExtractor(TileSpec(SIDE, SIDE, Magnification(20)))
    job = SlideJob(slide, "a", reader or Counting(), extractor, EXPORTERS, {"exporter": own})
    return replace(job, **changed)


def in_scales(job: SlideJob) -> SlideJob:
    """Return the job with context tiles of the images."""
    context = (Magnification(10), Magnification(4))
    exporters = with_context(job.exporters, context)
    own = scale_settings(job.settings["exporter"], exporters, context, ())
    return replace(job, exporters=exporters, settings={"exporter": own})


def run_of(job: SlideJob, out: Path, engine: object = None, verify: str = "size") -> RunResult:
    return run([job], out, engine or SerialEngine(), {}, Policy(verify))


def tree(out: Path) -> dict[str, bytes]:
    """Return the files of slides, without the records: they name the code of the test's reader."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted((out / "slides").rglob("*"))
        if path.is_file() and path.name != "record.json"
    }


@pytest.fixture(scope="module")
def whole(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    assert run_of(job_of(slide), out).exit_code == 0
    assert not (out / ".partial").exists()
    return tree(out)


def test_all_exporters_get_the_pixels_of_each_tile(slide: Path, tmp_path: Path) -> None:
    assert run_of(job_of(slide), tmp_path).rows[0].kept == TILES
    folder = tmp_path / "slides/a"
    stack, second = (unpacked(folder / name, SIDE) for name in ("a.stack", "a.second"))
    pixels = tifffile.imread(slide)
    expected = [(x * SIDE, y * SIDE) for y in range(ROWS) for x in range(COLUMNS)]
    assert [*stack] == [*second] == expected
    for x, y in expected:
        tile = pixels[y : y + SIDE, x : x + SIDE]
        np.testing.assert_array_equal(stack[x, y], tile)
        np.testing.assert_array_equal(second[x, y], tile)
        (image,) = folder.glob(f"tiles/a_x{x}_y{y}_*.png")
        np.testing.assert_array_equal(np.asarray(Image.open(image)), tile)


def test_the_progress_counts_each_tile_once_for_all_exporters(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: dict[str, list[int]] = {"planned": [], "tiles": []}
    for name, found in counts.items():
        monkeypatch.setattr(Progress, name, lambda _, slide_id, n, found=found: found.append(n))
    run_of(in_scales(job_of(slide)), tmp_path)
    assert counts["planned"] == [TILES]
    assert sum(counts["tiles"]) == TILES


def test_each_tile_is_read_once_for_each_resolution(slide: Path, tmp_path: Path) -> None:
    reader = Counting()
    assert run_of(in_scales(job_of(slide, reader)), tmp_path).exit_code == 0
    assert {*reader.reads.values()} == {1}
    by_resolution = Counter(token for token, _, _ in reader.reads)
    assert by_resolution == {f"mag_{value}x": TILES for value in ("20.0", "10.0", "4.0")}


def test_all_formats_of_tiler_share_one_read(slide: Path, tmp_path: Path) -> None:
    reader = Counting()
    job = job_of(slide, reader)
    formats: dict[str, Exporter] = {
        "images": ImagesExporter("jpg"),
        "webdataset": WebdatasetExporter(),
        "zarr": ZarrExporter(),
        "hdf5": Hdf5Exporter(images=True),
    }
    exporters = with_spec(formats, job.extractor.tile_spec)
    own = {"exporter": {name: {} for name in exporters}}
    assert run_of(replace(job, exporters=exporters, settings=own), tmp_path).exit_code == 0
    assert [*reader.reads.values()] == [1] * TILES
    found = {path.name for path in (tmp_path / "slides/a").iterdir()}
    assert {"tiles", "a-000000.tar", "a.zarr", "a.trident.h5"} <= found


def test_a_tile_that_is_linked_for_one_exporter_is_read_once_for_others(
    slide: Path, tmp_path: Path
) -> None:
    exporters = {"images": ImagesExporter(threads=1, link=True)}
    cache, reader = tmp_path / "cache", Counting()
    first = job_of(slide, exporters=exporters, settings={"exporter": {"images": {}}}, cache=cache)
    assert run_of(first, tmp_path / "one").exit_code == 0
    both = replace(
        first,
        open_reader=reader,
        exporters={**exporters, "stack": StackExporter()},
        settings={"exporter": {"images": {}, "stack": {}}},
    )
    assert run_of(both, tmp_path / "two").exit_code == 0
    assert [*reader.reads.values()] == [1] * TILES
    images = sorted((tmp_path / "two").glob("slides/a/tiles/*.png"))
    assert len(images) == TILES
    assert {image.stat().st_nlink for image in images} == {2}


ENGINES = {
    "processes 1": lambda: ProcessEngine(workers=1),
    "processes 3": lambda: ProcessEngine(workers=3),
    "dask": lambda: DaskEngine(workers=2),
}


@pytest.mark.parametrize(
    "name", ["processes 1", *(pytest.param(one, marks=pytest.mark.slow) for one in [*ENGINES][1:])]
)
def test_engines_write_the_same_bytes(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    if name == "dask":
        pytest.importorskip("distributed", reason="tiler[dask] is not installed")
    job = job_of(slide, partial(open_slide, magnification=20))
    assert run_of(job, tmp_path, ENGINES[name]()).exit_code == 0
    assert tree(tmp_path) == whole


@pytest.mark.parametrize(("tiles", "threads"), [(1, 1), (7, 3), (10**6, 2)])
def test_pieces_and_threads_change_no_byte(
    slide: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiles: int,
    threads: int,
) -> None:
    monkeypatch.setattr(planning, "_PIECE_TILES", tiles)
    exporters = {**EXPORTERS, "images": ImagesExporter(threads=threads)}
    assert run_of(job_of(slide, exporters=exporters), tmp_path).exit_code == 0
    assert tree(tmp_path) == whole


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, TILES), max_size=3), st.sampled_from([1, 10, 64]))
def test_the_bytes_are_the_same_after_any_number_of_interruptions(
    slide: Path,
    whole: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    interrupted: list[int],
    piece: int,
) -> None:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_PIECE_TILES", piece)
        patch.setattr(planning, "_BLOCK_TILES", type(planning._BLOCK_TILES)(4, 3))
        reads = Counter()
        for after in (*interrupted, 10**9):
            reader = Counting(after)
            code = run_of(job_of(slide, reader), out).exit_code
            reads += reader.reads
            if code == 0:
                break
            assert code == 130
        assert tree(out) == whole
        # Whole pieces are not read again.
        assert reads.total() <= TILES + len(interrupted) * (piece + 12)


@pytest.fixture
def cut_off(slide: Path, tmp_path: Path) -> list[Path]:
    """The spool files of a run that was interrupted before the last pieces were done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_PIECE_TILES", 24)
        patch.setattr(planning, "_BLOCK_TILES", type(planning._BLOCK_TILES)(4, 3))
        assert run_of(job_of(slide, Counting(TILES // 2 + 1)), tmp_path).exit_code == 130
    found = sorted(tmp_path.glob(".partial/*/spool/*.tiles"))
    assert len(found) == 4
    return found


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def flipped_index(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def beheaded(path: Path) -> None:
    path.write_bytes(path.read_bytes()[100:])


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def linked(path: Path) -> None:
    mine = path.parents[3] / "mine.tiles"
    path.rename(mine)
    path.symlink_to(mine)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


HARMS = [flipped_index, shortened, beheaded, emptied, linked, fifo]


@pytest.mark.parametrize(("harm", "verify"), [*((one, "size") for one in HARMS), (flipped, "hash")])
def test_only_sound_spool_files_are_taken_over(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, cut_off: list[Path], harm, verify: str
) -> None:
    harm(cut_off[0])
    reader = Counting()
    assert run_of(job_of(slide, reader), tmp_path, verify=verify).exit_code == 0
    assert {*reader.reads.values()} == {1}
    assert TILES // 2 <= reader.reads.total() < TILES
    assert tree(tmp_path) == whole
    assert not (tmp_path / ".partial").exists()


def test_without_harm_whole_pieces_are_taken_over(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, cut_off: list[Path]
) -> None:
    reader = Counting()
    assert run_of(job_of(slide, reader), tmp_path).exit_code == 0
    assert reader.reads.total() == TILES - 48
    assert tree(tmp_path) == whole


def test_a_byte_that_changes_in_a_spool_file_is_found_before_it_is_packed(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, cut_off: list[Path]
) -> None:
    flipped(cut_off[0])
    with pytest.raises(DestinationError, match="not as it was written"):
        run_of(job_of(slide), tmp_path)
    assert not (tmp_path / "slides/a").exists()
    assert run_of(job_of(slide), tmp_path).exit_code == 0
    assert tree(tmp_path) == whole


def test_after_a_crash_of_the_machine_spool_files_are_read_and_compared(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, cut_off: list[Path], monkeypatch
) -> None:
    flipped(cut_off[0])
    for module in (journal, spool):
        monkeypatch.setattr(module, "this_boot", lambda: "another")
    monkeypatch.setattr("tiler.runner.work.tiles.pieces.this_boot", lambda: "another")
    assert run_of(job_of(slide), tmp_path).exit_code == 0
    assert tree(tmp_path) == whole


def test_a_full_disk_ends_the_run_and_the_next_one_continues(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = Path.open, []

    def open_file(self: Path, mode: str = "r", **options: object) -> object:
        if self.parent.name == "spool" and mode == "xb":
            opened.append(self)
            if len(opened) == 3:
                real(self, mode).close()
                return real(Path("/dev/full"), "wb")
        return real(self, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_file)
        with pytest.raises(DestinationError, match="ENOSPC"):
            run_of(job_of(slide), tmp_path)
    assert not [*tmp_path.glob("slides/*")]
    assert not [*tmp_path.glob(".partial/*/spool/*.partial")]
    reader = Counting()
    assert run_of(job_of(slide, reader), tmp_path).exit_code == 0
    assert reader.reads.total() < TILES
    assert tree(tmp_path) == whole


class Ending(StackExporter):
    """An exporter whose first packing is interrupted after some tiles."""

    def pack(self, source, regions, tiles, folder):
        flag = folder.parents[2] / "again"
        if not flag.exists():
            flag.touch()
            next(iter(tiles))
            (folder / "half.stack").write_bytes(b"half")
            raise Interrupted(130)
        return super().pack(source, regions, tiles, folder)


def test_an_interruption_while_packing_costs_no_read(
    slide: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    exporters = {**EXPORTERS, "stack": Ending()}
    assert run_of(job_of(slide, exporters=exporters), tmp_path).exit_code == 130
    reader = Counting()
    assert run_of(job_of(slide, reader, exporters=exporters), tmp_path).exit_code == 0
    assert not reader.reads
    (tmp_path / "again").unlink()
    assert tree(tmp_path) == whole


@pytest.mark.parametrize("token", ["mag_20.0x", "mag_10.0x"])
def test_a_tile_that_cannot_be_read_is_in_no_format(
    slide: Path, tmp_path: Path, token: str
) -> None:
    place = (80, 120)
    read = tuple(map(float, place)) if token == "mag_20.0x" else (30.0, 50.0)
    reader = Counting(broken=frozenset({(token, *read)}))
    job = replace(in_scales(job_of(slide, reader)), on_bad_tile="drop", max_bad_fraction=0.5)
    (row,) = run_of(job, tmp_path).rows
    assert (row.status, row.dropped, row.kept) == ("done", 1, TILES - 1), row
    folder = tmp_path / "slides/a"
    for name in ("a.stack", "a.second"):
        assert {*unpacked(folder / name, SIDE)} == {
            (x * SIDE, y * SIDE) for x in range(COLUMNS) for y in range(ROWS)
        } - {place}
    assert not [*folder.glob("tiles/*_x80_y120_*")]
    assert len([*folder.glob("tiles/*")]) == 3 * (TILES - 1)
    assert len((folder / "a.csv").read_text().splitlines()) == TILES


def test_blank_tiles_that_are_packed_are_counted(slide: Path, tmp_path: Path) -> None:
    for names in (("images",), ("stack",), ("images", "stack", "second")):
        exporters = {name: EXPORTERS[name] for name in names}
        own = {"exporter": {name: {} for name in names}}
        job = job_of(slide, exporters=exporters, settings=own)
        (row,) = run_of(job, tmp_path / "-".join(names)).rows
        assert row.blank_tiles == BLANK * len(names)


def with_transforms(monkeypatch: pytest.MonkeyPatch, *transforms: object) -> None:
    real = planning.plan_slide
    monkeypatch.setattr(
        tasks, "plan_slide", lambda *given: replace(real(*given), transforms=transforms)
    )


def test_transforms_apply_once_to_all_formats_and_to_blank_tiles(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_transforms(monkeypatch, Added(100), Added(11))
    (row,) = run_of(in_scales(job_of(slide)), tmp_path).rows
    assert row.blank_tiles == BLANK * 3
    pixels = tifffile.imread(slide) + np.uint8(111)
    stack = unpacked(tmp_path / "slides/a/a.stack", SIDE)
    for (x, y), tile in stack.items():
        np.testing.assert_array_equal(tile, pixels[y : y + SIDE, x : x + SIDE])
        (image,) = (tmp_path / "slides/a").glob(f"tiles/a_x{x}_y{y}_*_r1.00.png")
        data = io.BytesIO(image.read_bytes())
        np.testing.assert_array_equal(np.asarray(Image.open(data)), tile)


def test_tiles_of_other_transforms_are_not_taken_over(
    slide: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        with_transforms(patch, Added(1))
        assert run_of(job_of(slide, Counting(TILES - 1)), tmp_path).exit_code == 130
    reader = Counting()
    assert run_of(job_of(slide, reader), tmp_path).exit_code == 0
    assert reader.reads.total() == TILES
    assert tree(tmp_path) == whole


class Text(StackExporter):
    def encoded(self, pixels):
        return "text"


class Nothing(StackExporter):
    def pack(self, source, regions, tiles, folder):
        return None


class Miscounted(StackExporter):
    def pack(self, source, regions, tiles, folder):
        (file,) = super().pack(source, regions, tiles, folder).files
        return Exported((file._replace(size=file.size + 1),))


class Outside(ImagesExporter):
    def file_names(self, slide, regions):
        return [f"../../{number}.png" for number in range(len(regions))]


class Short(ImagesExporter):
    def file_names(self, slide, regions):
        return super().file_names(slide, regions)[1:]


@dataclass(frozen=True)
class Named:
    """Writes the bytes of tiles into files of any names."""

    name: str | None
    per_tile: ClassVar[bool] = True

    def encoded(self, pixels):
        return pixels.tobytes()

    def file_name(self, slide, region):
        return self.name and self.name.format(x=region.location.x, y=region.location.y)


class Changing(StackExporter):
    def encoded(self, pixels):
        pixels[:] = 0  # exporters after it would write black tiles
        return super().encoded(pixels)


@pytest.mark.parametrize(
    ("exporter", "said"),
    [
        (Text(), "test_pipeline.Text.encoded returned 'text' (str); return bytes"),
        (Nothing(), "test_pipeline.Nothing.pack returned None (NoneType); return tiler."),
        (Outside(threads=1), "Outside.file_name returned '../../0.png' (str); return a path below"),
        (Named("/tmp/{x}_{y}"), "Named.file_name returned '/tmp/0_0' (str); return a path below"),
        (Named("raw//{x}_{y}"), "returned 'raw//0_0' (str); return a path below"),
        (Named("raw\\{x}_{y}"), "return a path below"),
        (Named(None), "test_pipeline.Named.file_name returned None (NoneType); return a path"),
        (Named("raw/{x}"), "tiles; return a different path for each"),
        (Short(threads=1), "tiles; return one for each"),
        (Miscounted(), "E_SLIDE slide=a: an exporter lists a.stack with "),
        (Changing(), "ValueError: assignment destination is read-only (test_pipeline.py:"),
    ],
)
def test_errors_of_an_exporter_of_tiles_are_named(
    slide: Path, tmp_path: Path, exporter: object, said: str
) -> None:
    job = job_of(slide, exporters={"own": exporter}, settings={"exporter": {"own": {}}})
    (row,) = run_of(job, tmp_path / "out").rows
    assert row.status == "failed"
    assert said in row.reason
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def halved(pixels):
    return pixels[::2]


def test_a_transform_that_changes_the_shape_is_named(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_transforms(monkeypatch, halved)
    (row,) = run_of(job_of(slide), tmp_path).rows
    found = "an array of uint8 and shape (20, 40, 3)"
    assert f"test_pipeline.halved returned {found}; return uint8 of" in row.reason


def inverted_in_place(pixels):
    np.subtract(255, pixels, out=pixels)
    return pixels


def test_a_transform_that_changes_its_input_is_named(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_transforms(monkeypatch, inverted_in_place)
    (row,) = run_of(job_of(slide), tmp_path).rows
    assert row.reason.startswith("E_COMPONENT slide=a: ValueError: output array is read-only")


class Tracked(bytes):
    """Bytes that are counted while they are in memory."""

    alive = most = 0

    def __init__(self, *_: object) -> None:
        Tracked.alive += 1
        Tracked.most = max(Tracked.most, Tracked.alive)

    def __del__(self) -> None:
        Tracked.alive -= 1


class TrackedStack(StackExporter):
    threads = 2

    def encoded(self, pixels):
        return Tracked(super().encoded(pixels))


def test_the_bytes_of_few_tiles_are_in_memory(slide: Path, tmp_path: Path) -> None:
    gc.collect()
    own = {"exporter": {"own": {}}}
    job = job_of(slide, exporters={"own": TrackedStack()}, settings=own)
    assert run_of(job, tmp_path).exit_code == 0
    assert 1 <= Tracked.most <= 4


def test_a_dry_run_predicts_the_bytes_of_packed_tiles(slide: Path, tmp_path: Path) -> None:
    job = job_of(slide)
    with Stopwatch(SerialEngine()) as watch:
        found = estimate([job], watch, tmp_path / "sample")
    assert run_of(job, tmp_path / "out").exit_code == 0
    size = sum(len(data) for data in tree(tmp_path / "out").values())
    assert found.tiles == 3 * TILES
    assert found.bytes == pytest.approx(size, rel=0.03)
