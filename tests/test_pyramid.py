"""Parents of tiles: a shared grid per resolution, ids that join two tables, and images."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import exact_coverage
from PIL import Image

from tiler import MPP, Level, Magnification, TileExtractor, TileSpec
from tiler.config.groups.exporters import with_pyramid
from tiler.cover.slide_mask import SlideMask
from tiler.errors import ConfigError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.protocols import WSIReader
from tiler.readers import open_slide
from tiler.regions import packed
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.work.job import SlideJob
from tiler.scales.pyramid import pyramid_resolutions, with_parents
from tiler.slides.demo import Size, write_demo_slide

NOISE = np.random.default_rng(5).integers(0, 256, (90, 130, 3), dtype=np.uint8)


@settings(max_examples=3 * settings().max_examples // 4)
@given(
    size=st.tuples(*[st.integers(1, 40)] * 2),
    stride=st.tuples(*[st.integers(3, 50)] * 2),
    own=st.sampled_from(["1", "1.5", "2.7"]),
    values=st.lists(st.sampled_from(["3", "3.3", "4", "8", "16.4"]), min_size=1, unique=True),
    bounds=st.sampled_from([(0, 0, 130, 90), (13, 27, 90, 41)]),
    edge=st.sampled_from(["drop", "pad", "shift"]),
    threshold=st.sampled_from([0.0, 0.6]),
)
def test_each_parent_is_the_one_cell_of_the_grid_with_the_centre(
    size, stride, own, values, bounds, edge, threshold
):
    slide = ArrayReader(NOISE, mpp=1.0, bounds=bounds)
    mask = np.random.default_rng(len(values)).random((9, 13)) < 0.6
    spec = TileSpec(size, stride, resolution=MPP(float(own)), edge=edge)
    kept = TileExtractor(spec, mask=mask, mask_threshold=threshold).extract(slide)
    if not kept:
        return
    (regions,) = packed(kept)
    pyramid = pyramid_resolutions([float(value) for value in values], spec.resolution)
    tiles, parents = with_parents(regions, slide, SlideMask.plain(mask), pyramid)
    assert [part.resolution for part in parents] == [MPP(v) for v in sorted(map(float, values))]
    every = [region for part in parents for region in part]
    assert [region.columns["id"] for region in every] == [*map(str, range(len(every)))]
    assert len({(r.resolution, r.location) for r in every}) == len(every)
    exact = {MPP(float(value)): Fraction(value) for value in (own, *values)}
    wanted: set[str] = set()
    for below, above in zip((tiles, *parents), (*parents, None), strict=True):
        for region in below:
            identity = str(region.columns["parent_id"])
            if above is None:
                assert identity == ""
                continue
            wanted.add(identity)
            parent = every[int(identity)]
            assert parent.resolution == above.resolution
            small, large = exact[region.resolution], exact[parent.resolution]
            for axis in (0, 1):
                centre = (region.location[axis] + Fraction(size[axis], 2)) * small
                start, end = ((parent.location[axis] + add) * large for add in (0, size[axis]))
                assert start <= centre < end
                corner = bounds[axis] // large  # the first whole pixel that touches the bounds
                assert (parent.location[axis] - corner) % size[axis] == 0
    assert wanted == {region.columns["id"] for region in every}, "no parent without a child"
    for part in parents:
        assert sorted(map(tuple, part.locations[:, ::-1].tolist())) == [
            (y, x) for x, y in part.locations.tolist()
        ]
    for parent in every[:20]:
        large = exact[parent.resolution]
        box = [
            ((parent.location[axis] + add) * large - bounds[axis])
            * Fraction((13, 9)[axis], bounds[2 + axis])
            for add_sizes in ((0, 0), size)
            for axis, add in enumerate(add_sizes)
        ]
        assert parent.ratio == pytest.approx(float(exact_coverage(mask, *box)), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "like", "what"),
    [
        ([0.5, 2], MPP(1), "pyramid=.*: mpp_0.5 is not coarser than the tiles, mpp_1.0"),
        ([40], Magnification(20), "mag_40.0x is not coarser"),
        ([1], Level(1), "l_1 is not coarser"),
        ([2, 2.0], Level(1), "occurs twice"),
        ([2.5], Level(1), "pyramid=.*level=2.5 is invalid"),
    ],
)
def test_resolutions_that_cannot_be_parents_are_named(values, like, what):
    with pytest.raises(ConfigError, match=what):
        pyramid_resolutions(values, like)


def test_parents_are_ordered_from_fine_to_coarse_whatever_the_kind():
    assert pyramid_resolutions([5, 10], Magnification(20)) == (Magnification(10), Magnification(5))
    assert pyramid_resolutions([3.0, 2.0], Level(0)) == (Level(2), Level(3))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("slide") / "demo.svs", Size(2100, 1400))


def words(demo: Path, *more: str) -> list[str]:
    common = ["slides=files", f"slides.paths={demo}", "reader.mpp=0.25", "resolution.value=0.5"]
    return [*common, "tile.size=100", "exporter=[csv,json,images]", "out=out", *more]


def ran(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run in a folder and return what the run prints."""
    done = tiler(*arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of the only slide of a run by name, without the record."""
    slide = folder / "out/slides/demo"
    paths = (path for path in slide.rglob("*") if path.is_file())
    found = {path.relative_to(slide).as_posix(): path.read_bytes() for path in paths}
    del found["record.json"]
    return found


@pytest.mark.slow
def test_a_finished_run_gains_a_pyramid_and_its_tiles_stay(demo: Path, tmp_path: Path) -> None:
    ran(tmp_path, *words(demo))
    tiles = {name for name in files(tmp_path) if name.startswith("tiles/")}
    inodes = {path.name: path.stat().st_ino for path in tmp_path.rglob("tiles/*.png")}
    ran(tmp_path, *words(demo, "pyramid=[4.0,1.0]"))
    assert "done already" in ran(tmp_path, *words(demo, "pyramid=[4.0,1.0]"))
    found = files(tmp_path)
    assert inodes == {path.name: path.stat().st_ino for path in tmp_path.rglob("tiles/*.png")}
    slide = tmp_path / "out/slides/demo"
    rows, parents = read_csv(slide / "demo.csv"), read_csv(slide / "demo_pyramid.csv")
    assert [parent["id"] for parent in parents] == [*map(str, range(len(parents)))]
    assert {row["file"] for row in rows} == tiles
    assert [item["parent_id"] for item in json.loads((slide / "demo.json").read_text())] == [
        int(row["parent_id"]) for row in rows
    ]
    assert {parents[int(row["parent_id"])]["resolution"] for row in rows} == {"mpp_1.0"}
    assert {parent["resolution"] for parent in parents} == {"mpp_1.0", "mpp_4.0"}
    assert found.keys() - tiles == {
        *("demo.csv", "demo.json", "demo_pyramid.csv"),
        *(parent["file"] for parent in parents),
    }
    with open_slide(demo, mpp=0.25) as reader:
        for parent in (parents[0], parents[-1]):
            place = int(parent["x"]), int(parent["y"])
            resolution = MPP(float(parent["resolution"].removeprefix("mpp_")))
            pixels = reader.read_region(place, (100, 100), resolution, bounded=False)
            with Image.open(slide / parent["file"]) as image:
                assert np.array_equal(np.asarray(image), pixels)
    ran(tmp_path, *words(demo, "pyramid=[1.0]"))
    assert {row["resolution"] for row in read_csv(slide / "demo_pyramid.csv")} == {"mpp_1.0"}
    ran(tmp_path, *words(demo))
    assert "parent_id" not in read_csv(slide / "demo.csv")[0]


@pytest.mark.slow
def test_engines_write_the_same_pyramid_and_tables_alone_suffice(
    demo: Path, tmp_path: Path
) -> None:
    more = ("pyramid=[2]", "exporter.images.extension=jpg", "threshold=0.8")
    for name, engine in (("one", ()), ("two", ("engine=processes", "engine.workers=2"))):
        (tmp_path / name).mkdir()
        ran(tmp_path / name, *words(demo, *more), *engine)
    found = files(tmp_path / "one")
    assert found == files(tmp_path / "two")
    (tmp_path / "three").mkdir()
    ran(tmp_path / "three", *words(demo, *more[:1], "threshold=0.8"), "exporter=[csv]")
    without = files(tmp_path / "three")
    assert without.keys() == {"demo.csv", "demo_pyramid.csv"}
    with_file = found["demo_pyramid.csv"].decode().splitlines()
    assert without["demo_pyramid.csv"].decode().splitlines() == [
        line.rpartition(",")[0] for line in with_file
    ]
    (tmp_path / "four").mkdir()
    ran(tmp_path / "four", *words(demo, *more[:1], "sampler=random", "sampler.n=0"))
    assert files(tmp_path / "four")["demo_pyramid.csv"].decode() == (
        "slide,x,y,width,height,resolution,ratio,x0,y0,width0,height0,id,parent_id,file\n"
    )


def test_a_resolution_that_a_slide_does_not_have_is_named(demo: Path, tmp_path: Path) -> None:
    given = ["resolution=level", "resolution.value=0", "pyramid=[1,9]"]
    ran(tmp_path, *words(demo, *given), code=3)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert "E_MPP slide=demo: pyramid=9: level 9 does not exist" in row["reason"]


class Broken:
    """A reader of a slide with a pixel that cannot be read."""

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        return ArrayReader(NOISE, magnification=20, broken=[(28, 5)], name="a")


@pytest.mark.parametrize("policy", ["fail", "drop"])
def test_an_unreadable_parent_fails_its_slide_or_has_no_image(
    tmp_path: Path, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    extractor = TileExtractor(TileSpec(20, 40, Magnification(20)))  # (28, 5) is in no tile
    pyramid = (Magnification(10),)
    exporters = {"csv": CsvExporter(), "images": ImagesExporter()}
    exporters = with_pyramid(exporters, pyramid, policy == "drop")
    own = {"exporter": {name: {} for name in exporters}}
    job = SlideJob(
        tmp_path / "a.png", "a", Broken(), extractor, exporters, own, policy, pyramid=pyramid
    )
    result = run([job], tmp_path / "out", SerialEngine(), {})
    (row,) = read_csv(tmp_path / "out/slides.csv")
    if policy == "fail":
        assert result.exit_code == 3
        assert "E_READ slide=a: the parent at (0, 0) of mag_10.0x: broken" in row["reason"]
        assert not list((tmp_path / "out/slides").iterdir())
        return
    assert (result.exit_code, row["kept"], row["dropped"]) == (0, "6", "0")
    parents = read_csv(tmp_path / "out/slides/a/a_pyramid.csv")
    assert [not parent["file"] for parent in parents] == [True, *[False] * (len(parents) - 1)]
    assert "the parent at (0, 0) of mag_10.0x: broken at (28, 5); it has no image" in caplog.text
