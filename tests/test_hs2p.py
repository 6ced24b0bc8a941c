"""Coordinates for hs2p, read back as hs2p 6.1 reads and checks them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import complaint, tiler
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler import MPP, Level, TileExtractor, TileSpec, open_slide
from tiler.errors import ResolutionError
from tiler.exporters import Hs2pExporter

KEYS = {
    "provenance": "sample_id image_path mask_path backend requested_backend spacing_at_level_0"
    " mask_backend requested_mask_backend",
    "slide": "dimensions base_spacing_um level_downsamples",
    "tiling": "requested_tile_size_px requested_spacing_um read_level read_tile_size_px"
    " read_spacing_um tile_size_lv0 tolerance step_px_lv0 overlap min_tissue_fraction"
    " is_within_tolerance n_tiles",
    "segmentation": "tissue_method requested_seg_downsample seg_downsample seg_level"
    " seg_spacing_um sthresh sthresh_up mthresh close sam2_checkpoint_path sam2_config_path"
    " mask_path ref_tile_size_px tissue_mask_tissue_value mask_level mask_spacing_um",
    "filtering": "a_t a_h filter_white filter_black white_threshold black_threshold"
    " fraction_threshold filter_grayspace grayspace_saturation_threshold"
    " grayspace_fraction_threshold filter_blur blur_threshold qc_spacing_um",
    "artifact": "coordinate_space tile_order annotation selection_strategy output_mode",
}
"""The keys of the JSON: hs2p refuses one with others."""


def read_back(npz: Path | None, meta: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the JSON and the arrays as hs2p takes them, after its checks."""
    found = json.loads(meta.read_text())
    assert {name: set(section) for name, section in found.items()} == {
        name: set(keys.split()) for name, keys in KEYS.items()
    }
    tiling = found["tiling"]
    for name in ("requested_tile_size_px", "read_level", "read_tile_size_px", "tile_size_lv0"):
        assert isinstance(tiling[name], int)
    for name in ("requested_spacing_um", "read_spacing_um", "overlap", "tolerance"):
        float(tiling[name])
    # The stride that hs2p computes, and compares with that of the file.
    step = max(1, round(tiling["read_tile_size_px"] * (1 - tiling["overlap"])))
    step0 = max(1, round(step * tiling["tile_size_lv0"] / tiling["read_tile_size_px"]))
    assert tiling["step_px_lv0"] == step0
    if tiling["n_tiles"] == 0:
        assert npz is None
        return found, {}
    assert npz is not None
    with np.load(npz, allow_pickle=False) as data:
        arrays = {name: data[name] for name in ("tile_index", "x", "y", "tissue_fractions")}
    kinds = {name: array.dtype.name for name, array in arrays.items()}
    assert kinds == {"tile_index": "int32", "x": "int64", "y": "int64",
                     "tissue_fractions": "float32"}  # fmt: skip
    assert {array.shape for array in arrays.values()} == {(tiling["n_tiles"],)}
    np.testing.assert_array_equal(arrays["tile_index"], np.arange(tiling["n_tiles"]))
    order = np.lexsort((arrays["y"], arrays["x"]))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    return found, arrays


def written(source, spec, regions, folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    done = Hs2pExporter(spec).export(source, regions, np.ones((1, 1), bool), folder)
    names = {file.name.removeprefix(source.name): folder / file.name for file in done.files}
    assert set(names) <= {".coordinates.npz", ".meta.json"}
    return read_back(names.get(".coordinates.npz"), names[".meta.json"])


def slide(levels=(1.0,), **facts) -> ArrayReader:
    shapes = [(int(700 / d), int(900 / d), 3) for d in levels]
    made = [np.full(shape, 200, np.uint8) for shape in shapes]
    return ArrayReader(*made, downsamples=levels, **facts)


@settings(max_examples=settings().max_examples // 2)
@given(
    levels=st.sampled_from([(1.0,), (1.0, 2.0), (1.0, 4.0, 16.0), (1.0, 2.0005)]),
    factor=st.floats(1, 9),
    mpp=st.floats(0.1, 1.2),
    level=st.booleans(),
    size=st.integers(9, 60),
    stride=st.integers(20, 60),
    edge=st.sampled_from(["drop", "pad", "shift"]),
    bounds=st.one_of(st.none(), st.just((31, 17, 640, 480))),
)
def test_hs2p_reads_the_boxes_of_the_tiles(
    tmp_path_factory, levels, factor, mpp, level, size, stride, edge, bounds
):
    source = slide(levels, mpp=mpp, bounds=bounds)
    resolution = Level(int(factor) % len(levels)) if level else MPP(factor * mpp)
    spec = TileSpec(size, stride, resolution, edge=edge)
    mask = np.random.default_rng(3).random((23, 31)) < 0.8
    regions = TileExtractor(spec, mask=mask, mask_threshold=0.7).extract(source)
    found, arrays = written(source, spec, regions, tmp_path_factory.getbasetemp())
    tiling = found["tiling"]
    assert tiling["n_tiles"] == len(regions)
    assert tiling["requested_spacing_um"] == pytest.approx(resolution.mpp(source), rel=1e-12)
    downsample = source.level_downsamples[tiling["read_level"]]
    assert tiling["read_spacing_um"] == pytest.approx(mpp * downsample, rel=1e-12)
    assert tiling["overlap"] == pytest.approx(1 - stride / size)
    read = tiling["read_tile_size_px"] * downsample
    boxes = [one.box0 for one in regions]
    expected = sorted((box.x, box.y, one.ratio) for box, one in zip(boxes, regions, strict=True))
    x, y, ratios = (arrays.get(name, np.empty(0)) for name in ("x", "y", "tissue_fractions"))
    np.testing.assert_array_equal(np.array(expected).reshape(-1, 3)[:, :2], np.stack([x, y], 1))
    np.testing.assert_array_equal(ratios, np.array([one[2] for one in expected], np.float32))
    widths = np.array([box.width for box in boxes])
    assert np.abs(read - widths).max(initial=0) <= 1 + 1e-6
    assert np.abs(tiling["tile_size_lv0"] - widths).max(initial=0) <= 1


def test_a_slide_without_tiles_has_no_npz(tmp_path):
    source, spec = slide(mpp=0.5), TileSpec(2000, resolution=Level(0))
    found, arrays = written(source, spec, TileExtractor(spec).extract(source), tmp_path)
    assert (found["tiling"]["n_tiles"], arrays) == (0, {})


def test_the_same_tiles_give_the_same_bytes(tmp_path):
    source, spec = slide(mpp=0.3), TileSpec(32, resolution=MPP(0.5))
    regions = TileExtractor(spec).extract(source)
    first, second = (
        Hs2pExporter(spec).export(source, regions, np.ones((1, 1), bool), tmp_path / name)
        for name in "ab"
    )
    assert first == second
    assert b"\x00\x00\x21\x00" in (tmp_path / "a/fake.coordinates.npz").read_bytes(), "1980-01-01"


def test_an_area_that_differs_from_the_tiles_is_noted():
    spec = TileSpec(32, resolution=MPP(0.5))
    assert Hs2pExporter(spec).notes(slide(mpp=0.25)) == []
    (note,) = Hs2pExporter(spec).notes(slide(mpp=0.3))
    assert note == "hs2p reads 53 x 53 level-0 pixels for tiles of 53.333333 x 53.333333"


def test_a_slide_without_mpp_is_refused():
    with pytest.raises(ResolutionError, match="exporter=hs2p needs the slide's mpp"):
        Hs2pExporter(TileSpec(32, resolution=Level(0))).notes(slide(magnification=20.0))


def test_tiles_of_a_real_slide(shared_slides, tmp_path):
    spec = TileSpec(256, resolution=MPP(0.7))
    with open_slide(shared_slides / "CMU-1-Small-Region.svs") as source:
        regions = TileExtractor(spec).extract(source)
        found, arrays = written(source, spec, regions, tmp_path)
    assert found["tiling"] == {
        "requested_tile_size_px": 256, "requested_spacing_um": 0.7, "read_level": 0,
        "read_tile_size_px": 359, "read_spacing_um": 0.499, "tile_size_lv0": 359,
        "tolerance": 0.0, "step_px_lv0": 359, "overlap": 0.0, "min_tissue_fraction": None,
        "is_within_tolerance": False, "n_tiles": len(regions),
    }  # fmt: skip
    assert (arrays["x"].max() + 359, arrays["y"].max() + 359) <= (2220, 2967)


@pytest.mark.slow
def test_the_command_names_the_slide_as_the_user_did(tmp_path):
    pixels = np.full((200, 300, 3), 200, np.uint8)
    tifffile.imwrite(tmp_path / "a.tiff", pixels, photometric="rgb", tile=(64, 64))
    common = ("slides=files", "resolution=level", "resolution.value=0", "tile.size=64",
              "mask=none", "exporter=[hs2p]")  # fmt: skip
    for number, path in enumerate(("a.tiff", str(tmp_path / "a.tiff"))):
        done = tiler(*common, f"slides.paths=[{path}]", "reader.mpp=0.5", f"out=out{number}",
                     cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder = tmp_path / f"out{number}/slides/a"
        found, _ = read_back(folder / "a.coordinates.npz", folder / "a.meta.json")
        assert found["provenance"]["image_path"] == path
        assert found["tiling"]["min_tissue_fraction"] == 0.5
    done = tiler(*common, "slides.paths=[a.tiff]", "out=none", cwd=tmp_path)
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if "E_MPP" in line]
    assert "slide=a: exporter=hs2p needs the slide's mpp" in line
    assert not list((tmp_path / "none/slides").rglob("*.json"))
    line = complaint(tiler(*common, "slides.paths=[a.tiff]", "tile.size=[64,32]", cwd=tmp_path))
    assert "exporter.hs2p has one size" in line
