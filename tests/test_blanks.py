"""Counts of native tiles that a file leaves out, and of tiles that are background throughout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from conftest import SLIDES
from hypothesis import given
from hypothesis import strategies as st
from test_native_tiles import change
from test_tiff_reader import APERIO, PYRAMID, TILE, write

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.geometry import Size
from tiler.readers import open_slide
from tiler.readers.openslide.reader import OpenSlideReader
from tiler.readers.sparse import SparseTiles
from tiler.readers.tiff.reader import TiffReader
from tiler.regions import Regions

COMMON = ["slides=files", "slides.paths=in", "mask=none", "threshold=0", "out=out"]


@given(
    sparse=st.lists(st.booleans(), min_size=35, max_size=35),
    places=st.lists(st.tuples(st.integers(-40, 90), st.integers(-40, 70)), max_size=9),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    scale=st.sampled_from([0.5, 1.0, 1.25, 2.0, 3.7]),
)
def test_native_tiles_under_regions_are_counted_once_each(sparse, places, shape, scale):
    tiles = SparseTiles.of(Size(13, 9), 7, np.array(sparse))
    locations = np.array(places, np.int64).reshape(-1, 2)
    regions = Regions(locations, np.ones(len(places)), Size(*shape), Level(0), 1.0)
    covered = np.zeros((5 * 9, 7 * 13), bool)
    for x, y in places:
        left, top = (max(0.0, v * scale) for v in (x, y))
        right, bottom = ((v + length) * scale for v, length in zip((x, y), shape, strict=True))
        if right > 0 and bottom > 0:
            covered[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
    touched = covered.reshape(5, 9, 7, 13).any(axis=(1, 3)).ravel()
    assert tiles.under(regions, scale) == np.count_nonzero(touched & np.array(sparse))


def sparse_slide(path: Path, tiles: list[int], description: str | None = None) -> Path:
    """Write a slide of 5 by 5 native tiles without some of them."""
    write(path, PYRAMID[0], compression="jpeg", description=description)
    change(path, dict.fromkeys(tiles, (0, 0)))
    return path


@pytest.mark.parametrize("description", [None, APERIO])
def test_both_readers_count_the_sparse_tiles_of_a_file(tmp_path, description):
    path = sparse_slide(tmp_path / "a.tif", [6, 7, 12, 24], description)
    with TiffReader(path) as mine, OpenSlideReader(path) as theirs:
        assert mine.facts == theirs.facts
        (level,) = mine.facts.sparse
        assert (level.tile, level.columns, level.rows) == (TILE, 5, 5)
        regions = TileExtractor(TileSpec(TILE, resolution=Level(0))).extract(mine)
        assert len(regions) == 16


def test_planes_are_left_out_together(tmp_path):
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}
    planes = np.moveaxis(PYRAMID[0], 2, 0).copy()
    tifffile.imwrite(path, planes, tile=TILE[::-1], metadata=None, **options)
    change(path, {3: (0, 0), 28: (0, 0), 53: (0, 0)})
    with OpenSlideReader(path) as slide:
        (level,) = slide.facts.sparse
        assert np.unpackbits(np.frombuffer(level.packed, np.uint8)).nonzero()[0].tolist() == [3]


@pytest.mark.parametrize("reader", ["auto", "openslide"])
@pytest.mark.parametrize("engine", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_run_counts_tiles_that_are_background_throughout(tmp_path, reader, engine):
    (tmp_path / "in").mkdir()
    sparse_slide(tmp_path / "in/a.tif", [6, 7, 12, 24])
    sparse_slide(tmp_path / "in/whole.tif", [])
    words = [*COMMON, "resolution=level", "tile.size=[64,48]", f"reader={reader}"]
    images = [f"engine={engine}", "exporter=[csv,images]", "exporter.images.extension=jpg"]
    result = tiler(*words, *images, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    # Tile 24 is the corner, which no whole tile covers.
    assert rows["a"]["blank_native_tiles"] == rows["a"]["blank_tiles"] == "3"
    assert rows["whole"]["blank_native_tiles"] == rows["whole"]["blank_tiles"] == "0"
    record = json.loads((tmp_path / "out/slides/a/record.json").read_text())
    assert record["row"]["blank_native_tiles"] == record["row"]["blank_tiles"] == 3


@pytest.mark.slow
def test_padding_overlap_and_other_scales_count_native_tiles_once(tmp_path):
    (tmp_path / "in").mkdir()
    sparse_slide(tmp_path / "in/a.tif", [6, 7, 12, 24])
    common = [*COMMON, "exporter=[csv,images]", "reader.mpp=0.5"]
    for words, native, blank in (
        (["tile.size=[64,48]", "tile.edge=pad"], "4", "4"),
        (["tile.size=[64,48]", "tile.stride=[32,24]"], "4", "5"),
        (["tile.size=128"], "3", "0"),
        (["tile.size=[16,12]", "resolution=mpp", "resolution.value=1.0"], "4", "13"),
    ):
        result = tiler(*common, "resolution=level", *words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        (row,) = read_csv(tmp_path / "out/slides.csv")
        assert (row["blank_native_tiles"], row["blank_tiles"]) == (native, blank), words


@pytest.mark.slow
def test_linked_tiles_count_as_well(tmp_path):
    (tmp_path / "in").mkdir()
    sparse_slide(tmp_path / "in/a.tif", [6, 7])
    words = [*COMMON, "resolution=level", "tile.size=[64,48]", "exporter=[images]"]
    words += ["exporter.images.link=true", f"cache={tmp_path / 'cache'}"]
    for out in ("one", "two"):
        assert tiler(*words, f"out={out}", cwd=tmp_path).returncode == 0
        (row,) = read_csv(tmp_path / out / "slides.csv")
        assert (row["blank_native_tiles"], row["blank_tiles"]) == ("2", "2")


def test_slides_whose_format_lists_no_native_tiles_leave_the_column_empty(tmp_path, shared_slides):
    (tmp_path / "in").mkdir()
    for name in ("boxes_0.dcm", "test3-DAPI-2-(387).ndpi", "boxes.tiff"):
        (tmp_path / "in" / name).symlink_to(shared_slides / name)
    words = [*COMMON, "resolution=level", "tile.size=200", "exporter=[csv]"]
    assert tiler(*words, cwd=tmp_path).returncode == 0
    found = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    assert found["boxes_0"]["blank_native_tiles"] == ""
    assert found["test3-DAPI-2-(387)"]["blank_native_tiles"] == ""
    assert found["boxes"]["blank_native_tiles"] == "0"


@pytest.mark.skipif(not SLIDES.is_dir(), reason=f"the real slides are not here: no {SLIDES}")
def test_no_real_slide_leaves_out_a_tile():
    for name in ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "boxes.tiff"):
        for opener in (open_slide, OpenSlideReader):
            with opener(SLIDES / name) as slide:
                assert [level.packed for level in slide.facts.sparse] == [b""] * len(
                    slide.level_dimensions
                )
                assert slide.facts.sparse[0].columns == -(
                    -slide.dimensions.width // slide.facts.sparse[0].tile.width
                )


def test_a_picture_has_no_sparse_tiles(tmp_path):
    from PIL import Image

    Image.fromarray(PYRAMID[0]).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", mpp=0.5) as slide:
        assert slide.facts.sparse == ()
        assert slide.read_region((0, 0), (9, 9), MPP(1.0)).shape == (9, 9, 3)
