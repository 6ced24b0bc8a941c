"""``exporter=zarr``: zarr reads back every pixel, coordinate and column."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import ZstdCodec

from tiler import MPP, Level
from tiler.errors import ConfigError
from tiler.exporters import ZarrExporter
from tiler.exporters.tiles.zarr_store import array_names, crc32c
from tiler.geometry import Size
from tiler.regions import Regions


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def slide(name: str = "slide_1", mpp: float | None = 0.25, magnification: float | None = 40):
    return SimpleNamespace(
        name=name, mpp=mpp, magnification=magnification, level_downsamples=(1.0,), provenance={}
    )


TARGET = MPP(0.7)


def regions_of(count: int, size: Size, columns=None, resolution=TARGET) -> Regions:
    numbers = np.arange(count, dtype=np.int64)
    locations = np.stack([numbers * size.width + 10**6, numbers % 7 * size.height + 3], axis=1)
    return Regions(locations, numbers / max(1, count), size, resolution, 2.8, columns or {})


def tiles_of(count: int, size: Size, seed: int = 0) -> np.ndarray:
    shape = (count, size.height, size.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def packed(folder: Path, pixels, regions: Regions, exporter=None, source=None):
    exporter = exporter or ZarrExporter()
    tiles = (exporter.encoded(tile) for tile in pixels)
    return exporter.pack(source or slide(), regions, tiles, folder)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@given(
    count=st.integers(0, 23),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    per_shard=st.sampled_from([None, 1, 2, 3, 7, 22, 23, 24, 65536]),
)
def test_zarr_reads_pixels_and_numbers_of_any_count_shape_and_shard(
    tmp_path_factory, count, width, height, per_shard
):
    folder, size = tmp_path_factory.mktemp("any"), Size(width, height)
    pixels, regions = tiles_of(count, size), regions_of(count, size)
    packed(folder, pixels, regions, ZarrExporter(per_shard))
    group = zarr.open_group(folder / "slide_1.zarr", mode="r")
    assert group["images"].shape == (count, height, width, 3)
    assert group["images"].chunks == (1, height, width, 3)
    assert np.array_equal(group["images"][:], pixels)
    if count:
        assert np.array_equal(group["images"][count - 1], pixels[-1])
        assert np.array_equal(group["images"].oindex[[0, count // 2]], pixels[[0, count // 2]])
    read = np.stack([group[name][:] for name in ("x", "y")], axis=1)
    assert np.array_equal(read, regions.locations)
    boxes0 = [group[name][:] for name in ("x0", "y0", "width0", "height0")]
    assert np.array_equal(np.stack(boxes0, axis=1), regions.boxes0())
    assert np.array_equal(group["ratio"][:], regions.ratios)
    shards = -(-count // max(1, min(per_shard or 4096, count)))
    assert len([*folder.glob("slide_1.zarr/images/c.*")]) == shards


def test_every_column_comes_back_with_its_type_name_and_missing_values(tmp_path):
    size = Size(5, 4)
    columns = {
        "row": np.array([0, 0, 3], np.int64),
        "tissue_id": np.array([1, 2, 0], np.int32),
        "label_a/b ..": np.array([0.1, 0.2, 1 / 3]),
        "label_Tumor": np.array([1.0, 0.0, 0.5], np.float32),
        "label_tumor": np.array([0.0, 1.0, 0.5], np.float32),
        "label": np.array(["a/b ..", "", "Zürich 細胞"]),
        "score_blur": np.array([0.5, np.nan, -1e300]),
        "mine": np.array([None, "x", "y\n\x1b"], object),
        "flag": np.array([True, False, True]),
    }
    packed(tmp_path, tiles_of(3, size), regions_of(3, size, columns))
    group = zarr.open_group(tmp_path / "slide_1.zarr", mode="r")
    names = group.attrs["columns"]
    first = ["x", "y", "ratio", "x0", "y0", "width0", "height0"]
    assert [*names] == [*first, *columns]
    assert len({name.lower() for name in names.values()}) == len(names)
    assert names["label_a/b .."] == "label_a%2Fb%20.."
    for column, values in columns.items():
        array = group[names[column]]
        assert array.attrs["column"] == column
        if values.dtype.kind in "OU":
            assert array[:].tolist() == ["" if value is None else value for value in values]
        else:
            assert array.dtype == values.dtype
            assert np.array_equal(array[:], values, equal_nan=values.dtype.kind == "f")
    assert np.isnan(group["score_blur"].fill_value)
    assert sorted(name for name, _ in group.arrays()) == sorted(["images", *names.values()])


def test_the_attributes_say_what_all_tiles_share_and_nothing_unknown(tmp_path):
    size = Size(6, 4)
    packed(tmp_path, tiles_of(2, size), regions_of(2, size))
    attributes = dict(zarr.open_group(tmp_path / "slide_1.zarr", mode="r").attrs)
    attributes.pop("columns")
    assert attributes == {
        "slide": "slide_1", "width": 6, "height": 4, "resolution": "mpp_0.7", "downsample": 2.8,
        "effective_mpp": 0.7, "mpp": 0.25, "magnification": 40,
    }  # fmt: skip
    unknown = slide("no_mpp", None, None)
    packed(tmp_path, tiles_of(2, size), regions_of(2, size, None, Level(0)), None, unknown)
    attributes = zarr.open_group(tmp_path / "no_mpp.zarr", mode="r").attrs
    assert not {"mpp", "effective_mpp", "magnification"} & {*attributes}


def test_all_files_are_listed_and_the_same_tiles_give_the_same_bytes(tmp_path):
    size, trees = Size(8, 6), []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        done = packed(folder, tiles_of(7, size), regions_of(7, size), ZarrExporter(3))
        trees.append(tree(folder))
    assert trees[0] == trees[1]
    listed = {file.name: (file.size, file.sha256) for file in done.files}
    assert listed == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in trees[0].items()
    }
    assert len(listed) == len(done.files)


def test_a_slide_without_tiles_is_an_array_of_length_0(tmp_path):
    packed(tmp_path, [], regions_of(0, Size(7, 5), {"label": np.array([], "<U1")}))
    group = zarr.open_group(tmp_path / "slide_1.zarr", mode="r")
    assert group["images"].shape == (0, 5, 7, 3)
    assert group["images"][:].shape == (0, 5, 7, 3)
    assert group["x"].shape == group["label"].shape == (0,)
    assert {Path(name).name for name in tree(tmp_path)} == {"zarr.json"}


def test_the_metadata_are_what_zarr_itself_writes(tmp_path):
    """As documents, apart from the separator of chunks and the attributes."""
    size = Size(8, 6)
    packed(tmp_path, tiles_of(5, size), regions_of(5, size), ZarrExporter(2))
    own = json.loads((tmp_path / "slide_1.zarr/images/zarr.json").read_text())
    zarr.create_array(
        tmp_path / "peer.zarr", shape=(5, 6, 8, 3), chunks=(1, 6, 8, 3), shards=(2, 6, 8, 3),
        dtype="uint8", compressors=[ZstdCodec(level=1)], fill_value=0,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=["tile", "height", "width", "channel"],
    )  # fmt: skip
    peer = json.loads((tmp_path / "peer.zarr/zarr.json").read_text())
    sharding = peer["codecs"][0]["configuration"]
    for codec in (sharding["codecs"][0], own["codecs"][0]["configuration"]["codecs"][0]):
        codec.pop("configuration", None)  # bytes have no order
    assert own == {name: value for name, value in peer.items() if name != "storage_transformers"}


def test_a_user_may_add_an_array(tmp_path):
    packed(tmp_path, tiles_of(2, Size(4, 4)), regions_of(2, Size(4, 4)))
    group = zarr.open_group(tmp_path / "slide_1.zarr", mode="r+")
    group.create_array("features", data=np.ones((2, 8), np.float32))
    again = zarr.open_group(tmp_path / "slide_1.zarr", mode="r")
    assert again["features"].shape == (2, 8)
    assert again["images"].shape == (2, 4, 4, 3)


@pytest.mark.parametrize("damaged", [0, -1])
def test_a_flipped_byte_of_a_shard_is_no_silent_pixel(tmp_path, damaged):
    """The first is in a tile's Zstandard frame, the last in the checksum of the index."""
    size = Size(16, 16)
    packed(tmp_path, tiles_of(3, size), regions_of(3, size))
    path = tmp_path / "slide_1.zarr/images/c.0.0.0.0"
    data = bytearray(path.read_bytes())
    data[damaged] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"(?i)checksum|zstd"):
        zarr.open_group(tmp_path / "slide_1.zarr", mode="r")["images"][1 if damaged else 0]


@pytest.mark.parametrize(
    ("side", "tiles"), [(16, 4096), (224, 1024), (256, 1024), (512, 256), (1024, 64), (9999, 1)]
)
def test_the_larger_the_tiles_the_fewer_in_a_shard(tmp_path, side, tiles):
    count = min(5000, 2 * tiles + 1)
    regions = regions_of(count, Size(side, side))
    ZarrExporter().pack(slide(), regions, (b"" for _ in range(count)), tmp_path)
    group = zarr.open_group(tmp_path / "slide_1.zarr", mode="r")
    assert group["images"].shards[0] == tiles


@pytest.mark.parametrize("number", [0, -1, 65537])
def test_a_shard_without_tiles_is_refused(number):
    with pytest.raises(ConfigError, match=rf"tiles_per_shard={number} is out of range; use 1 to"):
        ZarrExporter(number)


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(b"") == 0


@given(st.lists(st.text(max_size=130), unique=True, max_size=8))
def test_names_of_arrays_are_distinct_on_every_file_system(columns):
    names = array_names(["images", "label", *(f"label_{one}" for one in columns)])
    assert len({name.lower() for name in names.values()}) == len(names) == 2 + len(columns)
    for name in names.values():
        assert name.isascii()
        assert len(name) <= 100
        assert not set(name) & set('/\\:*?"<>|~ ')
