"""The trees and tables in which other tools find the files of a run."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from conftest import ArrayReader

from tiler import Level, TileExtractor, TileSpec
from tiler.exporters import WebdatasetExporter
from tiler.exporters.tiles.gigapath import dataset_csv
from tiler.files import digest
from tiler.protocols import FinishedSlide
from tiler.regions import packed
from tiler.written import WrittenFile

WORDS = ["slides=files", "slides.paths=in", "reader.mpp=0.5", "resolution=mpp", "mask=otsu",
         "resolution.value=1", "tile.size=32", "threshold=0.3", "out=out"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a slide of tissue, one without, and one with dots in its name."""
    noise = np.random.default_rng(0).integers(0, 40, (400, 560, 3))
    (tmp_path / "in").mkdir()
    for name in ("a", "empty", "c.1"):
        pixels = np.full((400, 560, 3), (215, 214, 215)) + noise
        if name != "empty":
            pixels[60:330, 90:390] = (150, 60, 140)
        path = tmp_path / f"in/{name}.tiff"
        tifffile.imwrite(path, pixels.astype(np.uint8), tile=(64, 64), photometric="rgb")
    return tmp_path


def done(folder: Path, *words: str, code: int = 0) -> str:
    result = tiler(*WORDS, *words, cwd=folder)
    assert result.returncode == code, result.stderr
    return result.stderr


def links(out: Path) -> dict[str, str]:
    """Return where each link below a folder leads, as a path below it."""
    return {
        path.relative_to(out).as_posix(): path.resolve().relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_symlink()
    }


def test_each_tool_finds_its_tree(folder: Path) -> None:
    pytest.importorskip("h5py")
    done(folder, "exporter=[hdf5]", "exporter.hdf5.layout=[trident,clam,mussel,atlaspatch]",
         "tile.stride=24")  # fmt: skip
    out = folder / "out"
    ids = {row["slide_id"]: int(row["kept"]) for row in read_csv(out / "slides.csv")}
    assert ids["a"] > 0 == ids["empty"]
    expected = {}
    for name in ids:
        places = {
            "trident": f"trident/10x_32px_8px_overlap/patches/{name}_patches.h5",
            "clam": f"clam/patches/{name}.h5",
            "mussel": f"mussel/patches/{name}.h5",
            "atlaspatch": f"atlaspatch/patches/{name}.h5",
        }
        for layout, place in places.items():
            if (out / f"slides/{name}/{name}.{layout}.h5").exists():
                expected[place] = f"slides/{name}/{name}.{layout}.h5"
    assert links(out) == expected
    assert "trident/10x_32px_8px_overlap/patches/empty_patches.h5" in expected
    assert "clam/patches/empty.h5" not in expected, "CLAM has no file for a slide without tiles"
    with (out / "clam/slides.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["slide_id"], ["a"], ["c.1"]]

    done(folder, "exporter=[hdf5]", "exporter.hdf5.layout=[trident]", "tile.size=64")
    tree = "trident/10x_64px_0px_overlap/patches"
    assert links(out) == {
        f"{tree}/{name}_patches.h5": f"slides/{name}/{name}.trident.h5" for name in ids
    }
    assert not {"clam", "mussel", "atlaspatch"} & {path.name for path in out.iterdir()}


def test_hs2p_finds_both_files_under_its_own_names(folder: Path) -> None:
    done(folder, "exporter=[hs2p]")
    tree = {
        f"hs2p/tiles/{name}.coordinates.{end}": f"slides/{name}/{name}.{own}"
        for name in ("a", "c.1", "empty")
        for end, own in (("npz", "coordinates.npz"), ("meta.json", "meta.json"))
    }
    del tree["hs2p/tiles/empty.coordinates.npz"]
    assert links(folder / "out") == tree


@pytest.mark.slow
def test_a_tools_folder_that_is_a_link_is_refused_and_not_followed(folder: Path) -> None:
    pytest.importorskip("h5py")
    (folder / "out").mkdir()
    (folder / "out/clam").symlink_to(folder / "in")
    before = sorted(folder.rglob("*"))
    said = done(folder, "exporter=[hdf5]", "exporter.hdf5.layout=[trident,clam]", code=2)
    (line,) = [line for line in said.splitlines() if line.startswith("E_")]
    assert "out/clam is a symbolic link, but exporter=hdf5 writes there" in line
    assert sorted(folder.rglob("*")) == before
    done(folder, "exporter=[hdf5]", "exporter.hdf5.layout=[trident]")
    assert (folder / "out/clam").is_symlink()


@pytest.mark.slow
def test_names_that_are_not_utf8_are_in_all_products(folder: Path) -> None:
    pytest.importorskip("h5py")
    try:
        (folder / "in/a.tiff").rename(folder / os.fsdecode(b"in/a\xff.tiff"))
    except OSError:
        pytest.skip("NOT TESTED: this file system has no names of other bytes")
    words = ["exporter=[csv,parquet,hdf5,webdataset,images]", "exporter.hdf5.layout=[clam]"]
    done(folder, *words, "exporter.images.naming=gigapath")
    out = folder / "out"
    (name,) = (row["slide_id"] for row in read_csv(out / "slides.csv") if "a" in row["slide_id"])
    tree = links(out)
    assert tree[f"clam/patches/{name}.h5"] == f"slides/{name}/{name}.clam.h5"
    assert tree[f"gigapath/{name}"] == f"slides/{name}/tiles"
    assert {row["slide_id"] for row in read_csv(out / "clam/slides.csv")} == {name, "c.1"}
    for path in ("tiles.parquet", "shards.json", "gigapath/dataset.csv"):
        assert (out / path).stat().st_size > 100
    before = (out / "products.json").read_bytes()
    done(folder, *words, "exporter.images.naming=gigapath")
    assert (out / "products.json").read_bytes() == before


def test_a_source_in_a_tools_folder_is_refused(folder: Path) -> None:
    (folder / "out/clam").mkdir(parents=True)
    (folder / "in").rename(folder / "out/clam/slides")
    words = [word.replace("=in", "=out/clam/slides") for word in WORDS]
    result = tiler(*words, "exporter=[csv]", cwd=folder)
    assert result.returncode == 2
    assert "is a source inside out=" in result.stderr


def test_layouts_and_tiles_may_differ_between_slides(folder: Path) -> None:
    pytest.importorskip("h5py")
    (folder / "t.csv").write_text(
        "path,exporter.hdf5.layout,tile.size\nin/a.tiff,[trident],32\nin/c.1.tiff,[clam],64\n"
    )
    words = [word for word in WORDS if not word.startswith(("slides", "tile"))]
    result = tiler("slides=table", "slides.table=t.csv", "exporter=[hdf5]", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert links(folder / "out") == {
        "trident/10x_32px_0px_overlap/patches/a_patches.h5": "slides/a/a.trident.h5",
        "clam/patches/c.1.h5": "slides/c.1/c.1.clam.h5",
    }
    assert (folder / "out/clam/slides.csv").read_text() == "slide_id\nc.1\n"


@pytest.mark.slow
def test_gigapath_finds_folders_of_tiles_and_their_table(folder: Path) -> None:
    words = ["exporter=[images]", "exporter.images.naming=gigapath"]
    done(folder, *words)
    out = folder / "out"
    tree = {f"gigapath/{name}": f"slides/{name}/tiles" for name in ("a", "c.1")}
    assert links(out) == tree
    rows = read_csv(out / "gigapath/dataset.csv")
    assert {row["occupancy"] for row in rows} == {""}, "no table has the coverage"

    done(folder, "exporter=[csv,images]", *words[1:])
    assert links(out) == tree
    rows = read_csv(out / "gigapath/dataset.csv")
    columns = ["slide_id", "tile_id", "image", "label", "tile_x", "tile_y", "occupancy"]
    assert list(rows[0]) == columns
    expected = {}
    for name in ("a", "c.1"):
        for row in read_csv(out / f"slides/{name}/{name}.csv"):
            expected[name, row["x"], row["y"]] = float(row["ratio"])
    found = {
        (row["slide_id"], row["tile_x"], row["tile_y"]): float(row["occupancy"]) for row in rows
    }
    assert found == expected
    assert len(rows) == len(found)
    for row in rows:
        assert (out / "gigapath" / row["image"]).is_file()
        assert row["tile_id"] == f"{row['slide_id']}.{Path(row['image']).stem}"
    done(folder, "exporter=[images]")
    assert not (out / "gigapath").exists(), "its names are others"


def test_labels_are_in_gigapaths_table(tmp_path: Path) -> None:
    (tmp_path / "s/tiles").mkdir(parents=True)
    for name in ("00000x_00032y.png", "00032x_00000y.png", "123456x_00000y.png", "notes.txt"):
        (tmp_path / "s/tiles" / name).touch()
    (tmp_path / "s/s.csv").write_text('x,y,ratio,label\n0,32,0.5,"a,b"\n32,0,1.0,\n')
    slide = finished(tmp_path / "s", folders=("tiles",), others=("s.csv",))
    assert b"".join(dataset_csv([slide], "tiles")).decode().splitlines()[1:] == [
        "s,s.00032x_00000y,s/00032x_00000y.png,,32,0,1.0",
        "s,s.123456x_00000y,s/123456x_00000y.png,,123456,0,",
        's,s.00000x_00032y,s/00000x_00032y.png,"a,b",0,32,0.5',
    ]


def finished(
    folder: Path,
    files: Iterable[WrittenFile] = (),
    folders: tuple[str, ...] = (),
    others: Iterable[str] = (),
) -> FinishedSlide:
    more = tuple(WrittenFile(name, 1, "0" * 64) for name in others)
    return FinishedSlide(
        folder.name, folder, tuple(files), folders, more, 1, "l_0", 1.0, None, None, None, {}
    )


def test_the_shards_of_all_slides_are_listed(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96, 3), np.uint8)
    exporter = WebdatasetExporter(tiles_per_shard=4)
    slides = []
    for name, threshold in (("a.1", 0), ("none", 1.5), ("b", 0)):
        source = ArrayReader(pixels, name=name)
        extractor = TileExtractor(TileSpec(32, resolution=Level(0)), mask_threshold=0)
        (regions,) = packed(extractor.fit(source).extract())
        regions = regions.take(regions.ratios >= threshold)
        folder = tmp_path / "slides" / name
        folder.mkdir(parents=True)
        exported = exporter.pack(source, regions, (b"image" for _ in regions), folder)
        slides.append(finished(folder, exported.files))
    (text,) = map(b"".join, exporter.run_files(slides).values())
    found = json.loads(text)
    paths = [shard["path"] for shard in found["shards"]]
    assert paths == [f"slides/{name}/{name}-00000{n}.tar" for name in ("a.1", "b") for n in (0, 1)]
    assert [shard["tiles"] for shard in found["shards"]] == [4, 2, 4, 2]
    for shard in found["shards"]:
        data = (tmp_path / shard["path"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(data), digest(data))
    assert (found["tiles"], found["bytes"]) == (12, sum(s["bytes"] for s in found["shards"]))
    assert (
        b"".join(*exporter.run_files([]).values()) == b'{"shards": [\n], "tiles": 0, "bytes": 0}\n'
    )
