"""Runs that write tar shards: one data set of several slides, the same bytes in all engines."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from command import complaint, read_csv, tiler
from PIL import Image

from tiler.slides.demo import Size, write_demo_slide

COMMON = ("slides=files", "slides.paths=in", "resolution=mpp", "mask=otsu", "threshold=0.2")
TCGA = "TCGA-A1-A0SB-01Z-00-DX1.B34C267B-CAAA-4AB6-AD5C-276C26F997A1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three slides below ``in``, whose names are alike without their dots."""
    folder = tmp_path_factory.mktemp("wds")
    (folder / "in").mkdir()
    for number, name in enumerate((TCGA, "a.b", "a_b")):
        write_demo_slide(folder / "in" / f"{name}.svs", Size(1300 + 100 * number, 1000))
    return folder


def run(place: Path, out: str, *words: str) -> dict[str, bytes]:
    """Run and return the shards and indexes by name."""
    done = tiler(*COMMON, *words, f"out={out}", cwd=place)
    assert done.returncode == 0, done.stderr
    paths = [*(place / out).glob("slides/*/*.tar"), *(place / out).glob("slides/*/*.shards.json")]
    return {path.name: path.read_bytes() for path in sorted(paths)}


def samples_of(out: Path) -> list[dict]:
    shards = sorted(map(str, out.glob("slides/*/*.tar")))
    return list(wds.WebDataset(shards, shardshuffle=False).decode("rgb8"))


def test_a_data_set_of_all_slides_is_read_back_by_webdataset(place: Path) -> None:
    run(place, "read", "resolution.value=0.5", "tile.size=64", "exporter=[json,images,webdataset]",
        "exporter.webdataset.tiles_per_shard=9", "exporter.json.file=true")  # fmt: skip
    samples = {sample["__key__"]: sample for sample in samples_of(place / "read")}
    rows = [
        (path.parent, row)
        for path in (place / "read").glob("slides/*/*.json")
        if path.name == f"{path.parent.name}.json"
        for row in json.loads(path.read_text())
    ]
    assert len(samples) == len(rows) > 30
    assert {row["slide"] for _, row in rows} == {TCGA, "a.b", "a_b"}
    for folder, row in rows:
        escaped = row["slide"].replace(".", "%2E")
        sample = samples[f"{escaped}_x{row['x']}_y{row['y']}"]
        with Image.open(folder / row.pop("file")) as image:
            np.testing.assert_array_equal(sample["png"], np.asarray(image))
        assert sample["json"] == row


SMALL = ("resolution.value=1", "tile.size=24", "exporter=[webdataset]", "cache=false",
         "exporter.webdataset.bytes_per_shard=60000")  # fmt: skip


@pytest.fixture(scope="module")
def serial(place: Path) -> dict[str, bytes]:
    found = run(place, "serial", *SMALL, "engine=serial")
    assert len(found) > 6
    return found


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(["engine=processes", "engine.workers=1"], marks=pytest.mark.slow),
        ["engine=processes", "engine.workers=2"],
        pytest.param(["engine=processes", "engine.workers=3"], marks=pytest.mark.slow),
        pytest.param(["engine=dask", "engine.workers=2"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_engines_and_workers_change_no_byte(place, serial, engine) -> None:
    assert run(place, "-".join(engine).replace("=", "-"), *SMALL, *engine) == serial


@pytest.mark.slow
def test_other_limits_and_a_flipped_byte_redo_all_shards_of_a_slide(place, serial) -> None:
    larger = run(place, "redone", *SMALL, "exporter.webdataset.bytes_per_shard=null")
    assert len(larger) == 6, "a shard and an index per slide"
    assert run(place, "redone", *SMALL) == serial
    (path,) = (place / "redone/slides/a_b").glob("*-000001.tar")
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    assert run(place, "redone", *SMALL, "verify=hash") == serial
    assert run(place, "redone", *SMALL, "exporter.webdataset.bytes_per_shard=null") == larger


@pytest.mark.parametrize("text", [b"{}", b"[]", b'{"shards": 1}', b""])
def test_a_damaged_index_is_one_line_in_words(place: Path, serial, text: bytes) -> None:
    index = place / "serial/slides/a_b/a_b.shards.json"
    (place / "serial/shards.json").unlink()
    index.write_bytes(text.ljust(len(serial[index.name])))
    failed = tiler(*COMMON, *SMALL, "out=serial", cwd=place)
    index.write_bytes(serial[index.name])
    assert tiler(*COMMON, *SMALL, "out=serial", cwd=place).returncode == 0
    assert failed.returncode == 3
    (line,) = (line for line in failed.stderr.splitlines() if "E_" in line)
    assert "E_READ slide=a_b: a_b.shards.json cannot be read for shards.json (it is " in line or (
        "shards.json (is damaged: " in line
    )
    assert "Error" not in line.partition("E_READ")[2]


def test_native_tiles_pass_into_shards_without_change(place: Path) -> None:
    words = ("resolution=level", "resolution.value=0", "tile.size=256", "reader=tiff")
    own = [f"exporter.{name}.{option}" for name in ("images", "webdataset")
           for option in ("extension=jpg", "passthrough=true")]  # fmt: skip
    run(place, "native", *words, "exporter=[csv,images,webdataset]", *own)
    for folder in (place / "native/slides").iterdir():
        rows = read_csv(folder / f"{folder.name}.csv")
        with tarfile.open(folder / f"{folder.name}-000000.tar") as opened:
            members = [m for m in opened.getmembers() if m.name.endswith(".jpg")]
            assert len(members) == len(rows) > 5
            for member, row in zip(members, rows, strict=True):
                data = opened.extractfile(member).read()
                assert data == (folder / row["file"]).read_bytes()
                assert member.name.endswith(f"_x{row['x']}_y{row['y']}.jpg")


def test_a_tile_that_is_not_native_is_refused_without_naming_images(place: Path) -> None:
    own = ("exporter.webdataset.extension=jpg", "exporter.webdataset.passthrough=true")
    words = ("resolution.value=0.5", "tile.size=256", "exporter=[webdataset]", *own)
    done = tiler(*COMMON, *words, "out=foreign", cwd=place)
    assert done.returncode == 3
    for row in read_csv(place / "foreign/slides.csv"):
        assert ": passthrough=true: the tile at (" in row["reason"]
        assert "images" not in row["reason"]
    assert not [*(place / "foreign").glob("slides/*/*")]


def test_a_tile_that_is_dropped_is_in_no_shard(tmp_path: Path, shared_slides: Path) -> None:
    data = bytearray((shared_slides / "CMU-1-Small-Region.svs").read_bytes())
    data[600_000:604_096] = bytes(4096)
    (tmp_path / "bad.svs").write_bytes(data)
    done = tiler(
        "slides=files", "slides.paths=bad.svs", "resolution=level", "resolution.value=0",
        "tile.size=240", "mask=none", "threshold=0", "on_bad_tile=drop", "max_bad_fraction=0.5",
        "exporter=[csv,webdataset]", "out=out", cwd=tmp_path,
    )  # fmt: skip
    folder = tmp_path / "out/slides/bad"
    assert (folder / "bad.shards.json").exists(), done.stderr
    rows = read_csv(folder / "bad.csv")
    (shard,) = json.loads((folder / "bad.shards.json").read_text())["shards"]
    assert shard["tiles"] == len(rows) < 9 * 12
    tar = (folder / shard["file"]).read_bytes()
    places = zip(shard["image_offsets"], shard["image_sizes"], strict=True)
    for row, (at, size) in zip(rows, places, strict=True):
        with Image.open(io.BytesIO(tar[at : at + size])) as image:
            assert image.size == (int(row["width"]), int(row["height"]))


def test_a_slide_without_tiles_has_an_index_alone(place: Path) -> None:
    nothing = ("filter=[black]", "filter.black.max=null", "filter.black.min=1")
    found = run(place, "empty", *SMALL, *nothing)
    assert [*found] == [f"{name}.shards.json" for name in (TCGA, "a.b", "a_b")]
    for data in found.values():
        assert json.loads(data)["shards"] == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["tiles_per_shard=0"], "tiles_per_shard=0 is too small; use at least 1"),
        (["bytes_per_shard=-1"], "bytes_per_shard=-1 is too small"),
        (["bytes_per_shard=2GB"], "bytes_per_shard='2GB'"),
        (["extension=tif"], "extension='tif' is invalid"),
        (["passthrough=true"], "passthrough=true with extension=png"),
        (["extension=jpg", "lossless=true"], "lossless=true with extension=jpg"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(place, tmp_path, words, problem) -> None:
    settings = [f"exporter.webdataset.{word}" for word in words]
    (tmp_path / "in").symlink_to(place / "in")
    refused = tiler(*COMMON, "exporter=[webdataset]", *settings, "out=out", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"exporter.webdataset.{problem}" in complaint(refused)
    assert not (tmp_path / "out").exists()
