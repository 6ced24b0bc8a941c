"""Context tiles: concentric, read as any region, and written with their tiles."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import exact_mean
from PIL import Image
from tile_files import written

from tiler import MPP, Level, Magnification, TileExtractor, TileSpec
from tiler.config.groups.exporters import with_context
from tiler.errors import ConfigError, ResolutionError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.geometry import Point, Size
from tiler.protocols import WSIReader
from tiler.readers import open_slide
from tiler.regions import RegionSpec
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.work.job import SlideJob
from tiler.scales.context import concentric
from tiler.slides.demo import write_demo_slide

NOISE = np.random.default_rng(5).integers(0, 256, (90, 130, 3), dtype=np.uint8)
TINT = (200, 30, 77)


@given(
    location=st.tuples(*[st.integers(-(10**6), 10**6)] * 2),
    shape=st.tuples(*[st.integers(1, 5000)] * 2),
    own=st.floats(0.25, 64),
    factor=st.floats(0.1, 64),
)
def test_a_context_tile_has_the_centre_of_its_tile(location, shape, own, factor):
    region = RegionSpec(Point(*location), Size(*shape), Level(0), 1.0, own)
    downsample = own * factor
    corner = concentric(region, downsample)
    for at, place, length in zip(corner, location, shape, strict=True):
        centre = (at + length / 2) * downsample
        assert abs(centre - (place + length / 2) * own) < 1e-5
    assert concentric(region, own) == pytest.approx(location, abs=1e-6)


@settings(max_examples=settings().max_examples // 2)
@given(
    size=st.tuples(*[st.integers(1, 40)] * 2),
    own=st.sampled_from(["1", "1.5", "2", "2.7"]),
    context=st.sampled_from(["1", "1.5", "2", "3.3", "4", "9.7"]),
    bounds=st.sampled_from([(0, 0, 130, 90), (13, 27, 90, 41)]),
    at=st.integers(0, 10**6),
)
def test_pixels_of_context_are_exact_means_around_the_tiles_centre(
    tmp_path_factory, size, own, context, bounds, at
):
    slide = ArrayReader(NOISE, mpp=1.0, background=TINT, bounds=bounds)
    spec = TileSpec(size, resolution=MPP(float(own)), edge="pad")
    regions = TileExtractor(spec, mask_threshold=0).extract(slide)
    region = regions[at % len(regions)]
    exporter = ImagesExporter().in_context(MPP(float(context)))
    folder = tmp_path_factory.mktemp("tile")
    (file,), _ = written(exporter, slide, [region], folder)
    with Image.open(folder / file.name) as image:
        got = np.asarray(image)
    margin, scale = 700, Fraction(context)
    framed = np.empty((90 + 2 * margin, 130 + 2 * margin, 3), np.uint8)
    framed[:] = TINT
    framed[margin : margin + 90, margin : margin + 130] = NOISE
    left, top = (
        (place + Fraction(length, 2)) * Fraction(own) - scale * length / 2 + margin
        for place, length in zip(region.location, region.shape, strict=True)
    )
    exact = exact_mean(framed, left, top, scale, region.shape)
    assert got.shape == exact.shape
    assert np.abs(got - exact).max() <= 0.5 + 2e-3
    corner = concentric(region, float(context))
    read = slide.read_region(corner, region.shape, MPP(float(context)), bounded=False)
    assert np.array_equal(got, read)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("slide") / "demo.svs", Size(2100, 1400))


def words(demo: Path, *more: str) -> list[str]:
    common = ["slides=files", f"slides.paths={demo}", "reader.mpp=0.25", "resolution.value=0.5"]
    return [*common, "tile.size=100", "exporter=[csv,images]", "out=out", *more]


def ran(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run in a folder and return what the run prints."""
    folder.mkdir(exist_ok=True)
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


CONTEXT = "context=[1.0,4]"


@pytest.fixture(scope="module")
def plain(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    ran(folder, *words(demo))
    return folder


@pytest.fixture(scope="module")
def whole(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    ran(folder, *words(demo, CONTEXT))
    return folder


@pytest.mark.slow
def test_each_kept_tile_has_its_context_and_nothing_else_changes(
    demo: Path, plain: Path, whole: Path
) -> None:
    without, found = files(plain), files(whole)
    assert without.items() <= found.items()
    rows = read_csv(whole / "out/slides/demo/demo.csv")
    stems = [row["file"].removesuffix(".png") for row in rows]
    names = {f"{stem}_c{value}.png" for stem in stems for value in ("1.0", "4.0")}
    assert found.keys() - without.keys() == names
    assert len(names) == 2 * len(rows) > 50
    counted = ("candidates", "kept", "below_threshold", "blank_tiles", "coverage")
    (one,), (two,) = (read_csv(folder / "out/slides.csv") for folder in (plain, whole))
    assert [one[name] for name in counted] == [two[name] for name in counted]
    record = json.loads((whole / "out/slides/demo/record.json").read_text())
    assert record["exporters"] == {
        "csv": 1,
        "images": len(rows),
        "images_c1.0": len(rows),
        "images_c4.0": len(rows),
    }
    row, stem = rows[7], stems[7]
    with open_slide(demo, mpp=0.25) as slide:
        place, shape = Point(int(row["x"]), int(row["y"])), Size(100, 100)
        region = RegionSpec(place, shape, MPP(0.5), 1.0, 2.0)
        pixels = slide.read_region(concentric(region, 16.0), shape, MPP(4.0), bounded=False)
    with Image.open(whole / f"out/slides/demo/{stem}_c4.0.png") as image:
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.slow
def test_context_is_added_to_a_finished_run_and_stays_when_it_is_left_out(
    demo: Path, plain: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain / "out", tmp_path / "out")
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").rglob("*.png")}
    ran(tmp_path, *words(demo, CONTEXT))
    assert files(tmp_path) == files(whole)
    assert "done already" in ran(tmp_path, *words(demo, CONTEXT))
    assert "done already" in ran(tmp_path, *words(demo))
    assert files(tmp_path) == files(whole)
    assert (
        inodes.items()
        <= {path.name: path.stat().st_ino for path in (tmp_path / "out").rglob("*.png")}.items()
    )


def test_context_that_is_left_out_goes_where_tiles_get_other_names(
    demo: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole / "out", tmp_path / "out")
    said = ran(tmp_path, *words(demo, "exporter.images.extension=jpg"))
    assert not [name for name in files(tmp_path) if not name.endswith((".jpg", ".csv"))]
    assert "images_c1.0" in said


@pytest.mark.slow
def test_engines_write_the_same_context(demo: Path, whole: Path, tmp_path: Path) -> None:
    ran(tmp_path, *words(demo, CONTEXT, "engine=processes", "engine.workers=2"))
    assert files(tmp_path) == files(whole)


@pytest.mark.slow
def test_a_dry_run_counts_context(demo: Path, tmp_path: Path) -> None:
    some = ("threshold=1", "exporter.images.extension=jpg", CONTEXT)
    ran(tmp_path, *words(demo, *some, "dry_run=true"))
    total = json.loads((tmp_path / "out/budget.json").read_text())["total"]
    line = ran(tmp_path, *words(demo, *some, "limits.max_tiles=20"), code=2)
    assert f"{total['tiles']} tiles, more than limits.max_tiles=20" in line
    ran(tmp_path, *words(demo, *some))
    written = files(tmp_path)
    assert total["tiles"] == len(written) - 1 > 20
    record = (tmp_path / "out/slides/demo/record.json").stat().st_size
    assert total["bytes"] == pytest.approx(sum(map(len, written.values())) + record, rel=0.01)


def test_context_of_passed_through_and_spread_tiles_is_encoded_beside_them(
    demo: Path, tmp_path: Path
) -> None:
    given = ["resolution=level", "resolution.value=0", "tile.size=256", "context=[1]"]
    given += ["exporter.images.passthrough=true", "exporter.images.extension=jpg"]
    given += ["exporter.images.shard=5"]
    ran(tmp_path, *(w for w in words(demo) if not w.startswith(("resolution", "tile"))), *given)
    found = files(tmp_path)
    rows = read_csv(tmp_path / "out/slides/demo/demo.csv")
    assert rows
    with open_slide(demo) as slide:
        for row in rows:
            name = row["file"].replace(".jpg", "_c1.jpg")
            assert name in found
            region = RegionSpec(
                Point(int(row["x"]), int(row["y"])), Size(256, 256), Level(0), 1.0, 1.0
            )
            pixels = slide.read_region(
                concentric(region, slide.level_downsamples[1]), (256, 256), Level(1), bounded=False
            )
            assert ImagesExporter(extension="jpg").encoded(pixels) == found[name]
    assert len(found) == 1 + 2 * len(rows)


@pytest.mark.slow
def test_jobs_link_context_and_compare_ignores_it(demo: Path, tmp_path: Path) -> None:
    given = words(demo, "context=[2]", "exporter.images.link=true", "exporter=[images]")
    ran(tmp_path, "-m", *given, "threshold=0.2,0.6")
    low, high = (tmp_path / f"out/threshold={value}/slides/demo/tiles" for value in (0.2, 0.6))
    names = [path.name for path in high.glob("*_c2.0.png")]
    assert names
    assert all((high / name).stat().st_ino == (low / name).stat().st_ino for name in names)
    done = tiler(str(low.parents[2]), str(high.parents[2]), cwd=tmp_path, module="tiler.compare")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["context=[1,0.2]"], "E_MPP slide=demo: context=0.2: the target is finer than the scan"),
        (["resolution=level", "resolution.value=0", "context=[9]"], "context=9: level 9 does not"),
        (["reader.mpp=null", "reader=image", "context=[1]"], "a resolution in mpp needs the"),
    ],
)
def test_a_context_that_a_slide_does_not_have_is_named(
    demo: Path, tmp_path: Path, given: list[str], what: str
) -> None:
    if "reader=image" in given:
        Image.new("RGB", (300, 300)).save(tmp_path / "demo.png")
        demo = tmp_path / "demo.png"
    ran(tmp_path, *words(demo, *given), code=3)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert what in row["reason"]
    assert row["kept"] == "0"


@dataclass
class Broken:
    """A reader of a slide with a pixel that cannot be read."""

    pixel: tuple[int, int]

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        return ArrayReader(NOISE, magnification=20, broken=[self.pixel], name="a")


@pytest.mark.parametrize(
    ("pixel", "of_context"), [((28, 5), True), ((10, 5), False)], ids=["context alone", "both"]
)
def test_a_tile_whose_context_is_unreadable_is_dropped_with_all_its_files(
    tmp_path: Path, pixel: tuple[int, int], of_context: bool
) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    extractor = TileExtractor(TileSpec(20, 40, Magnification(20)), context=(Magnification(10),))
    exporters = with_context({"images": ImagesExporter(), "csv": CsvExporter()}, extractor.context)
    # (28, 5) is in no tile, but in the context of that at (0, 0): -10 to 30.
    job = SlideJob(
        tmp_path / "a.png",
        "a",
        Broken(pixel),
        extractor,
        exporters,
        {"exporter": {name: {} for name in exporters}},
        on_bad_tile="drop",
        max_bad_fraction=0.5,
    )
    result = run([job], tmp_path / "out", SerialEngine(), {})
    assert result.exit_code == 0
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert (row["kept"], row["dropped"]) == ("5", "1")
    assert "1 of 6 tiles unreadable" in row["reason"]
    assert ("(in its context tile, mag_10.0x)" in row["reason"]) is of_context
    slide = tmp_path / "out/slides/a"
    kept = {f"_x{row['x']}_y{row['y']}_" for row in read_csv(slide / "a.csv")}
    names = sorted(path.name for path in (slide / "tiles").iterdir())
    assert len(names) == 2 * len(kept) == 10
    assert all(any(place in name for place in kept) for name in names)
    record = json.loads((slide / "record.json").read_text())
    assert sorted(file["name"] for file in record["files"]) == sorted(
        ["a.csv", *(f"tiles/{name}" for name in names)]
    )


def test_the_class_saves_context_beside_its_tiles(tmp_path: Path) -> None:
    slide = ArrayReader(NOISE, mpp=1.0)
    spec = TileSpec(40, resolution=MPP(1.0))
    extractor = TileExtractor(spec, context=[MPP(2.0), MPP(3.0)])
    regions = extractor.extract(slide)
    assert regions == TileExtractor(spec).extract(slide)
    paths = extractor.save(tmp_path)
    stem = "fake_x0_y0_w40_h40_mpp_1.0_r1.00"
    assert [path.name for path in paths[:3]] == [
        f"{stem}.png",
        f"{stem}_c2.0.png",
        f"{stem}_c3.0.png",
    ]
    assert len(paths) == 3 * len(regions)
    with Image.open(paths[1]) as image:
        pixels = slide.read_region((-10, -10), (40, 40), MPP(2.0))
        assert np.array_equal(np.asarray(image), pixels)
    with pytest.raises(ResolutionError, match=r"context=0\.5: the target is finer"):
        TileExtractor(spec, context=[MPP(0.5)]).fit(slide)
    with pytest.raises(ConfigError, match=r"Level.* is no MPP"):
        TileExtractor(spec, context=[Level(1)])
    with pytest.raises(ConfigError, match="occurs twice"):
        TileExtractor(spec, context=[MPP(2), MPP(2.0)])
