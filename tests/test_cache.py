"""The cache: the same results with it and without it; damaged and crafted entries are refused."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import a_third_quick, complaint, read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from isal import isal_zlib
from PIL import Image
from special_files import KINDS, plant

from tiler.exporters import CsvExporter, ImagesExporter, OverviewExporter
from tiler.extractor import TileExtractor
from tiler.geometry import Box, Size
from tiler.grid import Cells
from tiler.masks import FileMask
from tiler.protocols import Exporter, Mask, WSIReader
from tiler.readers import open_slide
from tiler.readers.base import Facts
from tiler.readers.deferred import DeferredReader, Known, known_of
from tiler.resolution import MPP, Level
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.store import arrays as cache
from tiler.runner.store.arrays import key_of, load, load_or_recall, store
from tiler.runner.store.cache_folder import prune
from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.store.record_file import load_record, write_record
from tiler.runner.work.cached import Shared, shared_work
from tiler.runner.work.job import SlideJob
from tiler.slides.demo import write_demo_slide
from tiler.spec import TileSpec

HERE = Path(__file__).resolve().parents[1]
LEVEL0 = ["resolution=level", "resolution.value=0"]
SWEEP = ["-m", "threshold=0.1,0.5", "tile.size=300,400", *LEVEL0]
DTYPES = st.sampled_from([np.dtype(kind) for kind in ("?", "<i8", "<f8", "u1")])
ARRAYS = st.dictionaries(
    st.sampled_from(["mask", "x", "ratios"]),
    DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(max_dims=3, min_side=0))),
)


@given(ARRAYS)
def test_stored_arrays_are_loaded(tmp_path_factory: pytest.TempPathFactory, arrays) -> None:
    folder = tmp_path_factory.mktemp("cache")
    store(folder, "k", arrays)
    found = load(folder, "k")
    assert found is not None
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert load(folder, "other") is None


@given(st.data())
def test_any_damage_is_detected(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("cache")
    store(folder, "k", {"mask": np.eye(9) > 0, "x": np.arange(5)})
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"damaged|unknown format"):
        load(folder, "k")


def test_the_keys_of_like_facts_are_the_same() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 1.5})


def test_the_least_recently_used_entries_are_removed_first(tmp_path: Path) -> None:
    """Other files in the folder are not the cache's, whatever their names end with."""
    others = ["mine.arrays", f"{'A' * 64}.arrays", f"{'a' * 64}.arrays.bak", f"{'a' * 63}.arrays"]
    for name in others:
        (tmp_path / name).write_bytes(bytes(5000))
    names = {name: key_of({"name": name}) for name in ("new", "used", "old", "oldest")}
    for age, key in enumerate(names.values()):
        store(tmp_path, key, {"x": np.arange(100)})
        os.utime(tmp_path / f"{key}.arrays", (10**9 - age, 10**9 - age))
    size = (tmp_path / f"{names['new']}.arrays").stat().st_size
    load(tmp_path, names["oldest"])
    prune(tmp_path, 3 * size)
    kept = {f"{names[name]}.arrays" for name in ("new", "used", "oldest")}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, *others}
    prune(tmp_path, 0)
    assert {path.name for path in tmp_path.iterdir()} == {*others}
    prune(tmp_path / "nowhere", 0)


def test_loaded_entries_stay_in_memory_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_held", OrderedDict())
    monkeypatch.setattr(cache, "_MAX_HELD", 2000)
    for number, key in enumerate("abc"):
        store(tmp_path, key, {"x": np.full(100, number)})  # 800 bytes
    for key in "abac":
        assert load_or_recall(tmp_path, key) is not None
    for path in tmp_path.iterdir():
        path.unlink()
    assert [load_or_recall(tmp_path, key) is None for key in "abc"] == [False, True, False]
    assert load_or_recall(tmp_path / "other", "a") is None
    held = load_or_recall(tmp_path, "a")
    assert held is not None
    with pytest.raises(ValueError, match="read-only"):
        held["x"][0] = 7
    store(tmp_path, "a", {"x": np.full(3, 5)})
    os.utime(tmp_path / "a.arrays", (0, 0))
    load_or_recall(tmp_path, "a")
    os.utime(tmp_path / "a.arrays", (0, 0))
    load_or_recall(tmp_path, "a")
    assert (tmp_path / "a.arrays").stat().st_mtime > 0  # an entry in memory counts as used
    again = load_or_recall(tmp_path, "a")
    assert again is not None
    assert again["x"].tolist() == [5, 5, 5]


def test_an_entry_that_cannot_be_removed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(f"{path}: of another user")

    key = key_of({})
    store(tmp_path, key, {"x": np.arange(100)})
    monkeypatch.setattr(Path, "unlink", refuse)
    prune(tmp_path, 0)
    assert load(tmp_path, key) is not None


def test_an_unwritable_folder_loses_only_the_cache_entry(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store(tmp_path / "file" / "cache", "k", {"x": np.arange(3)})
    assert load(tmp_path, "k") is None


def outputs(sweep: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(sweep)): path.read_bytes()
        for path in sweep.rglob("slides/**/*")
        if path.is_file()
    }


def cache_counts(sweep: Path) -> dict[str, int]:
    total: dict[str, int] = {}
    for record in sweep.glob("*/run.json"):
        for what, count in json.loads(record.read_text())["cache"].items():
            if what != "folder":
                total[what] = total.get(what, 0) + count
    return total


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return overrides for a small painted slide."""
    slide = write_demo_slide(tmp_path_factory.mktemp("slide") / "painted.tiff", Size(1600, 1100))
    return ["slides=files", f"slides.paths={slide}"]


@pytest.fixture(scope="module")
def plain(slides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep without a cache."""
    folder = tmp_path_factory.mktemp("plain")
    assert tiler(*SWEEP, *slides, "cache=off", "out=sweep", cwd=folder).returncode == 0
    assert not list(folder.rglob(".cache"))
    assert cache_counts(folder / "sweep") == {"masks made": 4, "grids made": 4}
    return folder / "sweep"


@pytest.fixture(scope="module")
def cached(slides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep with its cache, made once, and its output."""
    folder = tmp_path_factory.mktemp("cached")
    done = tiler(*SWEEP, *slides, "out=sweep", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "sweep", done.stderr


def test_a_sweep_computes_each_mask_and_each_grid_once(
    cached: tuple[Path, str], plain: Path
) -> None:
    sweep, printed = cached
    assert outputs(sweep) == outputs(plain)
    assert cache_counts(sweep) == {
        "masks made": 1,
        "masks reused": 3,
        "grids made": 2,
        "grids reused": 2,
    }
    assert "masks: 0 made, 1 reused; grids: 1 made, 0 reused" in printed
    assert len(list((sweep / ".cache").iterdir())) == 3


@pytest.mark.slow
def test_two_sweeps_that_fill_one_cache_at_once_agree(
    slides: list[str], plain: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tiler", *SWEEP, *slides, f"cache={tmp_path}/shared"]
    running = [
        subprocess.Popen([*command, f"out={name}"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [process.wait() for process in running] == [0, 0]
    for name in ("one", "two"):
        assert outputs(tmp_path / name) == outputs(plain)


OF_A_RUN = [*LEVEL0, "tile.size=200", "out=run"]


@pytest.fixture(scope="module")
def run_of_200(slides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run beside its cache, made once."""
    folder = tmp_path_factory.mktemp("run")
    assert tiler(*slides, *OF_A_RUN, "cache=cache", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize("harm", ["cut", "flipped", "older", "empty", "foreign"])
def test_bad_entries_are_replaced_and_reported(
    slides: list[str], run_of_200: Path, tmp_path: Path, harm: str
) -> None:
    shutil.copytree(run_of_200, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "cache").iterdir():
        if harm == "foreign":
            store(path.parent, path.stem, {"slide": np.frombuffer(b'{"reader": 1}', np.uint8)})
            continue
        data = bytearray(path.read_bytes())
        if harm == "flipped":
            data[-20] ^= 1
        elif harm == "older":
            data[: data.index(b"\n")] = b"tiler-cache-0"
        keep = {"cut": len(data) // 2, "empty": 0}.get(harm, len(data))
        path.write_bytes(data[:keep])
    shutil.rmtree(tmp_path / "run/slides")
    again = tiler(*slides, *OF_A_RUN, "cache=cache", cwd=tmp_path)
    assert again.returncode == 0
    assert outputs(tmp_path) == outputs(run_of_200)
    assert again.stderr.count("WARNING") == again.stderr.count("; it is computed again") == 2
    assert "the cached mask " in again.stderr
    assert "the cached grid " in again.stderr
    assert cache_counts(tmp_path) == {"masks made": 1, "grids made": 1}


@pytest.mark.parametrize(
    ("setting", "made"),
    a_third_quick(
        [
            ("threshold=0.9", set()),
            ("exporter=[json]", set()),
            ("tile.stride=100", {"grids made"}),
            ("tile.edge=pad", {"grids made"}),
            ("tile.size=150", {"grids made"}),
            ("tile.size=520", {"grids made", "masks made"}),  # needs no refined mask
            ("resolution=mpp", {"grids made", "masks made"}),  # the same
            ("mask.saturation=[10,200]", {"grids made", "masks made"}),
            ("mask.close=9", {"grids made", "masks made"}),
            ("reader.mpp=0.3", {"grids made", "masks made"}),
            ("mask=none", {"grids made", "masks made"}),
        ]
    ),
)
def test_a_setting_recomputes_only_what_depends_on_it(
    slides: list[str], run_of_200: Path, tmp_path: Path, setting: str, made: set[str]
) -> None:
    shutil.copytree(run_of_200, tmp_path, dirs_exist_ok=True)
    common = [*slides, *OF_A_RUN, "cache=cache"]
    other = [word for word in common if setting != "resolution=mpp" or word not in LEVEL0]
    done = tiler(*other, setting, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert {what for what in record["cache"] if what.endswith("made")} == made


def changed(**arrays: object) -> Callable[[dict], dict]:
    """Return an entry with some of its arrays replaced by a function of each."""
    return lambda entry: {**entry, **{name: make(entry[name]) for name, make in arrays.items()}}


def at_first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def put(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flat[0] = value
        return array

    return put


CRAFTED_GRIDS = {
    "too much": changed(ratios=at_first(1.5)),
    "negative": changed(ratios=at_first(-0.01)),
    "no number": changed(ratios=at_first(np.nan)),
    "endless": changed(ratios=at_first(np.inf)),
    "turned": changed(ratios=np.transpose),
    "one column less": changed(ratios=lambda r: r[:, 1:]),
    "other type": changed(ratios=lambda r: r.view(np.int64)),
    "one dimension": changed(ratios=np.ravel),
    "off the slide": changed(columns=lambda c: c + 1e6),
    "moved a little": changed(rows=at_first(1e-3)),
    "nowhere": changed(rows=at_first(np.nan)),
    "fewer cells": changed(columns=lambda c: c[1:], ratios=lambda r: r[:, 1:]),
    "more cells": changed(columns=lambda c: np.tile(c, (2, 1)), ratios=lambda r: np.tile(r, 2)),
    "negative piece": changed(tissue=at_first(-1)),
    "fewer pieces": changed(tissue=lambda t: t[1:]),
    "no bounds": changed(bounds=lambda b: b[:3]),
    "a mask": lambda entry: {"mask": np.ones((3, 3), bool)},
    "nothing": lambda entry: {},
}
CRAFTED_MASKS = {
    "numbers": changed(mask=lambda m: m.view(np.uint8)),
    "three dimensions": changed(mask=lambda m: m[None]),
    "no pixels": changed(mask=lambda m: m[:0]),
    "another name": lambda entry: {"Mask": entry["mask"]},
}


@pytest.mark.parametrize("what", [*CRAFTED_GRIDS, *CRAFTED_MASKS])
def test_a_crafted_entry_changes_nothing(slides: list[str], tmp_path: Path, what: str) -> None:
    slide = Path(slides[1].partition("=")[2])
    Image.fromarray(np.eye(11, 16) > 0).save(tmp_path / "mask.png")
    job = job_of(slide, tmp_path / "mask.png", tmp_path / "cache")

    def found() -> tuple[Shared, Cells]:
        cache._held.clear()
        return shared_work(job, lambda: open_slide(slide, name="a"))

    honest, honest_cells = found()
    number = 1 if what in CRAFTED_GRIDS else 0
    entry = load(job.cache, honest.keys[number])
    store(job.cache, honest.keys[number], {**CRAFTED_GRIDS, **CRAFTED_MASKS}[what](dict(entry)))
    again, cells = found()
    assert again.made == (("mask", "grid")[number],)
    (note,) = again.notes
    assert note.endswith("; it is computed again")
    np.testing.assert_array_equal(again.mask, honest.mask)
    expected, given = (dict(vars(some)) for some in (honest_cells, cells))
    expected |= expected.pop("values")
    given |= given.pop("values")
    assert given.keys() == expected.keys() >= {"tissue_id"}
    for name, array in expected.items():
        np.testing.assert_array_equal(given[name], array)
    assert found()[0].notes == ()


def packed(index: bytes, body: bytes) -> bytes:
    content = index + b"\n" + isal_zlib.compress(body)
    return cache._MAGIC + hashlib.sha256(content).digest() + content


ARRAY = b'[["mask", "%s", %s]]'
CRAFTED_FILES = {
    "objects": packed(ARRAY % (b"|O", b"[1]"), bytes(8)),
    "records": packed(ARRAY % (b"i8,i8", b"[1]"), bytes(16)),
    "no type": packed(b'[["mask", null, [1]]]', bytes(1)),
    "text without end": packed(ARRAY % (b"|S0", b"[1]"), b""),
    "huge": packed(ARRAY % (b"<f8", b"[40000, 40000]"), b""),
    "overflowing": packed(ARRAY % (b"<f8", b"[4294967296, 4294967297]"), bytes(8)),
    "negative": packed(ARRAY % (b"|u1", b"[-1, -1]"), bytes(1)),
    "half": packed(ARRAY % (b"|u1", b"[0.5]"), bytes(1)),
    "true": packed(ARRAY % (b"|u1", b"[true]"), bytes(1)),
    "bomb": packed(ARRAY % (b"|u1", b"[1]"), bytes(1 << 24)),
    "less than it says": packed(ARRAY % (b"|u1", b"[100]"), bytes(99)),
    "bits that grow": packed(ARRAY % (b"|b1", b"[2000000000]"), b""),
    "many dimensions": packed(ARRAY % (b"|u1", b"[" + b"1, " * 99 + b"1]"), bytes(1)),
    "deep": packed(b"[" * 10**5, b""),
    "no list": packed(b"{}", b""),
    "numbers": packed(b"[1, 2]", b""),
    "no line": cache._MAGIC + hashlib.sha256(b"x" * 10**6).digest() + b"x" * 10**6,
    "no deflate": cache._MAGIC + hashlib.sha256(b"[]\nxyz").digest() + b"[]\nxyz",
}


@pytest.mark.parametrize("what", [*CRAFTED_FILES, *KINDS])
def test_a_crafted_file_is_no_entry(tmp_path: Path, what: str) -> None:
    path = tmp_path / "k.arrays"
    if what in KINDS:
        store(tmp_path, "k", {"mask": np.eye(3) > 0})
        plant(path, what)
    else:
        path.write_bytes(CRAFTED_FILES[what])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"^(is|has|does|cannot) "):
        load(tmp_path, "k")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_an_entry_that_is_too_large_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MAX_ENTRY", 1000)
    store(tmp_path, "k", {"mask": np.ones((40, 40), bool)})
    assert load(tmp_path, "k") is None


@pytest.mark.slow
def test_another_slide_under_the_same_name_is_another_mask(
    slides: list[str], tmp_path: Path
) -> None:
    slide = Path(shutil.copy(slides[1].partition("=")[2], tmp_path / "a.tiff"))
    common = ["slides=files", "slides.paths=a.tiff", *LEVEL0, "out=run"]
    assert tiler(*common, cwd=tmp_path).returncode == 0
    slide.write_bytes(slide.read_bytes() + bytes(1))
    assert tiler(*common, cwd=tmp_path).returncode == 0
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["cache"]["masks made"] == 1


LINKED = ["exporter=[csv,images]", "exporter.images.link=true", "tile.size=64", *LEVEL0]


def inodes(folder: Path) -> dict[int, int]:
    """Return the bytes of the files below a folder, by inode."""
    return {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("shard", [0, 7])
def test_several_thresholds_cost_little_more_than_one(
    slides: list[str], tmp_path: Path, shard: int
) -> None:
    common = [*slides, *LINKED, "tile.size=128", f"exporter.images.shard={shard}"]
    thresholds = "0.0,0.3,0.6,0.9"
    assert tiler("-m", *common, f"threshold={thresholds}", "out=s", cwd=tmp_path).returncode == 0
    assert tiler(*common, "threshold=0.0", "out=one", "cache=off", "exporter.images.link=false",
                 cwd=tmp_path).returncode == 0  # fmt: skip
    jobs = sorted((tmp_path / "s").glob("*/slides"))
    assert len(jobs) == 4
    kept = [len(list(job.rglob("*.png"))) for job in jobs]
    assert kept[0] > 90
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < kept[0]
    one = sum(inodes(tmp_path / "one").values())
    assert sum(inodes(tmp_path / "s").values()) < 1.3 * one
    assert outputs(jobs[0].parent) == outputs(tmp_path / "one")
    plain = ["cache=off", "exporter.images.link=false", f"threshold={jobs[2].parent.name[-3:]}"]
    assert tiler(*common, *plain, "out=plain", cwd=tmp_path).returncode == 0
    assert outputs(jobs[2].parent) == outputs(tmp_path / "plain")


@pytest.mark.slow
def test_linked_files_that_are_gone_or_changed_are_written_again(
    slides: list[str], tmp_path: Path
) -> None:
    common = [*slides, *LINKED, f"cache={tmp_path}/cache"]
    assert tiler(*common, "out=a", cwd=tmp_path).returncode == 0
    first, second, third, *_ = sorted((tmp_path / "a").rglob("*.png"))
    first.unlink()
    second.write_bytes(b"cut")
    third.write_bytes(bytes(third.stat().st_size))
    assert tiler(*common, "threshold=0.4", "out=b", cwd=tmp_path).returncode == 0
    assert tiler(*common, "threshold=0.4", "out=c", "cache=off", "exporter.images.link=false",
                 cwd=tmp_path).returncode == 0  # fmt: skip
    assert outputs(tmp_path / "b") == outputs(tmp_path / "c")
    shared = inodes(tmp_path / "a").keys() & inodes(tmp_path / "b").keys()
    assert len(shared) > 100


@pytest.mark.slow
def test_two_exporters_that_link_keep_to_their_own_files(slides: list[str], tmp_path: Path) -> None:
    more = {"_target_": "tiler.exporters.ImagesExporter", "extension": "jpg", "link": "true"}
    both = [*slides, *LINKED, *(f"+exporter.more.{key}={value}" for key, value in more.items())]
    for out, words in (("a", []), ("b", ["threshold=0.6"])):
        done = tiler(*both, *words, f"cache={tmp_path}/cache", f"out={out}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    tiles = sorted((tmp_path / "b").rglob("tiles/*"))
    starts = {path.suffix: {p.read_bytes()[:3] for p in tiles if p.suffix == path.suffix}
              for path in tiles}  # fmt: skip
    assert starts == {".png": {b"\x89PN"}, ".jpg": {b"\xff\xd8\xff"}}
    assert len(inodes(tmp_path / "a").keys() & inodes(tmp_path / "b").keys()) == len(tiles)


@pytest.fixture(scope="module")
def linked(slides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of images that later runs may link, and its cache."""
    folder = tmp_path_factory.mktemp("linked")
    words = [*slides, *LINKED, f"cache={folder}/cache", "out=a"]
    assert tiler(*words, cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    "other", ["exporter.images.compression=2", "resolution.value=1", "reader=openslide"]
)
def test_other_pixels_or_files_are_never_linked(
    slides: list[str], linked: Path, tmp_path: Path, other: str
) -> None:
    words = [*slides, *LINKED, f"cache={linked}/cache", other, "out=b"]
    assert tiler(*words, cwd=tmp_path).returncode == 0
    assert list((tmp_path / "b").rglob("*.png"))
    assert not inodes(linked / "a").keys() & inodes(tmp_path / "b").keys()


CRAFTED_LINKS = {
    "another file": {"folders": b"/etc", "names": b"passwd"},
    "out of the folder": {"names": b"../../../../secret.png"},
    "not in the record": {"names": b"tiles/planted.png"},
    "no folder": {"folders": b"/nowhere\n"},
    "a NUL": {"folders": b"/etc\0/x"},
    "other time": {"times": 7},
    "other type": {"times": 0.5},
    "one dimension": {"locations": 7},
    "a column less": {"names": None},
    "a column more": {"sizes": 7},
}


@pytest.mark.parametrize(
    "what",
    a_third_quick(
        [
            "nothing",
            *CRAFTED_LINKS,
            "a link",
            "a FIFO",
            "another user's",
            "no record",
            "another slide's",
        ]
    ),
)
def test_a_file_without_a_valid_record_is_never_linked(
    slides: list[str], tmp_path: Path, what: str
) -> None:
    slide = Path(slides[1].partition("=")[2])

    def made(out: str, threshold: float, link: bool = True) -> Path:
        cache._held.clear()
        extractor = TileExtractor(TileSpec(256, resolution=Level(0)), mask_threshold=threshold)
        exporters = {"images": ImagesExporter(link=link)}
        job = SlideJob(slide, "a", open_slide, extractor, exporters, {}, cache=tmp_path / "cache")
        assert run([job], tmp_path / out, SerialEngine(), {}).exit_code == 0
        return tmp_path / out

    tiles = made("a", 0.0) / "slides/a/tiles"
    (tiles / "planted.png").write_bytes(b"planted")
    for tile in sorted(tiles.iterdir()):
        match what:
            case "a link":
                tile.symlink_to(tile.rename(tmp_path / tile.name))
            case "a FIFO":
                tile.unlink()
                os.mkfifo(tile)
            case "another user's":
                if os.geteuid() != 0:
                    pytest.skip("only root can give files away")
                os.chown(tile, 4242, 4242)
    if what == "no record":
        (tiles.parent / "record.json").write_bytes(b"{}")
    if what == "another slide's":
        record = load_record(tiles.parent)
        write_record(tiles.parent, replace(record, source=Fingerprint(1, 2, "3")), {})
    crafted = 0
    for path in (tmp_path / "cache").iterdir():
        entry = dict(load(path.parent, path.stem) or {})
        if "folders" in entry:
            for name, value in CRAFTED_LINKS.get(what, {}).items():
                entry[name] = np.array([value] * len(entry["times"]))
                crafted += 1
            store(path.parent, path.stem, {k: v for k, v in entry.items() if v.dtype.kind != "O"})
    assert crafted == len(CRAFTED_LINKS.get(what, {}))
    linked = made("b", 0.2)
    assert outputs(linked) == outputs(made("plain", 0.2, link=False))
    assert len(list(linked.rglob("*.png"))) >= 3
    assert bool(inodes(tmp_path / "a").keys() & inodes(linked).keys()) == (what == "nothing")


def test_linking_needs_the_cache(slides: list[str], tmp_path: Path) -> None:
    refused = tiler(*slides, *LINKED, "cache=off", cwd=tmp_path)
    assert refused.returncode == 2
    assert "exporter.images.link" in complaint(refused)


@pytest.mark.parametrize("what", ["mask", pytest.param("reader", marks=pytest.mark.slow)])
def test_a_users_own_code_is_part_of_the_key(slides: list[str], tmp_path: Path, what: str) -> None:
    source = (
        "import numpy as np\nfrom tiler.readers import open_slide\n"
        "class Mask:\n    def generate(self, source):\n        return np.ones((4, 4), bool)\n"
        "def reader(path, *, name=None):\n    return open_slide(path, name=name)\n"
    )
    option = {"mask": "_target_: mine.Mask", "reader": "_target_: mine.reader\n_partial_: true"}
    (tmp_path / "conf" / what).mkdir(parents=True)
    (tmp_path / "conf" / what / "mine.yaml").write_text(option[what] + "\n")
    command = ["--config-dir", "conf", *slides, *LEVEL0, f"{what}=mine", f"cache={tmp_path}/c"]
    made = []
    for change in ("", "# another version\n", ""):
        (tmp_path / "mine.py").write_text(source + change)
        env = {"TILER_TARGETS": "mine", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(HERE)])}
        done = tiler(*command, f"out=out{len(made)}", cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / f"out{len(made)}/run.json").read_text())
        made.append(record["cache"].get("masks made", 0))
    assert made == [1, 1, 0]


@pytest.mark.parametrize(
    ("exporter", "opened"),
    [
        pytest.param(CsvExporter(), 2, id="csv"),
        pytest.param(OverviewExporter(), 4, id="overview", marks=pytest.mark.slow),
    ],
)
def test_a_slide_with_a_cached_grid_is_opened_only_for_its_pixels(
    slides: list[str], tmp_path: Path, exporter: Exporter, opened: int
) -> None:
    slide, times = Path(slides[1].partition("=")[2]), []

    def counted(path: Path, *, name: str | None = None) -> WSIReader:
        times.append(path)
        return open_slide(path, name=name)

    def opened_by(kind: str, folder: Path | None) -> int:
        times.clear()
        for size, threshold in ((200, 0.1), (200, 0.9), (300, 0.1), (300, 0.9)):
            cache._held.clear()
            extractor = TileExtractor(TileSpec(size, resolution=Level(0)), mask_threshold=threshold)
            job = SlideJob(slide, "a", counted, extractor, {"x": exporter}, {}, cache=folder)
            out = tmp_path / f"{kind}/{size}-{threshold}"
            assert run([job], out, SerialEngine(), {}).exit_code == 0
        return len(times)

    assert opened_by("cached", tmp_path / "cache") == opened
    assert opened_by("plain", None) == 4
    assert outputs(tmp_path / "cached") == outputs(tmp_path / "plain")
    rows = [json.loads(p.read_text())["row"] for p in (tmp_path / "cached").rglob("record.json")]
    assert len(rows) == 4
    assert len({row["reader"] for row in rows}) == 1


class Vanishing(FileMask):
    """A mask whose file is removed as soon as it was read."""

    def generate(self, source: WSIReader) -> Mask:
        mask = super().generate(source)
        Path(self.path).unlink()
        return mask


def job_of(slide: Path, mask: Path, cache: Path) -> SlideJob:
    spec = TileSpec(100, resolution=Level(0))
    extractor = TileExtractor(spec, mask_provider=FileMask(str(mask)))
    return SlideJob(slide, "a", open_slide, extractor, {}, {}, cache=cache)


@pytest.mark.parametrize("what", ["slide", "mask", "mask is gone"])
def test_a_file_replaced_during_the_check_is_not_kept(
    slides: list[str], tmp_path: Path, what: str
) -> None:
    slide = Path(shutil.copy2(slides[1].partition("=")[2], tmp_path / "a.tiff"))
    mask = tmp_path / "mask.png"
    Image.fromarray(np.eye(11, 16) > 0).save(mask)
    other = write_demo_slide(tmp_path / "other.tiff", Size(800, 550))
    Image.fromarray(np.eye(22, 32) > 0).save(tmp_path / "other.png")
    job = job_of(slide, mask, tmp_path / "cache")
    if what == "mask is gone":
        provider = Vanishing(str(mask))
        job = replace(job, extractor=TileExtractor(job.extractor.tile_spec, None, provider))
    asked = job.input_hashes()

    def replaced() -> WSIReader:
        if what == "slide":
            shutil.copy2(other, slide)
        elif what == "mask":
            shutil.copy2(tmp_path / "other.png", mask)
        return open_slide(slide, name="a")

    shared, _ = shared_work(job, replaced)
    assert shared.inputs == asked
    assert not list(tmp_path.glob("cache/*"))


def test_a_users_reader_may_return_numpy_numbers(tmp_path: Path) -> None:
    plain = Facts((Size(7, 5),), (1.0,), Box(0, 0, 7, 5), 0.25, 20.0, {"mpp": "told"}, {})
    facts = Facts(
        level_dimensions=(Size(np.int64(7), np.uint16(5)),),
        level_downsamples=(np.float32(1),),
        bounds=Box(*np.array([0, 0, 7, 5])),
        mpp=np.float32(0.25),
        magnification=np.float64(20),
        provenance={"mpp": "told"},
        properties={"patient": "not to travel"},
    )

    def nothing() -> WSIReader:
        raise AssertionError("it need not be opened")

    reader = DeferredReader(tmp_path / "a", "a", Known("R", facts), nothing)
    assert repr(known_of(reader)) == repr(Known("DeferredReader", plain))


def test_a_deferred_slide_is_the_slide(slides: list[str]) -> None:
    path = Path(slides[1].partition("=")[2])
    with open_slide(path) as real:
        late = DeferredReader(path, path.stem, known_of(real), lambda: real)
        for name in ("path", "name", "dimensions", "bounds", "level_dimensions", "mpp",
                     "level_downsamples", "magnification", "provenance", "properties"):  # fmt: skip
            assert getattr(late, name) == getattr(real, name)
        for bounded in (True, False):
            box = ((30, 50), (70, 40), MPP(1.0), bounded)
            np.testing.assert_array_equal(late.read_region(*box), real.read_region(*box))
        np.testing.assert_array_equal(late.thumbnail(Size(30, 20)), real.thumbnail(Size(30, 20)))


def test_a_users_mask_may_depend_on_the_slides_name(slides: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nclass Mask:\n    def generate(self, source):\n"
        "        return np.full((4, 4), source.name == 'a')\n"
    )
    (tmp_path / "conf/mask").mkdir(parents=True)
    (tmp_path / "conf/mask/mine.yaml").write_text("_target_: mine.Mask\n")
    (tmp_path / "in").mkdir()
    slide = slides[1].partition("=")[2]
    for name in "ab":
        os.link(slide, tmp_path / f"in/{name}.tiff")
    env = {"TILER_TARGETS": "mine", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(HERE)])}
    done = tiler("--config-dir", "conf", "slides=files", "slides.paths=in", *LEVEL0, "mask=mine",
                 "out=out", cwd=tmp_path, env=env)  # fmt: skip
    assert done.returncode == 0, done.stderr
    a, b = read_csv(tmp_path / "out/slides.csv")
    assert int(a["kept"]) > 0 == int(b["kept"])
