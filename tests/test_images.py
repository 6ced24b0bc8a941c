"""Tile images: passed through, spread over folders, and native tiles decoded once."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import openslide
import pytest
from command import complaint, read_csv, tiler
from PIL import Image
from tile_files import written

from tiler import Level, TileExtractor, TileSpec
from tiler.errors import ConfigError, SlideError
from tiler.exporters import ImagesExporter
from tiler.readers import OpenSlideReader, TiffReader
from tiler.regions import packed
from tiler.runner.work.plan import pieces
from tiler.slides.demo import Size, write_demo_slide
from tiler.spec import Edge


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("slide") / "painted.svs", Size(2100, 1400))


@pytest.fixture(params=["painted", "real"])
def slide(request: pytest.FixtureRequest) -> tuple[Path, int]:
    if request.param == "painted":
        return request.getfixturevalue("painted"), 256
    return request.getfixturevalue("shared_slides") / "CMU-1-Small-Region.svs", 240


def test_passthrough_files_show_openslides_pixels(slide: tuple[Path, int], tmp_path: Path) -> None:
    path, size = slide
    exporter = ImagesExporter(extension="jpg", passthrough=True)
    with TiffReader(path) as reader:
        regions = TileExtractor(TileSpec(size, resolution=Level(0))).extract(reader)
        done, _ = written(exporter, reader, regions, tmp_path)
        assert reader.native_tiles_decoded <= 1  # the one that is read on opening
    assert len(done) == len(regions) > 20
    with openslide.OpenSlide(path) as opened:
        for region, file in zip(regions, done, strict=True):
            expected = opened.read_region(region.location, 0, (size, size)).convert("RGB")
            with Image.open(tmp_path / file.name) as image:
                np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (TileSpec(250, resolution=Level(0)), "tile.size=[256,256]"),
        (TileSpec(512, resolution=Level(0)), "tile.size=[256,256]"),
        (TileSpec(256, resolution=Level(1)), "resolution=level resolution.value=0"),
        (TileSpec(256, 128, Level(0)), "; set tile.stride=null and tile.edge=drop, or set"),
    ],
)
def test_passthrough_refuses_tiles_that_are_not_native(
    painted: Path, tmp_path: Path, spec: TileSpec, why: str
) -> None:
    exporter = ImagesExporter(extension="jpg", passthrough=True)
    with TiffReader(painted) as reader:
        regions = TileExtractor(spec).extract(reader)
        with pytest.raises(SlideError, match="passthrough") as caught:
            written(exporter, reader, regions, tmp_path)
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [("TCGA-CR-7395-01A-01-TS1", 256, "not JPEG"), ("CMU-1-Small-Region", 240, "tile.edge=drop")],
)
def test_passthrough_names_the_reason_on_a_real_slide(
    shared_slides: Path, tmp_path: Path, name: str, size: int, why: str
) -> None:
    exporter = ImagesExporter(extension="jpg", passthrough=True)
    with TiffReader(shared_slides / f"{name}.svs") as reader:
        spec = TileSpec(size, resolution=Level(0), edge=Edge.PAD)
        regions = TileExtractor(spec, mask_threshold=0).extract(reader)
        with pytest.raises(SlideError, match=why):
            written(exporter, reader, regions, tmp_path)


def test_passthrough_needs_a_reader_that_can(painted: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="passthrough=true with extension=png"):
        ImagesExporter(passthrough=True)
    exporter = ImagesExporter(extension="jpg", passthrough=True)
    with OpenSlideReader(painted) as reader:
        regions = TileExtractor(TileSpec(256, resolution=Level(0))).extract(reader)
        with pytest.raises(SlideError, match="OpenSlideReader"):
            written(exporter, reader, regions, tmp_path)


def test_files_are_spread_over_folders(painted: Path, tmp_path: Path) -> None:
    with TiffReader(painted) as reader:
        regions = TileExtractor(TileSpec(128, resolution=Level(0))).extract(reader)
        done, _ = written(ImagesExporter(shard=20), reader, regions, tmp_path)
        flat, _ = written(ImagesExporter(), reader, regions, tmp_path / "flat")
    folders = {Path(file.name).parent.name for file in done}
    assert len(folders) == 20
    assert all(len(name) == 2 for name in folders)
    assert {(Path(f.name).name, f.sha256) for f in done} == {
        (Path(f.name).name, f.sha256) for f in flat
    }
    for file in done:
        assert (tmp_path / file.name).stat().st_size == file.size


def decoded(path: Path, spec: TileSpec) -> int:
    """Count the native tiles that are decoded to export a slide piece by piece, as a run does."""
    exporter = ImagesExporter(extension="jpg", threads=2)
    with TiffReader(path) as reader:
        before = reader.native_tiles_decoded
        for piece in pieces(*packed(TileExtractor(spec).extract(reader))):
            for region in piece:
                reader.read_region(region.location, region.shape, region.resolution, bounded=False)
        assert exporter.per_tile
        return reader.native_tiles_decoded - before


def test_overlap_needs_no_extra_decoding(painted: Path) -> None:
    apart = decoded(painted, TileSpec(256, 256, Level(0)))
    overlapping = decoded(painted, TileSpec(256, 128, Level(0)))
    assert apart == (2100 // 256) * (1400 // 256)
    assert overlapping <= 1.1 * apart


@pytest.mark.slow
def test_pieces_are_the_regions_once_each_in_blocks(painted: Path) -> None:
    with TiffReader(painted) as reader:
        regions = TileExtractor(TileSpec(16, resolution=Level(0))).extract(reader)
    parts = list(pieces(*packed(regions)))
    assert len(parts) > 10
    assert all(len(part) >= 64 for part in parts[:-1])
    assert sorted(r.location for part in parts for r in part) == sorted(r.location for r in regions)


def test_jpeg_quality_reaches_the_files(painted: Path, tmp_path: Path) -> None:
    sizes = []
    with TiffReader(painted) as reader:
        regions = TileExtractor(TileSpec(512, resolution=Level(0))).extract(reader)[:2]
        for quality in (30, 90):
            folder = tmp_path / str(quality)
            exporter = ImagesExporter(extension="jpg", quality=quality)
            (first, _), _ = written(exporter, reader, regions, folder)
            sizes.append(first.size)
            assert Image.open(io.BytesIO((folder / first.name).read_bytes())).size == (512, 512)
    assert sizes[0] < sizes[1]


LISTED = ("slides=files", "resolution=level", "tile.size=256", "mask=none", "threshold=0")


@pytest.mark.parametrize(
    "words",
    [
        ["exporter=[csv,json,images]"],
        ["exporter=[images,json,csv]", "exporter.images.extension=jpeg"],
        ["exporter=[csv,json,images]", "exporter.images.shard=7"],
        [
            "exporter=[csv,json,images]",
            "exporter.images.extension=jpg",
            "exporter.images.passthrough=true",
        ],
    ],
    ids=["png", "jpeg", "shard", "passthrough"],
)
def test_tables_name_the_file_of_each_tile(painted: Path, tmp_path: Path, words: list[str]) -> None:
    done = tiler(*LISTED, f"slides.paths={painted}", *words, "out=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out/slides/painted"
    rows, objects = (
        read_csv(folder / "painted.csv"),
        json.loads((folder / "painted.json").read_text()),
    )
    images = {path.relative_to(folder).as_posix() for path in (folder / "tiles").rglob("*.*")}
    assert {row["file"] for row in rows} == {item["file"] for item in objects} == images
    assert len(rows) == len(images) > 20
    for row in rows:
        assert f"_x{row['x']}_y{row['y']}_" in row["file"]


@pytest.mark.slow
def test_jobs_that_link_tiles_name_their_own_files(painted: Path, tmp_path: Path) -> None:
    words = [*LISTED[:-2], "mask=otsu", "threshold=0,0.5", f"slides.paths={painted}", "out=out"]
    words += ["exporter=[csv,images]", "exporter.images.link=true", "exporter.images.shard=3"]
    done = tiler("-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for job in (tmp_path / "out").glob("threshold=*"):
        folder = job / "slides/painted"
        files = [folder / row["file"] for row in read_csv(folder / "painted.csv")]
        assert sorted(files) == sorted(folder.glob("tiles/*/*.png"))


@pytest.mark.slow
def test_the_column_of_files_may_be_chosen(painted: Path, tmp_path: Path) -> None:
    common = [*LISTED, f"slides.paths={painted}", "out=out"]

    def columns(*words: str) -> tuple[bool, str]:
        done = tiler(*common, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return "file" in read_csv(tmp_path / "out/slides/painted/painted.csv")[0], done.stderr

    assert not columns("exporter=[csv]")[0]
    assert columns("exporter=[csv,images]")[0]
    assert not columns("exporter=[csv,images]", "exporter.csv.file=false")[0]
    assert columns("exporter=[csv,images]", "exporter.csv.file=true")[0]
    assert columns("exporter=[csv,images]", "exporter.images.extension=jpg")[0]
    assert read_csv(tmp_path / "out/slides/painted/painted.csv")[0]["file"].endswith(".jpg")
    assert "done already" in columns("exporter=[csv,images]", "exporter.images.extension=jpg")[1]
    refused = tiler(*common, "exporter=[csv]", "exporter.csv.file=true", cwd=tmp_path)
    assert refused.returncode == 2
    assert "exporter.csv.file=true: no exporter writes images of tiles" in complaint(refused)
    refused = tiler(*common, "+exporter.csv.tiles=3", cwd=tmp_path)
    assert refused.returncode == 2
    assert "unknown key 'exporter.csv.tiles'" in complaint(refused)
