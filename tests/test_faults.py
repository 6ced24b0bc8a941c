"""Faults to survive and inputs to refuse: each has its own message, and none is silent."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from command import fresh_tiler, read_csv, tiler
from PIL import Image

import tiler.readers.openslide.selftest as selftest
from tiler.errors import DestinationError, EnvironmentRefusedError, LimitError, OpenError
from tiler.files import write_whole
from tiler.readers import OpenSlideReader
from tiler.resolution import Level

NAME = "CMU-1-Small-Region"
LEVEL0 = ["slides=files", "slides.paths=in", "resolution=level", "mask=none", "out=out"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.fixture
def corrupt(folder: Path, shared_slides: Path) -> Path:
    """A slide with one bad native tile of 130."""
    data = bytearray((shared_slides / f"{NAME}.svs").read_bytes())
    data[600_000:604_096] = bytes(4096)
    (folder / "in/bad.svs").write_bytes(data)
    shutil.copy(shared_slides / f"{NAME}.svs", folder / "in/good.svs")
    return folder


def rows(folder: Path) -> dict[str, dict[str, str]]:
    return {row["slide_id"]: row for row in read_csv(folder / "out/slides.csv")}


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = (folder / "out/events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


# --- bad tiles -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_f1_a_bad_tile_fails_its_slide_alone(corrupt: Path, reader: str) -> None:
    result = tiler(
        *LEVEL0, "tile.size=240", "exporter=[csv,images]", f"reader={reader}", cwd=corrupt
    )
    assert result.returncode == 3
    found = rows(corrupt)
    assert found["good"]["status"] == "done"
    assert found["bad"]["status"] == "failed"
    for words in ("E_READ", "level 0 at (720, 1680)", "remature end", "1 of 108 tiles unreadable"):
        assert words in found["bad"]["reason"]
    (event,) = events(corrupt, "bad_tile")
    assert (event["slide"], event["x"], event["y"]) == ("bad", 720, 1680)
    assert [path.name for path in (corrupt / "out/slides").iterdir()] == ["good"]


@pytest.mark.slow
def test_f2_f3_a_dropped_tile_is_absent_and_all_others_are_right(corrupt: Path) -> None:
    common = [*LEVEL0, "tile.size=240", "exporter=[csv,images]", "on_bad_tile=drop"]
    assert tiler(*common, cwd=corrupt).returncode == 3
    bad, good = (corrupt / "out/slides" / name for name in ("bad", "good"))
    tiles = {
        path.name.removeprefix("good"): path.read_bytes() for path in (good / "tiles").iterdir()
    }
    dropped = "_x720_y1680_w240_h240_l_0_r1.00.png"
    del tiles[dropped]
    assert {p.name.removeprefix("bad"): p.read_bytes() for p in (bad / "tiles").iterdir()} == tiles
    listed = {row["file"] for row in read_csv(bad / "bad.csv")}
    assert listed == {f"tiles/bad{name}" for name in tiles}
    assert len(listed) == 107
    (entry,) = json.loads((bad / "record.json").read_text())["dropped"]
    assert (entry["x"], entry["y"]) == (720, 1680)
    row = rows(corrupt)["bad"]
    assert (row["status"], row["dropped"], row["kept"]) == ("failed", "1", "107")

    assert tiler(*common, "max_bad_fraction=0.01", cwd=corrupt).returncode == 0
    row = rows(corrupt)["bad"]
    assert (row["status"], row["dropped"]) == ("done", "1")
    assert "1 of 108 tiles unreadable" in row["reason"]


@pytest.mark.slow
def test_a_tile_that_a_filter_cannot_read_is_dropped(corrupt: Path) -> None:
    """The counts add up without an exporter that reads pixels; the scores are not cached."""
    (corrupt / "in/good.svs").unlink()
    common = [*LEVEL0, "tile.size=240", "filter=[white,black]", "exporter=[csv,candidates]"]
    common += ["filter.white.mpp=null", "filter.white.max=0.5", "filter.black.mpp=null"]
    failed = tiler(*common, cwd=corrupt)
    assert failed.returncode == 3
    assert "E_READ slide=bad: level 0 at" in failed.stderr

    drop = [*common, "on_bad_tile=drop"]
    assert tiler(*drop, cwd=corrupt).returncode == 3
    assert rows(corrupt)["bad"]["reason"].startswith("1 of ")
    for more in ((), ("exporter=[csv,candidates,json]",), ("threshold=0.2",)):
        assert tiler(*drop, "max_bad_fraction=0.03", *more, cwd=corrupt).returncode == 0
        row = rows(corrupt)["bad"]
        out = ("kept", "below_threshold", "dropped_white", "dropped_black", "not_sampled")
        assert (row["status"], row["dropped"], row["candidates"]) == ("done", "1", "108")
        assert sum(int(row[name]) for name in out) == 107
        assert f"1 of {int(row['kept']) + 1} tiles unreadable" in row["reason"]
        cells = read_csv(corrupt / "out/slides/bad/bad_candidates.csv")
        (bad,) = [cell for cell in cells if cell["decision"] == "unreadable"]
        assert (bad["x"], bad["y"], bad["score_white"]) == ("720", "1680", "")
        (entry,) = json.loads((corrupt / "out/slides/bad/record.json").read_text())["dropped"]
        assert (entry["x"], entry["y"]) == (720, 1680)
    found = events(corrupt, "bad_tile")
    assert {(event["x"], event["y"]) for event in found} == {(720, 1680)}


# --- the destination -----------------------------------------------------------------------------


def limited(folder: Path, limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run with a limit on the size of any file written."""

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
         "from tiler.entry import main; main()", *arguments],
        cwd=folder, capture_output=True, text=True, preexec_fn=lower, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="resource limits of POSIX systems")
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_f11_a_limit_on_file_size_stops_the_run_once(
    folder: Path, shared_slides: Path, engine: str
) -> None:
    shutil.copy(shared_slides / f"{NAME}.svs", folder / "in/a.svs")
    shutil.copy(shared_slides / f"{NAME}.svs", folder / "in/b.svs")
    common = [*LEVEL0, "tile.size=512", "exporter=[csv,images]", f"engine={engine}"]
    result = limited(folder, 50_000, *common)
    assert result.returncode == 4, result.stderr
    assert result.stderr.count("E_DEST") == 1
    for words in ("EFBIG", "free bytes", "free inodes", "run again"):
        assert words in result.stderr
    assert list((folder / "out/slides").iterdir()) == []
    assert tiler(*common, cwd=folder).returncode == 0
    assert {row["status"] for row in rows(folder).values()} == {"done"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 3 MB with few inodes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,nr_inodes=400", "tmpfs", str(disk)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_an_unwritable_place_is_an_error_of_the_destination(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match="ENOTDIR"):  # nor be listed to find files to remove
        write_whole(tmp_path / "file/x", b"data")


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs of Linux")
def test_f9_a_full_disk_stops_the_run_once_and_a_rerun_finishes(
    folder: Path, shared_slides: Path, small_disk: Path
) -> None:
    for name in ("a", "b", "c"):
        shutil.copy(shared_slides / f"{NAME}.svs", folder / f"in/{name}.svs")
    common = [*LEVEL0[:-1], f"out={small_disk}/out", "tile.size=512", "resolution.value=0",
              "exporter=[csv,images]", "exporter.images.extension=jpg"]  # fmt: skip
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_700_000))
    result = tiler(*common, cwd=folder)
    assert result.returncode == 4, result.stderr
    assert result.stderr.count("E_DEST") == 1
    assert "ENOSPC" in result.stderr
    finished = [path.name for path in (small_disk / "out/slides").iterdir()]
    assert finished in (["a"], ["a", "b"], ["b", "a"])
    told = json.loads((small_disk / "out/run.json").read_text())
    assert (told["status"], told["exit_code"]) == ("failed", 4)
    assert "ENOSPC" in told["error"]
    statuses = {row["slide_id"]: row["status"] for row in read_csv(small_disk / "out/slides.csv")}
    assert [name for name in statuses if statuses[name] == "done"] == sorted(finished)
    assert set(statuses.values()) == {"done", "interrupted"}
    filler.unlink()
    result = tiler(*common, "verify=hash", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert f"{len(finished)} of 3 slides are done already" in result.stderr
    statuses = {row["slide_id"]: row["status"] for row in read_csv(small_disk / "out/slides.csv")}
    assert statuses == dict.fromkeys("abc", "done")


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs of Linux")
def test_f10_a_disk_without_inodes_is_reported(
    folder: Path, shared_slides: Path, small_disk: Path
) -> None:
    shutil.copy(shared_slides / f"{NAME}.svs", folder / "in/a.svs")
    result = tiler(
        *LEVEL0[:-1], f"out={small_disk}/out", "tile.size=64", "exporter=[images]",
        "exporter.images.extension=jpg", "exporter.images.quality=5", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 4, result.stderr
    assert "free inodes 0" in result.stderr


def test_f12_written_files_are_complete(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    write_whole(tmp_path / "x", data)
    assert (tmp_path / "x").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_f23_wrong_pixels_of_openslide_refuse_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = openslide.OpenSlide.read_region

    def wrong(self, location, level, size):
        image = right(self, location, level, size)
        image.paste((1, 2, 3, 255), (0, 16, 40, 20))
        return image

    selftest.check_openslide.cache_clear()
    selftest.check_openslide()
    selftest.check_openslide.cache_clear()
    monkeypatch.setattr(openslide.OpenSlide, "read_region", wrong)
    with pytest.raises(EnvironmentRefusedError, match="openslide-bin") as caught:
        selftest.check_openslide()
    assert caught.value.exit_code == 6


def test_f28_fork_cannot_be_configured(tmp_path: Path) -> None:
    result = tiler("engine=processes", "engine.start_method=fork", cwd=tmp_path)
    assert result.returncode == 2
    assert "engine.start_method" in result.stderr


def test_f25_clashing_names_are_all_done_apart(folder: Path, shared_slides: Path) -> None:
    for name in ("a/S1.svs", "b/S1.svs", "b/s1.svs", "S1.tiff"):
        path = folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(shared_slides / "boxes.tiff", path)
    result = tiler(*LEVEL0, "tile.size=50", cwd=folder)
    assert result.returncode == 0, result.stderr
    found = rows(folder)
    assert len(found) == 4
    for name in found:
        assert read_csv(folder / f"out/slides/{name}/{name}.csv")[0]["slide"] == name


def test_f30_the_clock_and_the_locale_change_no_byte(folder: Path, shared_slides: Path) -> None:
    shutil.copy2(shared_slides / "boxes.tiff", folder / "in/a.tiff")
    odd = {"TZ": "Pacific/Auckland", "LC_ALL": "de_DE.UTF-8"}
    trees = []
    for done in (
        tiler(*LEVEL0, "tile.size=50", cwd=folder),
        fresh_tiler(*LEVEL0[:-1], "tile.size=50", "out=odd", cwd=folder, env=odd),
    ):
        assert done.returncode == 0, done.stderr
        out = folder / ("odd" if trees else "out")
        trees.append({p.name: p.read_bytes() for p in (out / "slides/a").iterdir()})
    assert trees[0] == trees[1]


# --- inputs to refuse well -----------------------------------------------------------------------


def opened(path: Path, **options: object) -> str:
    with pytest.raises((OpenError, LimitError)) as caught:
        OpenSlideReader(path, **options)
    return str(caught.value)


def test_i1_i2_f5_bad_inputs_have_different_messages(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()
    (tmp_path / "page.svs").write_text("<!DOCTYPE html><html>404 not found</html>")
    (tmp_path / "paper.svs").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    (tmp_path / "folder.svs").mkdir()
    (tmp_path / "dangling.svs").symlink_to("nowhere.svs")
    (tmp_path / "loop.svs").symlink_to("loop.svs")
    said = {
        "empty": "empty (0 bytes)",
        "page": "starts with HTML",
        "paper": "starts with PDF",
        "folder": "is a folder",
        "dangling": "link points to nothing",
        "loop": "ymbolic links",
        "missing": "no such file",
    }
    for name, words in said.items():
        assert words in opened(tmp_path / f"{name}.svs")


def test_i5_the_error_of_a_striped_tiff_names_the_conversion(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tiff", np.zeros((70, 90, 3), np.uint8), photometric="rgb")
    message = opened(tmp_path / "s.tiff")
    assert "not tiled" in message
    assert "vips tiffsave --tile --pyramid" in message


def test_i6_a_tiff_that_points_to_itself_ends(tmp_path: Path) -> None:
    entry = struct.pack("<HHII", 256, 4, 1, 16)
    (tmp_path / "x.tiff").write_bytes(
        b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    )
    assert "E_OPEN" in opened(tmp_path / "x.tiff")


def huge(path: Path, width: int, height: int, tile: int) -> Path:
    """A TIFF of a few bytes that claims to be large."""
    tiles = -(-width // tile) * -(-height // tile)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1),
               (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, tile), (323, 4, 1, tile),
               (324, 4, 1, 0), (325, 4, 1, 0)]  # fmt: skip
    assert tiles == 1
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4))
    return path


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_i7_i8_claims_of_size_are_refused_before_allocating(folder: Path, engine: str) -> None:
    huge(folder / "in/wide.tiff", 1_048_576, 1_048_576, 1_048_576)
    huge(folder / "in/tile.tiff", 65_536, 65_536, 65_536)
    workers = ["engine.workers=1"] if engine == "processes" else []
    result = tiler(*LEVEL0, f"engine={engine}", *workers, cwd=folder)
    assert result.returncode == 3
    found = rows(folder)
    assert "E_LIMIT" in found["tile"]["reason"]
    assert "reader.max_tile_bytes" in found["tile"]["reason"]
    assert "E_LIMIT" in found["wide"]["reason"]
    assert "reader.max_pixels" in found["wide"]["reason"]
    assert "died" not in result.stderr


@pytest.mark.parametrize("target", ["CsvExporter", "ImagesExporter"])
def test_two_exporters_of_the_same_files_are_refused(folder: Path, target: str) -> None:
    pixels = np.zeros((96, 128, 3), np.uint8)
    tifffile.imwrite(folder / "in/a.tiff", pixels, tile=(32, 32), photometric="rgb")
    more = f"+exporter.more._target_=tiler.exporters.{target}"
    words = ["reader=openslide", "tile.size=32", "exporter=[csv,images]", more]
    result = tiler(*LEVEL0, *words, cwd=folder)
    assert result.returncode == 3, result.stderr
    assert "two exporters write" in rows(folder)["a"]["reason"]


@pytest.mark.parametrize("bytes_claimed", [1 << 48, 1 << 63])
@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_claims_of_a_tiles_bytes_do_not_end_the_run(
    folder: Path, bytes_claimed: int, reader: str
) -> None:
    for name in ("claims", "good"):
        tifffile.imwrite(
            folder / f"in/{name}.svs", np.zeros((96, 128, 3), np.uint8), tile=(32, 32),
            compression="jpeg", photometric="rgb", metadata=None,
            description="Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.5",
        )  # fmt: skip
    with tifffile.TiffFile(folder / "in/claims.svs", mode="r+") as tiff:
        tiff.pages.first.tags[325].overwrite([bytes_claimed] * 12, dtype="Q")
    result = tiler(*LEVEL0, "tile.size=32", f"reader={reader}", cwd=folder)
    assert result.returncode == 3, result.stderr
    found = rows(folder)
    assert f"{bytes_claimed:,} bytes" in found["claims"]["reason"]
    assert found["good"]["status"] == "done"


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_tiles_that_are_not_listed_are_not_taken_for_blank(folder: Path, reader: str) -> None:
    path = folder / "in/short.svs"
    tifffile.imwrite(
        path, np.zeros((96, 128, 3), np.uint8), tile=(32, 32), compression="jpeg",
        photometric="rgb", metadata=None, bigtiff=reader == "auto",
        description="Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.5",
    )  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[257].overwrite(960)
    with openslide.OpenSlide(path) as slide:
        assert slide.read_region((0, 500), 0, (9, 9)).getextrema()[3] == (0, 0)
    result = tiler(*LEVEL0, "tile.size=32", f"reader={reader}", cwd=folder)
    assert result.returncode == 3, result.stderr
    assert "128x960 pixels are 120 native tiles, but 12 are" in rows(folder)["short"]["reason"]


def test_i11_sparse_tiles_are_background_not_black(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tiff"
    data = np.full((96, 128, 3), 90, np.uint8)
    tifffile.imwrite(path, data, tile=(32, 32), compression="deflate", photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages.first
        counts = list(page.databytecounts)
        offsets = list(page.dataoffsets)
        counts[5] = offsets[5] = 0
        page.tags[325].overwrite(counts)
        page.tags[324].overwrite(offsets)
    with OpenSlideReader(path) as reader:
        pixels = reader.read_region((0, 0), (128, 96), Level(0))
    assert (pixels[32:64, 32:64] == 255).all()
    pixels = pixels.copy()
    pixels[32:64, 32:64] = 90
    assert (pixels == 90).all()


def test_i20_a_slide_smaller_than_a_tile(folder: Path, shared_slides: Path) -> None:
    shutil.copy(shared_slides / "small.svs", folder / "in")
    for edge, status, kept in (("drop", "done_empty", "0"), ("shift", "done_empty", "0"),
                               ("pad", "done", "1")):  # fmt: skip
        result = tiler(*LEVEL0, "tile.size=64", f"tile.edge={edge}", "threshold=0", cwd=folder)
        assert result.returncode == 0, result.stderr
        row = rows(folder)["small"]
        assert (row["status"], row["kept"]) == (status, kept)
        assert ("smaller than one tile" in row["reason"]) == (kept == "0")


AWKWARD = ("a b", "it's", 'q"q', "line\nbreak", "tab\t", "com,ma", "=cmd", "-x", "caf\u00e9",
           "cafe\u0301", "\U0001f52c", "%s", "{x}", "${oc.env:HOME}", ".", "CON",
           "x" * 240)  # fmt: skip


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory, shared_slides: Path) -> Path:
    """A run over slides with awkward names, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("awkward")
    for number, name in enumerate(AWKWARD):
        (folder / f"in/{number}").mkdir(parents=True)
        with suppress(OSError):  # a file system that cannot hold the name
            shutil.copy(shared_slides / "boxes.tiff", folder / f"in/{number}/{name}.tiff")
    words = ["tile.size=150", "exporter=[csv,json,images]", "verify=hash"]
    result = tiler(*LEVEL0, *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("name", AWKWARD)
def test_i24_i26_awkward_names_round_trip(awkward: Path, name: str) -> None:
    place = awkward / f"in/{AWKWARD.index(name)}"
    if not list(place.iterdir()):
        pytest.skip("this file system cannot hold the name")
    (row,) = (row for row in rows(awkward).values() if f"in/{place.name}/" in row["path"])
    out = awkward / "out/slides" / row["slide_id"]
    table = read_csv(out / f"{row['slide_id']}.csv")
    objects = json.loads((out / f"{row['slide_id']}.json").read_text(encoding="utf-8"))
    assert {line["slide"] for line in table} == {row["slide_id"]}
    assert {line["slide"] for line in objects} == {row["slide_id"]}
    assert len(list((out / "tiles").iterdir())) == int(row["kept"]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_i25_an_undecodable_name_is_processed(folder: Path, shared_slides: Path) -> None:
    path = os.fsencode(folder / "in") + b"/\xff\xfe.tiff"
    shutil.copy(shared_slides / "boxes.tiff", path)
    result = tiler(*LEVEL0, "tile.size=150", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    (row,) = read_csv(folder / "out/slides.csv")
    assert row["status"] == "done"


@pytest.mark.parametrize("link", ["slides/a", "slides", ".partial"])
def test_i27_links_in_the_output_are_refused(folder: Path, shared_slides: Path, link: str) -> None:
    shutil.copy(shared_slides / "boxes.tiff", folder / "in/a.tiff")
    (folder / "elsewhere").mkdir()
    place = folder / "out" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(folder / "elsewhere")
    result = tiler(*LEVEL0, "tile.size=50", cwd=folder)
    assert result.returncode == (3 if link == "slides/a" else 2)
    assert "symbolic link" in result.stderr
    assert list((folder / "elsewhere").iterdir()) == []


def test_i30_a_decompression_bomb_as_mask_is_refused(folder: Path, shared_slides: Path) -> None:
    shutil.copy(shared_slides / "boxes.tiff", folder / "in/a.tiff")
    head = b"\x89PNG\r\n\x1a\n"
    Image.new("1", (300, 250), 1).save(folder / "small.png")
    data = bytearray((folder / "small.png").read_bytes())
    assert data.startswith(head)
    data[16:24] = struct.pack(">II", 60_000, 50_000)
    (folder / "bomb.png").write_bytes(data)
    common = [*LEVEL0, "mask=file"]
    result = tiler(*common, "mask.path=bomb.png", cwd=folder)
    assert result.returncode == 3
    assert "E_LIMIT" in rows(folder)["a"]["reason"] or "not an image" in rows(folder)["a"]["reason"]


@pytest.mark.slow
def test_i31_masks_that_do_not_fit(folder: Path, shared_slides: Path) -> None:
    shutil.copy(shared_slides / "boxes.tiff", folder / "in/a.tiff")
    Image.new("L", (300, 400), 255).save(folder / "wrong.png")
    Image.new("L", (30, 25), 0).save(folder / "black.png")
    common = [*LEVEL0, "mask=file", "tile.size=50"]
    assert tiler(*common, "mask.path=wrong.png", cwd=folder).returncode == 3
    reason = rows(folder)["a"]["reason"]
    assert "300x400" in reason
    assert "300x250" in reason
    assert tiler(*common, "mask.path=black.png", cwd=folder).returncode == 0
    row = rows(folder)["a"]
    assert row["status"] == "done_empty"
    assert "no tissue" in row["reason"]


def test_i32_nothing_of_the_patient_reaches_the_output(folder: Path, shared_slides: Path) -> None:
    shutil.copy(shared_slides / f"{NAME}.svs", folder / "in")
    result = tiler(*LEVEL0, "tile.size=600", "exporter=[csv,json,images,overview]", cwd=folder)
    assert result.returncode == 0, result.stderr
    with openslide.OpenSlide(folder / f"in/{NAME}.svs") as slide:
        secrets = [slide.properties[key] for key in ("aperio.User", "aperio.ScanScope ID")]
    secrets += [str(folder), "ImageDescription"]
    for path in (folder / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, (path, secret)


def test_i33_a_mirax_without_its_folder_names_what_is_missing(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "slide.mrxs", "JPEG")
    from tiler.readers import open_slide

    with pytest.raises(OpenError, match=r"data folder 'slide'"):
        open_slide(tmp_path / "slide.mrxs")


@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((96, 128, 3), np.uint16, {"photometric": "rgb"}),
        ((96, 128), np.float32, {"photometric": "minisblack"}),
        ((96, 128, 5), np.uint8, {"photometric": "minisblack", "planarconfig": "contig"}),
    ],
)
def test_i22_depth_that_openslide_hides_is_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: type, options: dict[str, str]
) -> None:
    path = tmp_path / "deep.tiff"
    tifffile.imwrite(path, np.ones(shape, kind), tile=(32, 32), compression="deflate", **options)
    assert opened(path).count("E_") >= 1


def test_i18_an_mpp_that_contradicts_the_power_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "odd.svs"
    description = "Aperio Image Library v11\r\n128x96 (32x32) JPEG|AppMag = 5|MPP = 0.25"
    tifffile.imwrite(
        path, np.zeros((96, 128, 3), np.uint8), tile=(32, 32), compression="jpeg",
        photometric="rgb", description=description, metadata=None,
    )  # fmt: skip
    with OpenSlideReader(path) as reader:
        assert reader.mpp == 0.25
        assert reader.magnification == 5
        assert "inconsistent with the objective power 5" in reader.provenance["mpp"]
    with OpenSlideReader(path):  # a dataset opens its slides often
        (told,) = caplog.messages
    for word in ("slide=odd", "0.25", "inconsistent with the objective power 5", "reader.mpp"):
        assert word in told


@pytest.mark.parametrize("compression", ["jpeg", "lzw", "deflate"])
def test_i21_the_last_partial_tiles_are_right(tmp_path: Path, compression: str) -> None:
    random = np.random.default_rng(3)
    pixels = np.kron(random.integers(60, 200, (13, 18, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    pixels = pixels[:97, :139]
    path = tmp_path / "partial.tiff"
    tifffile.imwrite(path, pixels, tile=(32, 32), compression=compression, photometric="rgb")
    with OpenSlideReader(path) as reader:
        seen = reader.read_region((0, 0), (139, 97), Level(0))
    assert np.abs(seen.astype(int) - tifffile.imread(path)).max() <= (
        2 if "jpeg" in compression else 0
    )


def test_f29_a_passing_read_error_is_retried(
    shared_slides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, calls = openslide.OpenSlide.read_region, []

    def flapping(self, location, level, size):
        calls.append(location)
        if len(calls) == 1:
            raise openslide.OpenSlideError("Input/output error")
        return right(self, location, level, size)

    with OpenSlideReader(shared_slides / f"{NAME}.svs") as reader:
        expected = reader.read_region((0, 0), (50, 40), Level(0))
        monkeypatch.setattr(openslide.OpenSlide, "read_region", flapping)
        np.testing.assert_array_equal(reader.read_region((0, 0), (50, 40), Level(0)), expected)
        assert reader.reopened == 1


def test_i10_a_wide_slide_of_one_level_is_masked_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiler.readers.base._STRIP_BYTES", 200_000)
    pixels = np.random.default_rng(1).integers(0, 255, (600, 900, 3)).astype(np.uint8)
    path = tmp_path / "wide.tiff"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="deflate", photometric="rgb")
    with OpenSlideReader(path) as reader:
        largest = 0
        whole = reader._read_level

        def noted(level, x, y, size):
            nonlocal largest
            largest = max(largest, size.width * size.height * 3)
            return whole(level, x, y, size)

        monkeypatch.setattr(reader, "_read_level", noted)
        seen = reader.thumbnail((90, 60))
    expected = pixels.reshape(60, 10, 90, 10, 3).mean(axis=(1, 3))
    assert np.abs(seen - expected).max() <= 0.5 + 1e-9
    assert largest < 250_000
