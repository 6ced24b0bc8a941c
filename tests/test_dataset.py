"""TileDataset: pixels, order, selection, and slides that are missing or changed."""

from __future__ import annotations

import csv
import gc
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tracemalloc
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from profiles import scanner_profile

from tiler import TileDataset
from tiler.dataset import slides as opening
from tiler.errors import (
    ArgumentError,
    ChangedError,
    ConfigError,
    OpenError,
    ReadError,
    TransformError,
)
from tiler.storage.stored import sealed

REAL = ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "boxes.tiff", "small.svs",
        "boxes_0.dcm", "test3-DAPI-2-(387).ndpi")  # fmt: skip
BASE = ["slides=files", "mask=none", "exporter=[csv,images]", "exporter.csv.file=true"]


def stained(seed: int, height: int, width: int) -> np.ndarray:
    """Two stains in different amounts everywhere, so that no two places are equal."""
    rng = np.random.default_rng(seed)
    vectors = np.array([[0.65, 0.7, 0.29], [0.25, 0.8, 0.54]])
    amounts = rng.uniform(0.1, 1.2, (height, width, 2))
    return np.rint(240 * np.exp(-amounts @ vectors) - 1).astype(np.uint8)


def write_slide(path: Path, seed: int, height: int = 330, width: int = 460, **more: Any) -> Path:
    pixels = stained(seed, height, width)
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", **more)
    return path


def run(folder: Path, *words: str, out: str = "out") -> Path:
    done = tiler(*BASE, f"out={out}", *words, cwd=folder)
    assert done.returncode in (0, 3), done.stderr
    return folder / out


def record(out: Path, slide: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / f"slides/{slide}/record.json").read_text())
    return content


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of three lopsided slides and their run, whose tables have a label."""
    folder = tmp_path_factory.mktemp("made")
    for number, (height, width) in enumerate([(330, 460), (70, 200), (260, 130)]):
        write_slide(folder / f"s{number}.tiff", number, height, width)
    run(folder, "slides.paths=[s0.tiff,s1.tiff,s2.tiff]", "reader.mpp=1", "resolution=mpp",
        "resolution.value=1", "tile.size=[48,32]", "threshold=0", "tile.edge=pad",
        "exporter=[csv,parquet,images]", "filter=[blur]", "filter.blur.mpp=null")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def dataset(made: Path) -> TileDataset:
    with inside(made):
        return TileDataset(made / "out", slide_root=made)


class inside:  # noqa: N801  used like contextlib.chdir, which keeps one state
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self.before = Path.cwd()
        os.chdir(self.folder)

    def __exit__(self, *error: object) -> None:
        os.chdir(self.before)


def image(out: Path, item: dict[str, Any], context: str = "") -> np.ndarray:
    path = out / "slides" / item["slide_id"] / item["file"]
    return np.asarray(Image.open(path.with_name(path.stem + context + path.suffix)))


# --- pixels


@pytest.mark.slow
@pytest.mark.parametrize(
    "resolution",
    [
        ["resolution=level", "resolution.value=0", "tile.size=200"],
        ["resolution=mpp", "resolution.value=0.73", "tile.size=[90,70]", "context=[1.5]"],
        ["resolution=magnification", "resolution.value=9", "tile.size=64", "context=[4]",
         "transform=[icc,macenko]", "on_bad_fit=raw"],
    ],
    ids=["level", "mpp and context", "magnification and transforms"],
)  # fmt: skip
def test_pixels_equal_the_images_of_a_run(
    shared_slides: Path, tmp_path: Path, resolution: list[str]
) -> None:
    paths = ",".join(f"'{shared_slides / name}'" for name in REAL)
    more = ["tile.edge=pad", "threshold=0", "sampler=random", "sampler.n=12"]
    out = run(tmp_path, f"slides.paths=[{paths}]", *resolution, *more, "on_bad_tile=drop",
              "max_bad_fraction=1")  # fmt: skip
    context = any(word.startswith("context") for word in resolution)
    found = TileDataset(out, columns=["file"], context=context)
    assert len({item["slide_id"] for item in map(found.__getitem__, range(len(found)))}) >= 2
    for item in found.__getitems__(range(len(found))):
        np.testing.assert_array_equal(item["image"], image(out, item))
        for key in [key for key in item if key.startswith("context_")]:
            value = key.rpartition("_")[2].removesuffix("x")
            np.testing.assert_array_equal(item[key], image(out, item, f"_c{value}"))
    assert any(key.startswith("context_") for key in item) == context


def test_fits_come_from_the_record(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tiff", 3, iccprofile=scanner_profile())
    out = run(tmp_path, "slides.paths=[s.tiff]", "reader.mpp=1", "resolution=mpp",
              "resolution.value=1", "tile.size=64", "transform=[icc,macenko,reinhard]")  # fmt: skip
    with inside(tmp_path):
        found = TileDataset(out, columns=["file"])
        raw = TileDataset(out, columns=["file"], raw=True)
        for number in range(len(found)):
            np.testing.assert_array_equal(found[number]["image"], image(out, found[number]))
        assert (raw[0]["image"] != found[0]["image"]).any()
        with tifffile.TiffFile("s.tiff") as file:
            pixels = file.asarray()
        x, y = raw[0]["x0"], raw[0]["y0"]
        np.testing.assert_array_equal(raw[0]["image"], pixels[y : y + 64, x : x + 64])


def test_transforms_that_no_exporter_fitted_are_refused(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tiff", 3)
    words = ("slides.paths=[s.tiff]", "tile.size=64", "resolution=level", "resolution.value=0",
             "transform=[icc]")  # fmt: skip
    out = run(tmp_path, *words, "exporter.csv.file=null", "exporter=[csv]", "transform=[]")
    done = tiler("slides=files", "mask=none", "exporter=[geojson]", "out=out", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with inside(tmp_path):
        with pytest.raises(TransformError, match="raw=True"):
            TileDataset(out)[0]
        assert TileDataset(out, raw=True)[0]["image"].shape == (64, 64, 3)


def test_an_item_has_plain_values_and_its_own_pixels(dataset: TileDataset, made: Path) -> None:
    row = read_csv(made / "out/slides/s0/s0.csv")[5]
    item = dataset[5]
    kinds = {"slide_id": str, "x": int, "y": int, "x0": int, "y0": int, "ratio": float,
             "row": int, "column": int, "tissue_id": int, "score_blur": float}  # fmt: skip
    assert {name: type(value) for name, value in item.items() if name != "image"} == kinds
    for name, kind in kinds.items():
        assert item[name] == (row["slide"] if name == "slide_id" else kind(row[name]))
    with pytest.raises(KeyError, match=r"'score_blurr'.*columns=\["):
        item["score_blurr"]  # as the default collate_fn asks for what another slide has
    assert item.get("score_blurr") is None
    assert type(copy(item)) is dict  # which torch fills with a batch
    before = item["image"].copy()
    item["image"][:] = 0  # as an augmentation in place does
    np.testing.assert_array_equal(dataset[5]["image"], before)


def test_the_transform_gets_each_image(made: Path) -> None:
    with inside(made):
        found = TileDataset(made / "out", transform=lambda pixels: pixels.mean(), columns=(),
                            context=[2.0])  # fmt: skip
        plain = TileDataset(made / "out", context=np.array([2]), max_open=np.int64(2))
        assert found[0]["image"] == plain[0]["image"].mean()
        assert found[0]["context_mpp_2.0"] == plain[0]["context_mpp_2.0"].mean()
        assert list(found[0])[-5:] == ["x", "y", "x0", "y0", "ratio"]


# --- order


@given(data=st.data())
def test_any_batch_has_the_tiles_that_were_asked_for(
    dataset: TileDataset, data: st.DataObject
) -> None:
    size = len(dataset)
    indices = data.draw(st.lists(st.integers(-size, size - 1), max_size=12))
    batch = dataset.__getitems__(indices)
    assert len(batch) == len(indices)
    for index, item in zip(indices, batch, strict=True):
        alone = dataset[index]
        assert {**item, "image": 0} == {**alone, "image": 0}
        np.testing.assert_array_equal(item["image"], alone["image"])


def test_the_dataset_is_the_tables_one_after_the_other(dataset: TileDataset, made: Path) -> None:
    rows = [row for n in range(3) for row in read_csv(made / f"out/slides/s{n}/s{n}.csv")]
    assert len(rows) == len(dataset) > 100
    items = [dataset[number] for number in range(len(dataset))]
    assert [(item["slide_id"], item["x"], item["y"]) for item in items] == [
        (row["slide"], int(row["x"]), int(row["y"])) for row in rows
    ]
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    with pytest.raises(IndexError):
        dataset[-len(dataset) - 1]


# --- selection


@pytest.mark.parametrize("name", ["filtered.csv", "filtered.parquet"])
def test_a_users_table_has_its_own_rows_in_its_own_order(made: Path, name: str) -> None:
    import pyarrow.csv
    from pyarrow import parquet

    rows = [row for n in (2, 0) for row in read_csv(made / f"out/slides/s{n}/s{n}.csv")]
    chosen = [rows[number] for number in np.random.default_rng(1).permutation(len(rows))[:40]]
    path = made / "out" / name
    with (made / "out/filtered.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(chosen)
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.csv.read_csv(made / "out/filtered.csv"), path)
    found = TileDataset(path, slide_root=made, columns=["file"])
    items = found.__getitems__(range(len(found)))
    assert [item["file"] for item in items] == [row["file"] for row in chosen]
    for item in items:
        np.testing.assert_array_equal(item["image"], image(made / "out", item))
    for name in ("slide_id", "slide", "x", "ratio", "file", "width", "resolution"):
        key = "slide" if name == "slide_id" else name
        assert [*map(str, found.column(name).tolist())] == [row[key] for row in chosen]
    few = TileDataset(path, slide_root=made, where="slide == 's2' and ratio > 0", columns=["file"])
    assert [item["file"] for item in map(few.__getitem__, range(len(few)))] == [
        row["file"] for row in chosen if row["slide"] == "s2"
    ]


def test_several_runs_follow_each_other(made: Path) -> None:
    own = made / "out/slides/s1/s1.csv"
    found = TileDataset([own, made / "out"], slide_root=made)
    first = len(TileDataset(own, slide_root=made))
    assert found[0]["slide_id"] == "s1"
    assert found[first]["slide_id"] == "s0"
    assert len(found) == first + len(TileDataset(made / "out"))
    lines = enumerate(own.read_text().splitlines())
    text = "\n".join(f"{line},{number % 3 if number else 'label_fold'}" for number, line in lines)
    (made / "out/fold.csv").write_text(text + "\n")
    more = TileDataset([made / "out", made / "out/fold.csv"], slides=["s1", "s2"])
    share = more.column("label_fold")
    assert np.isnan(share[:-first]).all()
    assert share[-first:].tolist() == [number % 3 for number in range(1, first + 1)]
    tables = [read_csv(made / f"out/slides/{name}/{name}.csv") for name in ("s1", "s2", "s1")]
    assert more.column("row").tolist() == [int(row["row"]) for table in tables for row in table]
    assert not len(TileDataset(made / "out", slides=[]).column("row"))
    with pytest.raises(ConfigError, match="did you mean 'row'"):
        more.column("rows")


def test_a_table_of_parents_has_their_pixels(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tiff", 1, 150, 230)
    out = run(tmp_path, "slides.paths=[s.tiff]", "reader.mpp=1", "resolution=mpp", "threshold=0",
              "resolution.value=1", "tile.size=[32,24]", "pyramid=[1.5,4]")  # fmt: skip
    rows = read_csv(out / "slides/s/s_pyramid.csv")
    with inside(tmp_path):
        for token, written in (("mpp_1.5",) * 2, ("mpp_4.0",) * 2, ("mpp_4.0", "mpp_2.0")):
            some = [row for row in rows if row["resolution"] == token]
            with (out / "parents.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows({**row, "resolution": written} for row in some)
            found = TileDataset(out / "parents.csv", columns=["file"])
            if token != written:
                with pytest.raises(ChangedError, match=r"at mpp_1.0 and mpp_1.5 and mpp_4.0; give"):
                    found[0]
                break
            assert len(found) == len(some) > 1
            for item in found.__getitems__(range(len(found))):
                np.testing.assert_array_equal(item["image"], image(out, item))
        with pytest.raises(ConfigError, match="give a table for each"):
            TileDataset(out / "slides/s/s_pyramid.csv")


def test_a_job_of_a_sweep_is_a_run(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tiff", 1)
    words = ["-m", *BASE, "slides.paths=[s.tiff]", "resolution=level", "resolution.value=0",
             "tile.size=32,64", "out=sweep"]  # fmt: skip
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    jobs = sorted(path.parent for path in tmp_path.glob("sweep/**/slides.csv"))
    with inside(tmp_path):
        for job, size in zip(jobs, (32, 64), strict=True):
            item = TileDataset(job, columns=["file"])[0]
            assert item["image"].shape == (size, size, 3)
            np.testing.assert_array_equal(item["image"], image(job, item))
        (sweep,) = (path.parent for path in tmp_path.glob("sweep/**/sweep.csv"))
        with pytest.raises(ConfigError, match="give one of its jobs"):
            TileDataset(sweep)


def test_a_run_without_tables_is_named(moved: Path) -> None:
    for name in ("s0.csv", "s0.parquet"):
        (moved / "out/slides/s0" / name).unlink()
    with pytest.raises(ConfigError, match="exporter="):
        TileDataset(moved / "out", slide_root=moved)[0]


def test_a_table_that_was_cut_is_not_the_runs(moved: Path) -> None:
    path = moved / "out/slides/s1/s1.csv"
    path.with_suffix(".parquet").unlink()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    found = TileDataset(moved / "out", slide_root=moved, slides=["s1"])
    with pytest.raises(ConfigError, match=r"slides\.csv counts"):
        found[0]


def test_the_first_expression_of_the_page_fits_any_run(made: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/dataset.md").read_text(encoding="utf-8")
    (where,) = re.findall(r'^tiles = TileDataset\(.*where="(.*)"\)$', page, re.M)
    assert 0 < len(TileDataset(made / "out", where=where)) < len(TileDataset(made / "out"))


def test_slides_and_where_select(dataset: TileDataset, made: Path) -> None:
    items = [dataset[number] for number in range(len(dataset))]
    middle = float(np.median([item["score_blur"] for item in items]))
    found = TileDataset(made / "out", slides=["s2", "s0"], where=f"score_blur > {middle!r}",
                        slide_root=made)  # fmt: skip
    expected = [
        (item["slide_id"], item["x"], item["y"])
        for item in items
        if item["slide_id"] != "s1" and item["score_blur"] > middle
    ]
    got = [found[number] for number in range(len(found))]
    assert [(item["slide_id"], item["x"], item["y"]) for item in got] == expected
    assert 0 < len(found) < len(dataset)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"where": "ration > 1"}, "did you mean 'ratio'"),
        ({"where": "ratio > 'a'"}, "compares text and number"),
        ({"slides": ["s00"]}, "did you mean 's0'"),
        ({"slides": ["a/folder/s1.tiff"]}, "did you mean 's1'"),
        ({"slides": "s0"}, "a list of slide ids"),
        ({"columns": ["score_blurr"]}, "did you mean 'score_blur'"),
        ({"columns": "ratio"}, "a list of names"),
        ({"verify": "hash"}, "full, size, none"),
        ({"on_bad_tile": "drop"}, "raise, skip, mark"),
        ({"max_open": 0}, "max_open=0"),
        ({"max_open": True}, "max_open=True"),
        ({"context": 2.0}, "a list of numbers"),
        ({"context": [True]}, "a list of numbers"),
        ({"context": "2"}, "context='2'"),
        ({"transform": 3}, "transform=3"),
        ({"slide_root": "nowhere"}, "slide_root=nowhere"),
    ],
)
def test_invalid_arguments_are_named(made: Path, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what.replace("(", r"\(")):
        TileDataset(made / "out", **arguments)


def test_what_is_no_run_is_named(tmp_path: Path, made: Path) -> None:
    for source, what in (
        (tmp_path, "slides.csv"),
        (tmp_path / "x.csv", "missing"),
        (tmp_path / "x.txt", "no folder"),
        (made / "out/slides.csv", "give its folder"),
        ([], "names no run"),
    ):
        with pytest.raises(ConfigError, match=what):
            TileDataset(source)
    shutil.copy(made / "out/tiles.parquet", tmp_path / "mine.parquet")
    with pytest.raises(ConfigError, match=r"save mine\.parquet beside slides\.csv"):
        TileDataset(tmp_path / "mine.parquet")
    with pytest.raises(ArgumentError):
        TileDataset(3)


def test_a_context_that_the_run_lacks_is_named(made: Path) -> None:
    found = TileDataset(made / "out", slide_root=made, context=True)
    with pytest.raises(ConfigError, match="without context"):
        found[0]


# --- slides that are missing, changed or damaged


@pytest.fixture
def moved(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the run; its slides are in another folder, beside one of the same name."""
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "a/deep").mkdir(parents=True)
    for number in range(3):
        shutil.copy(made / f"s{number}.tiff", tmp_path / "a/deep")
    write_slide(tmp_path / "a/s0.tiff", 9)
    return tmp_path


def test_missing_slides_are_found_by_name_and_fingerprint(
    moved: Path, dataset: TileDataset
) -> None:
    with inside(moved):
        with pytest.raises(OpenError, match="slide_root"):
            TileDataset("out")[0]
        found = TileDataset("out", slide_root="a")
        for index in (0, len(found) - 1):
            np.testing.assert_array_equal(found[index]["image"], dataset[index]["image"])
        (moved / "a/broken").mkdir()
        (moved / "a/broken/s0.tiff").symlink_to("nowhere")
        (moved / "a/link").mkdir()
        (moved / "a/link/s0.tiff").symlink_to("s0.tiff")
        TileDataset("out", slide_root="a")[0]  # broken links of this name hide no other file
        (moved / "a/deep/s0.tiff").unlink()
        with pytest.raises(OpenError, match=r"a/s0\.tiff: it.*broken/s0\.tiff: No such file"):
            TileDataset("out", slide_root="a")[0]


@pytest.mark.parametrize(("verify", "refused"), [("full", True), ("size", False), ("none", False)])
def test_a_slide_that_changed_is_an_error(moved: Path, verify: str, refused: bool) -> None:
    here = moved / "s0.tiff"
    data = bytearray((moved / "a/deep/s0.tiff").read_bytes())
    data[-5] ^= 1  # a pixel
    here.write_bytes(data)
    with inside(moved):
        found = TileDataset("out", verify=verify)
        if refused:
            with pytest.raises(ChangedError, match=r"slide=s0: .*s0\.tiff is not the file"):
                found[0]
        else:
            assert found[0]["image"].shape == (32, 48, 3)
        here.write_bytes(data + b"more")
        assert here.stat().st_size > len(data)
        if verify != "none":
            with pytest.raises(ChangedError, match="bytes, and had"):
                TileDataset("out", verify=verify)[0]


@pytest.mark.parametrize("given", ["nowhere/s0.tiff", "s0.tiff/x", "a", "s0.tiff\0"])
def test_a_path_that_is_no_slide_is_one_line(moved: Path, given: str) -> None:
    shutil.copy(moved / "a/deep/s0.tiff", moved / "s0.tiff")
    table = moved / "out/slides.csv"
    table.write_text(table.read_text().replace(",s0.tiff,", f",{given},"))
    with inside(moved), pytest.raises(OpenError, match="slide=s0"):
        TileDataset("out")[0]


def test_a_table_of_another_scale_is_refused(moved: Path) -> None:
    path = moved / "out/slides/s1/s1.csv"
    rows = read_csv(path)
    rows[2]["x0"] = str(int(rows[2]["x0"]) + 1)
    with (moved / "out/edited.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ChangedError, match="x0 of its table"):
        TileDataset(moved / "out/edited.csv", slide_root=moved)[0]


def test_a_run_without_its_json_files_is_named(moved: Path) -> None:
    (moved / "out/slides/s1/record.json").unlink()
    (moved / "out/run.json").unlink()
    found = TileDataset(moved / "out", slides=["s1"], slide_root=moved, verify="none", raw=True)
    with pytest.raises(OpenError, match=r"no record\.json, and .*out no run\.json; .* together"):
        found[0]


@pytest.fixture
def torn(tmp_path: Path) -> TileDataset:
    """Return a dataset whose slide has one damaged native tile since the run."""
    path = write_slide(tmp_path / "s.tiff", 1, 256, 256, compression="zlib")
    run(tmp_path, "slides.paths=[s.tiff]", "reader.mpp=1", "tile.size=64", "resolution=level",
        "resolution.value=0")  # fmt: skip
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[6]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(40))
    return tmp_path


def test_a_tile_that_cannot_be_read_is_never_white(torn: Path) -> None:
    def of(on_bad_tile: str) -> TileDataset:
        return TileDataset("out", verify="size", on_bad_tile=on_bad_tile, columns=())

    with inside(torn):
        with pytest.raises(ReadError, match="slide=s"):
            of("raise").__getitems__(range(16))
        assert len(of("raise").__getitems__([0, 15])) == 2
        kept = of("skip").__getitems__(range(16))
        assert len(kept) == 15
        assert "error" not in kept[0]
        with pytest.raises(ReadError, match="__getitems__"):
            of("skip")[6]
        marked = of("mark").__getitems__(range(16))
        assert [bool(item["error"]) for item in marked] == [n == 6 for n in range(16)]
        assert "E_READ slide=s" in marked[6]["error"]
        assert not marked[6]["image"].any()


# --- cost


@pytest.mark.slow
def test_ten_thousand_slides_cost_no_slide(made: Path, tmp_path: Path, monkeypatch) -> None:
    (row, *_) = read_csv(made / "out/slides.csv")
    out = tmp_path / "big"
    out.mkdir()
    with (out / "slides.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows(
            {**row, "slide_id": f"slide-{n:05}", "kept": 1500, "path": f"/data/slide-{n:05}.svs"}
            for n in range(10_000)
        )
    shutil.copy(made / "out/run.json", out)
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *a, **k: opened.append(path) or real(path, *a, **k)
    )
    tracemalloc.start()
    try:
        found = TileDataset(out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 15_000_000
    assert [Path(path).name for path in opened] == ["slides.csv", "run.json"]
    assert peak < 80 << 20
    assert len(pickle.dumps(found)) < 4 << 20


def test_few_slides_are_open_and_all_are_closed(made: Path, monkeypatch) -> None:
    live: set[object] = set()
    most = 0
    real = opening.open_slide

    def open_slide(*arguments):
        nonlocal most
        found = real(*arguments)
        live.add(found.source)
        most = max(most, len(live))
        closing = found.source.close
        monkeypatch.setattr(found.source, "close", lambda: (live.discard(found.source), closing()))
        return found

    monkeypatch.setattr("tiler.dataset.tiles.open_slide", open_slide)
    found = TileDataset(made / "out", slide_root=made, max_open=2)
    for index in np.random.default_rng(0).permutation(len(found))[:60].tolist():
        found[index]
    assert most == len(live) == 2
    found.close()
    assert not live
    assert found[0]["slide_id"] == "s0"


def test_a_copy_by_pickle_has_the_same_tiles(dataset: TileDataset) -> None:
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[7]["image"], dataset[7]["image"])


def reseal(out: Path, slide: str, change: Any) -> None:
    """Change the content of a record as a person does who may write it."""
    path = out / f"slides/{slide}/record.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    path.write_bytes(b"".join(sealed(iter([json.dumps(content).encode()[:-1]]))))


@pytest.mark.parametrize(
    ("group", "node", "what"),
    [
        ("reader", {"_target_": "os.system"}, "os.system|reader has"),
        ("reader", {"_target_": "tiler.readers.open_slide", "x": 1}, "no parameter 'x'"),
        ("reader", {"_target_": "tiler.readers.open_slide", "mpp": "a"}, "reader.mpp='a'"),
        ("reader", {"_target_": "tiler.readers.open_slide", "mpp": {"_target_": "os.abort"}},
         "nested component"),
        ("resolution", {"_target_": "tiler.readers.open_slide"}, "resolution has"),
        ("reader", 3, "no settings of reader"),
    ],
)  # fmt: skip
def test_another_persons_record_runs_no_code(moved: Path, group: str, node: Any, what: str) -> None:
    reseal(moved / "out", "s0", lambda content: content["settings"].update({group: node}))
    with pytest.raises(OpenError, match=what):
        TileDataset(moved / "out", slide_root=moved / "a")[0]


def test_a_transform_whose_fit_cannot_be_built_is_named(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tiff", 3)
    out = run(tmp_path, "slides.paths=[s.tiff]", "reader.mpp=1", "resolution=mpp",
              "resolution.value=1", "tile.size=64", "transform=[macenko]")  # fmt: skip
    facts = {"macenko": {"stains": [[1, 2], [3]], "reference": {}, "pixels": 1}}
    reseal(out, "s", lambda content: content["transforms"].update(images=facts))
    with inside(tmp_path), pytest.raises(TransformError, match="raw=True"):
        TileDataset(out)[0]


def test_the_memory_of_a_process_is_flat(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slide of several runs counts for itself, so that one run stands for many."""
    monkeypatch.setattr("tiler.dataset.tiles._TABLE_BYTES", 1 << 17)
    slides = 3 * 24
    found = TileDataset([made / "out"] * 24, slide_root=made, max_open=3, columns=())
    each = len(found) // slides
    used = []
    tracemalloc.start()
    try:
        for part in range(3):
            for number in range(part * slides // 3, (part + 1) * slides // 3):
                found[number * each]
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert used[2] < used[0] + (1 << 17)


def test_a_change_of_the_working_folder_changes_no_path(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    tiles = TileDataset("out", slide_root=".")
    monkeypatch.chdir(tmp_path)
    assert tiles[0]["image"].shape == (32, 48, 3)


def test_slides_are_closed_as_soon_as_a_dataset_is_gone(made, monkeypatch):
    monkeypatch.chdir(made)
    closed: list[object] = []
    tiles = TileDataset(made / "out")
    tiles[0]
    monkeypatch.setattr("tiler.readers.tiff.reader.TiffReader.close", lambda it: closed.append(it))
    gc.disable()
    try:
        del tiles
        assert len(closed) == 1
    finally:
        gc.enable()


def test_readers_are_loaded_before_a_process_can_fork(made):
    """A child that is forked while a thread loads a module would wait for that module for ever."""
    code = (
        "import sys; from tiler import TileDataset; tiles = TileDataset('out')\n"
        "before = {*sys.modules}; tiles[0]\n"
        "print(*(name for name in {*sys.modules} - before if name.startswith('tiler.')))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=made)
    assert done.stdout.split() == []
