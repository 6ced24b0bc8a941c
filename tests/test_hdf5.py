"""HDF5 files of coordinates, read back by the rules of the tool that each is for."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import complaint, read_csv, tiler
from conftest import ArrayReader
from hypothesis import given
from hypothesis import strategies as st

from tiler import MPP, Level, Magnification, TileExtractor, TileSpec, open_slide
from tiler.config.groups.exporters import with_spec
from tiler.errors import ConfigError
from tiler.exporters import CsvExporter, Hdf5Exporter
from tiler.exporters.tables.footprints import footprint_of, tool_folder
from tiler.geometry import Size
from tiler.regions import Regions, packed

h5py = pytest.importorskip("h5py")

LAYOUTS = ("trident", "clam", "mussel", "atlaspatch")


def slide(size=(900, 700), levels=(1.0,), **facts) -> ArrayReader:
    """Return a blank slide with levels of some downsamples."""
    width, height = size
    shapes = [(int(height / d), int(width / d), 3) for d in levels]
    made = [np.full(shape, 200, np.uint8) for shape in shapes]
    return ArrayReader(*made, downsamples=levels, **facts)


def test_tiler_gives_the_tiles_to_the_exporters_that_need_them():
    spec = TileSpec(64, resolution=Level(0))
    given_spec = with_spec({"hdf5": Hdf5Exporter(), "csv": CsvExporter()}, spec)
    assert given_spec == {"hdf5": Hdf5Exporter(spec=spec), "csv": CsvExporter()}
    assert hash(given_spec["hdf5"]) == hash(Hdf5Exporter("trident", spec=spec))


@pytest.mark.parametrize(
    ("resolution", "facts", "expected"),
    [
        (MPP(0.5), (0.25, 40.0, 2.0), "20x_256px_0px_overlap"),
        (MPP(0.7), (0.499, 20.0, 0.7 / 0.499), "14.2857x_256px_0px_overlap"),
        (Magnification(10), (0.2528, 40.0, 4.0), "10x_256px_0px_overlap"),
        (Magnification(2.5), (None, 40.0, 16.0), "2.5x_256px_0px_overlap"),
        (Level(1), (None, 40.0, 4.0), "10x_256px_0px_overlap"),
        (Level(1), (0.25, None, 4.0), "10x_256px_0px_overlap"),
        (Level(1), (None, None, 4.0), "level1_256px_0px_overlap"),
    ],
)
def test_the_folder_of_a_run_is_as_trident_names_it(resolution, facts, expected):
    spec = TileSpec(256, resolution=resolution)
    assert tool_folder(spec, footprint_of(spec, *facts)) == expected


def test_the_folder_has_the_overlap_in_target_pixels():
    spec = TileSpec(256, 192, MPP(0.5))
    assert tool_folder(spec, footprint_of(spec, 0.25, None, 2.0)) == "20x_256px_64px_overlap"
    spec = TileSpec(128, 96, MPP(0.5), unit="um")
    assert tool_folder(spec, footprint_of(spec, 0.25, None, 2.0)) == "20x_256px_64px_overlap"


# What each tool reads, by its own rule: boxes (N, 4) in level-0 pixels.


def trident_boxes(file, levels) -> np.ndarray:
    coords = file["coords"]
    assert coords.dtype == np.int64
    attrs = coords.attrs
    source, target = (10 / attrs[f"{one}_magnification"] for one in ("level0", "target"))
    return boxes(coords[:], round(int(attrs["patch_size"]) * (target / source)))


def clam_boxes(file, levels) -> np.ndarray:
    coords = file["coords"]
    assert coords.dtype == np.int64
    level, side = coords.attrs["patch_level"], coords.attrs["patch_size"]
    assert coords.attrs["name"] == "fake"
    return boxes(coords[:], side * levels[level])


def mussel_boxes(file, levels) -> np.ndarray:
    assert file["coords"].attrs["patch_level"] == 0
    return clam_boxes(file, levels)


def atlaspatch_boxes(file, levels) -> np.ndarray:
    coords = file["coords"][:]
    assert coords.dtype == np.int32
    assert coords.shape == (file.attrs["num_patches"], 5)
    scale = np.array(levels)[coords[:, 4]]
    return np.column_stack([coords[:, :2], coords[:, 2] * scale, coords[:, 3] * scale])


READ = {"trident": trident_boxes, "clam": clam_boxes, "mussel": mussel_boxes,
        "atlaspatch": atlaspatch_boxes}  # fmt: skip


def boxes(corners: np.ndarray, side: float) -> np.ndarray:
    return np.column_stack([corners, np.full((len(corners), 2), side)])


def written(source, spec, regions, folder: Path, layout=LAYOUTS) -> dict[str, h5py.File]:
    """Return the files of some layouts, opened from memory."""
    done = Hdf5Exporter(layout, spec=spec).export(source, regions, np.ones((1, 1), bool), folder)
    files = {file.name.split(".")[-2]: (folder / file.name).read_bytes() for file in done.files}
    assert [*files] == [file.name.removeprefix("fake.")[:-3] for file in done.files]
    return {name: h5py.File(io.BytesIO(data)) for name, data in files.items()}


LEVELS = st.sampled_from([(1.0,), (1.0, 2.0), (1.0, 4.0), (1.0, 4.0, 16.0), (1.0, 2.0005, 4.001)])


@given(
    levels=LEVELS,
    kind=st.sampled_from(["mpp", "magnification", "level"]),
    factor=st.floats(1, 9),
    mpp=st.one_of(st.none(), st.floats(0.1, 1.2)),
    magnification=st.one_of(st.none(), st.sampled_from([20.0, 40.0, 30.3])),
    size=st.integers(3, 60),
    stride=st.integers(9, 60),
    edge=st.sampled_from(["drop", "pad", "shift"]),
    bounds=st.one_of(st.none(), st.just((31, 17, 640, 480))),
    microns=st.booleans(),
)
def test_every_tool_reads_the_boxes_of_the_tiles(
    tmp_path_factory, levels, kind, factor, mpp, magnification, size, stride, edge, bounds, microns
):
    source = slide(levels=levels, mpp=mpp, magnification=magnification, bounds=bounds)
    resolution = {
        "mpp": MPP(factor * (mpp or 1)),
        "magnification": Magnification((magnification or 1) / factor),
        "level": Level(int(factor) % len(levels)),
    }[kind]
    if getattr(source, kind, 1) is None:
        return
    spec = TileSpec(size, stride, resolution, edge=edge)
    if microns and mpp is not None:
        scale = resolution.mpp(source) * 1.01  # so that no side is a whole number of pixels
        spec = TileSpec(size * scale, stride * scale, resolution, "um", edge)
    regions = TileExtractor(spec).extract(source)
    folder = tmp_path_factory.getbasetemp()
    files = written(source, spec, regions, folder)
    tiles = np.array([region.box0 for region in regions]).reshape(-1, 4)
    assert set(files) == {*LAYOUTS} if regions else {"trident", "atlaspatch"}
    unknown = mpp is None and magnification is None
    for name, file in files.items():
        if name == "trident" and unknown:
            assert {*file["coords"].attrs} & {
                "level0_magnification",
                "target_magnification",
            } == set()
            assert file["coords"].attrs["patch_level"] == resolution.value
            continue
        found = READ[name](file, source.level_downsamples)
        assert found.shape == tiles.shape
        np.testing.assert_array_equal(found[:, :2], tiles[:, :2])
        assert np.abs(found - tiles).max(initial=0) <= 1 + 1e-6, name
    if regions:
        assert files["trident"]["coords"].attrs["patch_size"] == regions[0].shape.width
    if mpp is not None and kind != "magnification":
        assert files["trident"]["coords"].attrs["level0_magnification"] == 10 / mpp
    if kind == "mpp":
        assert files["trident"]["coords"].attrs["target_magnification"] == 10 / resolution.value
    if kind == "magnification":
        attrs = files["trident"]["coords"].attrs
        assert attrs["level0_magnification"] == magnification
        assert attrs["target_magnification"] == resolution.value


def test_the_attributes_of_each_layout_are_where_the_tool_looks(tmp_path):
    source = slide(levels=(1.0, 4.0), mpp=0.25, magnification=40.0)
    spec = TileSpec(32, 24, MPP(0.7))
    regions = TileExtractor(spec).extract(source)
    files = written(source, spec, regions, tmp_path)
    shared = {"level0_magnification": 40.0, "target_magnification": 10 / 0.7, "overlap": 8}
    extent = {"level0_width": 900, "level0_height": 700}
    sizes = {"patch_size": 32, "patch_size_level0": 90}
    found = {name: dict(file["coords"].attrs) for name, file in files.items()}
    assert found["trident"] == {**shared, **extent, **sizes, "name": "fake"}
    assert found["atlaspatch"] == {}
    assert dict(files["atlaspatch"].attrs) == {**shared, **extent, **sizes, "wsi_path": "fake.svs",
                                               "num_patches": len(regions)}  # fmt: skip
    plain = {name: np.asarray(value).tolist() for name, value in found["clam"].items()}
    assert plain == {"patch_size": 90, "patch_level": 0, "downsample": [1.0, 1.0], "name": "fake",
                     "level_dim": [900, 700], "downsampled_level_dim": [900, 700]}  # fmt: skip
    plain = {name: np.asarray(value).tolist() for name, value in found["mussel"].items()}
    assert plain == {
        "patch_size": 90, "patch_level": 0, "patch_size_to_resize_to_for_desired_mpp": 32,
        "step_size": 67, "overlap": 8, "mpp": 0.7, "native_mpp": 0.25, "level_dim": [900, 700],
        "name": "fake",
    }  # fmt: skip
    for name in ("trident", "clam", "mussel"):
        assert not files[name].attrs, "only the dataset has attributes"


def test_a_level_is_read_as_the_level(tmp_path):
    source = slide(levels=(1.0, 4.0), mpp=0.25)
    for resolution in (Level(1), MPP(1.0)):
        spec = TileSpec(32, resolution=resolution)
        files = written(source, spec, TileExtractor(spec).extract(source), tmp_path)
        attrs = files["clam"]["coords"].attrs
        assert (attrs["patch_level"], attrs["patch_size"]) == (1, 32)
        assert attrs["level_dim"].tolist() == [225, 175]
        assert files["mussel"]["coords"].attrs["patch_size"] == 128
        assert files["atlaspatch"]["coords"][0].tolist() == [0, 0, 32, 32, 1]


def test_columns_are_beside_the_coordinates(tmp_path):
    source, spec = slide(), TileSpec(100, resolution=Level(0))
    regions = TileExtractor(spec).extract(source)
    labels = ["", "stroma", "tumor/näh"]
    some = [
        replace(one, columns={**one.columns, "label": labels[at % 3], "label_a/b": at / 4})
        for at, one in enumerate(regions)
    ]
    for file in written(source, spec, some, tmp_path).values():
        columns = file["columns"]
        assert columns["row"][:].tolist() == [one.columns["row"] for one in regions]
        assert columns["ratio"][:].tolist() == [one.ratio for one in regions]
        assert columns["label_a%2Fb"][:].tolist() == [at / 4 for at in range(len(some))]
        assert columns["label"].asstr()[:].tolist() == [one.columns["label"] for one in some]


def test_a_slide_without_tiles_has_the_files_that_each_tool_has(tmp_path):
    source, spec = slide(mpp=0.5), TileSpec(2000, resolution=Level(0))
    regions = TileExtractor(spec).extract(source)
    files = written(source, spec, regions, tmp_path)
    assert {name: file["coords"].shape for name, file in files.items()} == {
        "trident": (0, 2),
        "atlaspatch": (0, 5),
    }
    assert files["trident"]["coords"].attrs["patch_size"] == 2000


def test_what_a_slide_does_not_state_is_left_out_and_reported(tmp_path):
    exporter = Hdf5Exporter(LAYOUTS, spec=TileSpec(32, resolution=Level(0)))
    unsaid = "which the slide does not state"
    assert exporter.notes(slide()) == [
        "exporter.hdf5.layout=trident,atlaspatch: without level0_magnification and"
        f" target_magnification, {unsaid}",
        f"exporter.hdf5.layout=mussel: without mpp and native_mpp, {unsaid}",
    ]
    assert exporter.notes(slide(mpp=0.5)) == []
    (note,) = exporter.notes(slide(magnification=20.0))
    assert "mussel: without mpp" in note, "a magnification is no mpp"


def test_an_area_that_differs_from_the_tiles_is_reported():
    source = slide(mpp=0.3, levels=(1.0, 4.0))
    (note,) = Hdf5Exporter(LAYOUTS, spec=TileSpec(32, resolution=MPP(0.5))).notes(source)
    area = "53 x 53 level-0 pixels for tiles of 53.333333 x 53.333333"
    assert note == f"exporter.hdf5.layout={','.join(LAYOUTS)}: the tool reads {area}"
    (note,) = Hdf5Exporter("trident", spec=TileSpec(30, resolution=MPP(1.5))).notes(source)
    assert "reads 152 x 152 level-0 pixels for tiles of 150 x 150" in note, (
        "TRIDENT reads 38 pixels of level 1"
    )


@pytest.mark.parametrize("why", ["an image is not used", "the sizes give another downsample"])
def test_a_level_that_other_tools_place_elsewhere_is_not_used(tmp_path, why):
    source = slide((4000, 3000), levels=(1.0, 4.0), mpp=0.25)
    if why == "an image is not used":
        source.facts.provenance["levels"] = "an image is not a level"
    else:  # OpenSlide would take 4.016
        smaller = source.levels[1][:747, :996]
        source = ArrayReader(source.levels[0], smaller, downsamples=(1.0, 4.0), mpp=0.25)
    spec = TileSpec(32, resolution=Level(1))
    files = written(source, spec, TileExtractor(spec).extract(source), tmp_path)
    attrs = files["clam"]["coords"].attrs
    assert (attrs["patch_level"], attrs["patch_size"]) == (0, 128)
    assert files["atlaspatch"]["coords"][0].tolist() == [0, 0, 128, 128, 0]


def test_the_same_tiles_give_the_same_bytes(tmp_path):
    source, spec = slide(mpp=0.3), TileSpec(32, resolution=MPP(0.5))
    regions = TileExtractor(spec).extract(source)
    exporter = Hdf5Exporter(LAYOUTS, spec=spec)
    first, second = (
        exporter.export(source, regions, np.ones((1, 1), bool), tmp_path / name) for name in "ab"
    )
    assert first == second


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("exporter.hdf5.layout=[clams]",),
            "['clams'] is invalid; use trident, clam, mussel or atlaspatch, or a list of them",
        ),
        (("tile.stride=[64,32]",), "tile.stride=(64, 32)"),
        (("+exporter.hdf5.spec=1",), "unknown key 'exporter.hdf5.spec'"),
    ],
)
def test_layouts_that_cannot_be_are_refused_in_one_line(tmp_path, words, expected):
    common = ("slides=files", "slides.paths=[no.svs]", "tile.size=64", "exporter=[hdf5]", "out=out")
    found = complaint(tiler(*common, *words, cwd=tmp_path))
    assert found.startswith("E_CONFIG: ")
    assert expected in found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("layout", "size", "expected"),
    [
        ("clams", 64, "layout='clams' is unknown; use trident, clam, mussel, atlaspatch"),
        ([], 64, "is empty"),
        (["clam", "clam"], 64, "names clam twice"),
        *((layout, (64, 32), f"layout={layout} has one size") for layout in LAYOUTS),
    ],
)
def test_layouts_that_cannot_be_are_refused_when_they_are_made(layout, size, expected):
    with pytest.raises(ConfigError, match=expected):
        Hdf5Exporter(layout, spec=TileSpec(size, resolution=Level(0)))


def test_clam_needs_no_overlap():
    spec = TileSpec(64, (64, 32), Level(0))
    assert Hdf5Exporter("clam", spec=spec).layout == ("clam",)


def trident_pixels(slide, coords, at: int):
    """Return the pixels of a tile as TRIDENT reads them, before it resizes them."""
    attrs = coords.attrs
    source, target = (10 / attrs[f"{one}_magnification"] for one in ("level0", "target"))
    downsample, size = target / source, int(attrs["patch_size"])
    near = [n for n, own in enumerate(slide.level_downsamples) if abs(own - downsample) <= 0.1]
    finer = [n for n, own in enumerate(slide.level_downsamples) if own <= downsample]
    level = near[0] if near else finer[-1]
    side = round(round(size * downsample) / int(slide.level_downsamples[level]))
    return slide.read_region(coords[at].tolist(), level, (side, side)).convert("RGB")


@pytest.mark.parametrize("mpp", [1.0, 0.7])
def test_tools_read_the_boxes_of_a_real_slide(shared_slides, tmp_path, mpp):
    spec = TileSpec(256, resolution=MPP(mpp))
    with open_slide(shared_slides / "CMU-1-Small-Region.svs", name="fake") as source:
        regions = TileExtractor(spec).extract(source)
        files = written(source, spec, regions, tmp_path)
        tiles = np.array([region.box0 for region in regions])
        for name, file in files.items():
            found = READ[name](file, source.level_downsamples)
            np.testing.assert_array_equal(found[:, :2], tiles[:, :2])
            assert np.abs(found - tiles).max() <= 1, name
    assert files["clam"]["coords"].attrs["patch_level"] == 0


@pytest.mark.parametrize(("mpp", "most"), [(1.0, 1.0), (0.7, 3.2)])
def test_trident_reads_the_pixels_of_tiles_except_for_resampling(
    shared_slides, tmp_path, mpp, most
):
    cv2, openslide = pytest.importorskip("cv2"), pytest.importorskip("openslide")
    path, spec = shared_slides / "CMU-1-Small-Region.svs", TileSpec(256, resolution=MPP(mpp))
    by_trident, by_area, moved = [], [], []
    with open_slide(path, name="fake") as source, openslide.OpenSlide(path) as slide:
        regions = TileExtractor(spec).extract(source)
        coords = written(source, spec, regions, tmp_path, ["trident"])["trident"]["coords"]
        for at, region in enumerate(regions):
            own = source.read_region(region.location, region.shape, MPP(mpp), bounded=False)
            read = trident_pixels(slide, coords, at)
            mean = cv2.resize(np.asarray(read), (256, 256), interpolation=cv2.INTER_AREA)
            by_trident.append(difference(own, np.asarray(read.resize((256, 256)))))
            by_area.append(difference(own, mean))
            moved.append(difference(own, np.roll(mean, 1, 1)))
    assert np.mean(by_trident) < most
    assert by_area[0] < 0.05, "this corner has no fraction of a level-0 pixel to lose"
    assert np.mean(moved) > 3 * np.mean(by_trident)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def job(folder: Path) -> tuple[str, ...]:
    """Write a slide that says neither mpp nor magnification; return the words of its run."""
    pixels = np.full((200, 300, 3), 200, np.uint8)
    tifffile.imwrite(folder / "a.tiff", pixels, photometric="rgb", tile=(64, 64))
    return ("slides=files", "slides.paths=[a.tiff]", "resolution=level", "resolution.value=0",
            "tile.size=64", "mask=none", "exporter=[hdf5]", "out=out")  # fmt: skip


def test_the_log_and_the_table_report_what_the_files_leave_out(tmp_path):
    done = tiler(*job(tmp_path),
                 f"exporter.hdf5.layout=[{','.join(LAYOUTS)}]", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "hdf5.layout=" in line]
    assert "slide=a exporter.hdf5.layout=trident,atlaspatch: without level0_magnification" in line
    assert "exporter.hdf5.layout=mussel: without mpp" in line
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["notes"] in line
    names = sorted(path.name for path in (tmp_path / "out/slides/a").glob("*.h5"))
    assert names == sorted(f"a.{name}.h5" for name in LAYOUTS)
    with h5py.File(tmp_path / "out/slides/a/a.atlaspatch.h5") as file:
        assert file.attrs["wsi_path"] == "a.tiff", "as the user wrote it"


def test_two_exporters_of_one_file_are_refused_in_one_line(tmp_path):
    done = tiler(*job(tmp_path),
                 "+exporter.more._target_=tiler.exporters.Hdf5Exporter", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("E_")]
    assert "exporter.more: exporter.hdf5 writes 'trident' in the run's folder, too" in line
    assert not list((tmp_path / "out/slides").rglob("*.h5"))


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"needs h5py; run: pip install 'tiler\[hdf5\]'"):
        Hdf5Exporter("clam")


def packed_files(source, spec, folder: Path, layout) -> tuple[np.ndarray, list[str]]:
    """Write the tiles of a slide with their pixels; return the pixels and the names of files."""
    (regions,) = packed(TileExtractor(spec).extract(source)) or [EMPTY]
    exporter = Hdf5Exporter(layout, images=True, spec=spec)
    assert exporter.per_tile
    pixels = [
        source.read_region(one.location, one.shape, one.resolution, bounded=False)
        for one in regions
    ]
    chunks = (exporter.encoded(one) for one in pixels)
    done = exporter.pack(source, regions, chunks, folder)
    for file in done.files:
        data = (folder / file.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    height, width = regions.shape[::-1]
    return np.array(pixels).reshape(-1, height, width, 3), [file.name for file in done.files]


EMPTY = Regions(np.empty((0, 2), np.int64), np.empty(0), Size(2000, 2000), Level(0), 1.0)


@pytest.fixture
def noisy() -> ArrayReader:
    return ArrayReader(np.random.default_rng(4).integers(0, 256, (211, 305, 3), np.uint8), mpp=0.5)


def test_the_pixels_are_stored_once_and_every_file_shows_them(tmp_path, noisy):
    pixels, names = packed_files(noisy, TileSpec((32), 27, Level(0)), tmp_path, LAYOUTS)
    assert names == [f"fake.{name}.h5" for name in LAYOUTS]
    assert len(pixels) > 50
    first, *others = (tmp_path / name for name in names)
    assert first.stat().st_size > pixels.size
    assert sum(other.stat().st_size for other in others) < pixels.size / 5
    for name in names:
        (tmp_path / "tree").mkdir(exist_ok=True)
        link = tmp_path / "tree" / name
        link.symlink_to(f"../{name}")
        for path in (tmp_path / name, link):
            with h5py.File(path) as file:
                images = file["images"]
                assert (images.dtype, images.chunks) == (np.uint8, (1, 32, 32, 3))
                np.testing.assert_array_equal(images[:], pixels)
                assert len(file["coords"]) == len(pixels)
                assert ("imgs" in file) == ("clam" in name)
    with h5py.File(tmp_path / "fake.clam.h5") as file:
        np.testing.assert_array_equal(file["imgs"][3], pixels[3])


def test_names_that_are_not_text_are_written(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    source = ArrayReader(pixels, mpp=0.5, name="n\u00e4h\udcff\n")
    spec = TileSpec(32, resolution=Level(0))
    _, names = packed_files(source, spec, tmp_path, ["trident", "clam"])
    for name in names:
        with h5py.File(tmp_path / name) as file:
            assert file["images"].shape == (4, 32, 32, 3)
            assert file["coords"].attrs["name"] == "n\u00e4h\\xff\n"


@pytest.mark.parametrize(("layout", "names"), [("clam", []), (["clam", "trident"], ["trident"])])
def test_images_of_a_slide_without_tiles(tmp_path, noisy, layout, names):
    spec = TileSpec(2000, resolution=Level(0))
    _, found = packed_files(noisy, spec, tmp_path, layout)
    assert found == [f"fake.{name}.h5" for name in names]
    for name in found:
        with h5py.File(tmp_path / name) as file:
            assert file["images"].shape == (0, 2000, 2000, 3)
            assert file["coords"].shape == (0, 2)


def test_the_same_pixels_give_the_same_bytes(tmp_path, noisy):
    spec = TileSpec(32, resolution=Level(0))
    for name in "ab":
        packed_files(noisy, spec, tmp_path / name, ["mussel", "clam"])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_wrong_number_of_tiles_is_an_error_and_leaves_no_file(tmp_path, noisy):
    (regions,) = packed(TileExtractor(TileSpec(32, resolution=Level(0))).extract(noisy))
    exporter = Hdf5Exporter("clam", images=True, spec=TileSpec(32, resolution=Level(0)))
    chunk = exporter.encoded(np.zeros((32, 32, 3), np.uint8))
    for count in (len(regions) - 1, len(regions) + 1):
        with pytest.raises(ValueError, match="zip"):
            exporter.pack(noisy, regions, [chunk] * count, tmp_path)
        assert not list(tmp_path.iterdir())


FULL = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from tiler.errors import DestinationError
from tiler.exporters.tables.hdf5_file import write_hdf5

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
for limit in (0, 500, 3000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    def fill(file):
        made = file.create_dataset("a", data=np.arange(50_000))
        made.attrs["name"] = "x" * 1000
    try:
        write_hdf5(folder / "a.h5", fill)
    except DestinationError as error:
        print(str(error).splitlines()[0])
    assert not list(folder.iterdir()), limit
"""


def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("E_DEST: ") and "a.h5" in line for line in lines), lines
