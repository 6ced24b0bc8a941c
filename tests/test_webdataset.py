"""Tiles in tar shards: read back by webdataset and by tarfile, limits, keys and the index."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
import webdataset as wds
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tiler.errors import ConfigError
from tiler.exporters import JsonExporter, WebdatasetExporter
from tiler.exporters.tables.csv_json import json_parts
from tiler.exporters.tiles.tar import header
from tiler.exporters.tiles.webdataset import json_rows, key_of
from tiler.geometry import Size
from tiler.regions import Regions
from tiler.resolution import MPP
from tiler.storage.safe_text import CONTROL

TCGA = "TCGA-CR-7395-01A-01-TS1.6B1D4D4C-8D9C-4F0B-8C69-0A3F7A2D1234"
NO_MASK = np.zeros((0, 0), bool)


def some_regions(count: int, **columns: np.ndarray) -> Regions:
    """Return tiles of 32 x 24 px in rows of five."""
    rows, places = np.divmod(np.arange(count), 5)
    more = {"row": rows, "column": places, **columns}
    locations = np.stack([places * 32, rows * 24], axis=1).astype(np.int64)
    return Regions(locations, np.linspace(0.3, 1, count), Size(32, 24), MPP(0.5), 2.0, more)


def some_pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 24, 32, 3), np.uint8)


def packed(
    folder: Path,
    tiles: Sequence[bytes],
    slide: str = TCGA,
    regions: Regions | None = None,
    **settings: object,
) -> list[Path]:
    """Pack tiles, check what is said about the files, and return the shards."""  # fmt: skip
    source = SimpleNamespace(name=slide)
    regions = some_regions(len(tiles)) if regions is None else regions
    folder.mkdir(exist_ok=True)
    done = WebdatasetExporter(**settings).pack(source, regions, iter(tiles), folder)
    assert {file.name for file in done.files} == {path.name for path in folder.iterdir()}
    for name, size, sha256 in done.files:
        data = (folder / name).read_bytes()
        assert (size, sha256) == (len(data), hashlib.sha256(data).hexdigest())
    return [folder / file.name for file in done.files[:-1]]


def read_index(folder: Path, slide: str = TCGA) -> dict:
    return json.loads((folder / f"{slide}.shards.json").read_bytes())


DECODERS = {
    "png": lambda data: np.asarray(Image.open(io.BytesIO(data))),
    "webp": lambda data: np.asarray(Image.open(io.BytesIO(data))),
    "jxl": imagecodecs.jpegxl_decode,
}


@pytest.mark.parametrize(
    "settings",
    [{"extension": "png"}, {"extension": "webp", "lossless": True}, {"extension": "jxl"}],
    ids=str,
)
def test_webdataset_reads_the_pixels_to_the_bit_and_the_rows(tmp_path, settings) -> None:
    exporter = WebdatasetExporter(**settings, tiles_per_shard=5)
    pixels = some_pixels(12)
    columns = {"label": np.array(["tumor", 'a "b"'] * 6), "score_blur": np.linspace(0, 2, 12)}
    regions = some_regions(12, **columns)
    tiles = [exporter.encoded(tile) for tile in pixels]
    shards = packed(tmp_path / "out", tiles, regions=regions, **settings, tiles_per_shard=5)
    assert [path.name for path in shards] == [f"{TCGA}-{number:06d}.tar" for number in range(3)]
    JsonExporter().export(SimpleNamespace(name=TCGA), regions, NO_MASK, tmp_path)
    rows = json.loads((tmp_path / f"{TCGA}.json").read_text())
    suffix = settings["extension"]
    dataset = wds.WebDataset([str(path) for path in shards], shardshuffle=False)
    samples = list(dataset.decode(wds.handle_extension(suffix, DECODERS[suffix])))
    assert [sample["json"] for sample in samples] == rows
    for sample, expected, row in zip(samples, pixels, rows, strict=True):
        np.testing.assert_array_equal(sample[suffix], expected)
        slide, x, y = sample["__key__"].rsplit("_", 2)
        assert (unquote(slide), int(x[1:]), int(y[1:])) == (TCGA, row["x"], row["y"])


def test_webdataset_decodes_all_but_jxl_by_itself(tmp_path: Path) -> None:
    for extension in ("png", "jpeg", "webp"):
        exporter = WebdatasetExporter(extension)
        tiles = [exporter.encoded(tile) for tile in some_pixels(3)]
        shards = packed(tmp_path / extension, tiles, extension=extension)
        dataset = wds.WebDataset(str(shards[0]), shardshuffle=False).decode("rgb8")
        suffix = {"jpeg": "jpg"}.get(extension, extension)
        for (image, columns), data in zip(dataset.to_tuple(suffix, "json"), tiles, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(data))))
            assert (columns["slide"], columns["width"]) == (TCGA, 32)


def test_members_have_no_time_and_no_owner_and_lie_in_the_order_of_the_grid(tmp_path) -> None:
    tiles = [bytes([number]) * (500 + number) for number in range(7)]
    (shard,) = packed(tmp_path, tiles, "a")
    with tarfile.open(shard) as opened:
        members = opened.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
            (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
        }
        keys = [f"a_x{x}_y{y}" for x, y in some_regions(7).locations]
        assert [m.name for m in members] == [f"{k}.{end}" for k in keys for end in ("png", "json")]
        assert [opened.extractfile(m).read() for m in members[::2]] == tiles
    assert shard.stat().st_size % 512 == 0
    assert shard.read_bytes()[-1024:] == bytes(1024)


@given(
    sizes=st.lists(st.integers(0, 6000), max_size=23),
    most_tiles=st.none() | st.integers(1, 9),
    most_bytes=st.none() | st.integers(1, 20_000),
    slide=st.sampled_from(["a", TCGA, "é" * 20, "x" * 95]),
)
@example(sizes=[10, 10, 10], most_tiles=None, most_bytes=2 * 4 * 512 + 1024, slide="a")
def test_shards_hold_the_limits_and_the_index_finds_each_member(
    tmp_path_factory, sizes, most_tiles, most_bytes, slide
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    tiles = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    limits = {"tiles_per_shard": most_tiles, "bytes_per_shard": most_bytes}
    shards = packed(folder, tiles, slide, **limits)
    index, seen = read_index(folder, slide), 0
    assert (index["slide"], index["tiles"]) == (slide, len(tiles))
    assert [shard["file"] for shard in index["shards"]] == [path.name for path in shards]
    for path, facts in zip(shards, index["shards"], strict=True):
        data = path.read_bytes()
        assert facts["bytes"] == len(data)
        assert facts["sha256"] == hashlib.sha256(data).hexdigest()
        assert 1 <= facts["tiles"] <= (most_tiles or len(tiles))
        assert facts["tiles"] == 1 or len(data) <= (most_bytes or len(data))
        with tarfile.open(path) as opened:
            members = opened.getmembers()
            contents = [opened.extractfile(member).read() for member in members]
            places = [(member.offset_data, member.size) for member in members]
        assert contents[::2] == tiles[seen : seen + facts["tiles"]]
        for kind, some in (("image", places[::2]), ("json", places[1::2])):
            assert [*zip(facts[f"{kind}_offsets"], facts[f"{kind}_sizes"], strict=True)] == some
        rows = [json.loads(row) for row in contents[1::2]]
        places0 = some_regions(len(tiles)).locations[seen : seen + facts["tiles"]]
        assert [[row["x"], row["y"]] for row in rows] == places0.tolist()
        seen += facts["tiles"]
    assert seen == len(tiles)


def test_a_full_shard_is_filled_to_the_last_byte(tmp_path: Path) -> None:
    tile_bytes = 4 * 512  # two headers, an image and a JSON file of one block each
    sizes = {}
    for limit in (3 * tile_bytes + 1024, 3 * tile_bytes + 1023, 1):
        folder = tmp_path / str(limit)
        sizes[limit] = [p.stat().st_size for p in packed(folder, [b"x"] * 6, "a",
                                                         bytes_per_shard=limit)]  # fmt: skip
    assert [*sizes.values()] == [
        [3 * tile_bytes + 1024] * 2,
        [2 * tile_bytes + 1024] * 3,
        [tile_bytes + 1024] * 6,
    ]


def test_a_slide_without_tiles_has_an_index_and_no_shard(tmp_path: Path) -> None:
    assert packed(tmp_path, []) == []
    assert read_index(tmp_path) == {"slide": TCGA, "extension": "png", "tiles": 0, "shards": []}


NAMES = st.text(st.sampled_from("a._%x1y-2E5é"), min_size=1, max_size=8)
PLACES = st.tuples(NAMES, st.integers(-3, 120), st.integers(0, 30))


@given(PLACES, PLACES)
@example(("a.b", 0, 0), ("a_b", 0, 0))
@example(("a.b", 0, 0), ("a%2Eb", 0, 0))
@example(("a_x1_y2", 0, 0), ("a", 1, 2))
def test_no_two_tiles_have_one_key(one, other) -> None:
    keys = [f"{key_of(slide)}_x{x}_y{y}" for slide, x, y in (one, other)]
    assert not any("." in key for key in keys)
    assert (keys[0] == keys[1]) == (one == other)


@given(
    name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=110),
    size=st.integers(0, 2**40),
)
@example("x" * 100, 8**11 - 1)
@example("x" * 101, 8**11)
@example("é", 0)
def test_a_header_is_that_of_tarfile(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    assert header(name, size) == info.tobuf(tarfile.PAX_FORMAT)


TEXTS = st.text(max_size=9) | st.sampled_from(["\u202e", 'a "b"\n', "%s %d", "\udcff", "\r"])
NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.booleans()


@given(
    slide=TEXTS,
    columns=st.dictionaries(TEXTS, st.lists(TEXTS, min_size=3, max_size=3), max_size=3),
    numbers=st.lists(NUMBERS, min_size=3, max_size=3),
)
def test_rows_are_the_objects_of_the_json_exporter(slide, columns, numbers) -> None:
    more = {name: np.array(values, object) for name, values in columns.items()}
    some = some_regions(3, **more, score=np.array(numbers, object))
    rows = [json.loads(row) for row in json_rows(slide, some)]
    assert rows == json.loads("".join(json_parts(slide, some, None)))
    assert not any(CONTROL.search(row) for row in json_rows(slide, some))


def test_a_number_that_is_missing_is_null() -> None:
    some = some_regions(2, score=np.array([np.nan, 1.5]))
    rows = [json.loads(row, parse_constant=pytest.fail) for row in json_rows("a", some)]
    assert [row["score"] for row in rows] == [None, 1.5]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tiles_per_shard": 0}, "tiles_per_shard=0 is too small; use at least 1"),
        ({"tiles_per_shard": -5}, "tiles_per_shard=-5 is too small"),
        ({"bytes_per_shard": 0}, "bytes_per_shard=0 is too small"),
        ({"bytes_per_shard": -1}, "bytes_per_shard=-1 is too small"),
        ({"extension": "tif"}, "extension='tif' is invalid; use one of png, jpg"),
        ({"extension": "PNG"}, "extension='PNG' is invalid"),
        ({"extension": "jpg", "lossless": True}, "lossless=true with extension=jpg"),
        ({"extension": "jxl", "quality": 0}, "quality=0 is invalid"),
        ({"passthrough": True}, "passthrough=true with extension=png"),
        ({"passthrough": True, "extension": "jxl"}, "passthrough=true with extension=jxl"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebdatasetExporter(**settings)
    assert f"exporter.webdataset.{problem}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
