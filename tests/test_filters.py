"""The default limits of filters on real slides: tissue passes, and what they are for does not."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.config.command.folder import conf_folder
from tiler.geometry import Size
from tiler.masks import OtsuMask
from tiler.masks.pen import pen_marks
from tiler.protocols import WSIReader
from tiler.readers.auto import open_slide
from tiler.readers.image import ImageReader
from tiler.readers.tiff.reader import TiffReader
from tiler.scores import Black, Blur, Entropy, Grey, Pen, Saturation, Stain, White
from tiler.scores.limits import passes
from tiler.scores.measure import measured
from tiler.slides.demo import write_demo_slide

FILTERS = {
    "white": White(), "black": Black(), "grey": Grey(), "blur": Blur(), "pen": Pen(),
    "entropy": Entropy(), "saturation": Saturation(), "stain": Stain(),
}  # fmt: skip
SHOWS_GLASS = ("white", "grey", "entropy", "saturation", "stain", "blur")
TARGET = MPP(0.5)


def decided(reader: WSIReader, size: int = 256, resolution: MPP | Level = TARGET):
    """Return each filter's decision about all cells, bool (ny, nx), and their coverage."""
    extractor = TileExtractor(
        TileSpec(size, resolution=resolution), mask_provider=OtsuMask(), mask_threshold=0
    )
    cells = extractor.walk(reader, extractor.make_mask(reader))
    scores = measured(FILTERS, reader, cells, np.ones(cells.ratios.shape, bool), resolution)
    return {name: passes(FILTERS[name], scores[name]) for name in FILTERS}, cells.ratios


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("demo") / "demo.svs", Size(2432, 1792))


def opened(name: str, shared_slides: Path) -> WSIReader:
    """Open a real slide; the one without mpp was scanned at about 0.5 µm per pixel."""
    mpp = 0.5 if name.startswith("TCGA") else None
    return open_slide(shared_slides / name, mpp=mpp)


HE = ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"]


@pytest.mark.parametrize("name", HE)
def test_tissue_passes_and_glass_does_not(shared_slides, name):
    with opened(name, shared_slides) as reader:
        decisions, ratios = decided(reader)
    tissue, glass = ratios >= 0.5, ratios == 0
    assert tissue.sum() > 25
    assert glass.sum() > 25
    for name_, kept in decisions.items():
        # This slide has fields of eosin alone, which is what the filter is to find.
        few = name_ == "stain" and name.startswith("TCGA")
        assert kept[tissue].mean() >= (0.5 if few else 1), name_
        if name_ in SHOWS_GLASS:
            assert kept[glass].mean() <= 0.25, name_  # specks on the glass are sharp


def test_the_demo_slides_tissue_passes(demo):
    with open_slide(demo) as reader:
        decisions, ratios = decided(reader, 128)
    assert (ratios >= 0.5).sum() > 20
    for name, kept in decisions.items():
        assert kept[ratios >= 0.5].all(), name
        if name in SHOWS_GLASS:
            assert kept[ratios == 0].mean() <= 0.25, name  # pen is on it


def test_overlapping_cells_decode_native_tiles_once_but_for_the_first_row(demo):
    scores = {"blur": Blur(mpp=None), "entropy": Entropy(mpp=0.5), "mine": Blur(mpp=None)}
    with TiffReader(demo, cache_bytes=6_000_000) as reader:  # three rows of native tiles
        axes = TileExtractor(TileSpec(128, 32, TARGET)).axes(reader, np.ones((1, 1), bool))
        everywhere = np.ones((len(axes.y), len(axes.x)), bool)
        # One thread: two may be any number of strips apart on a busy machine.
        measured(scores, reader, axes, everywhere, TARGET, threads=1)
        width, height = reader.dimensions
        across, down = math.ceil(width / 256), math.ceil(height / 256)
        again = reader.native_tiles_decoded - across * down
        assert 0 <= again < across, "tiles within the first strip: no read overlapped it yet"


@pytest.mark.slow
@pytest.mark.parametrize("name", HE)
@pytest.mark.parametrize(("microns", "share"), [(2.0, 0.2), (3.0, 0.0)])
def test_blur_drops_a_blurred_copy_of_a_slide(fake_reader, shared_slides, name, microns, share):
    """Each point of the slide is spread over some µm (standard deviation)."""
    with opened(name, shared_slides) as reader:
        pixels = reader.read_region((0, 512), (1536, 1536), Level(0))
        sharp = fake_reader(pixels, mpp=reader.mpp)
        spread = cv2.GaussianBlur(pixels, (0, 0), microns / reader.mpp)
        blurred = fake_reader(spread, mpp=reader.mpp)
    decisions, ratios = decided(sharp, 192, Level(0))
    tissue = ratios >= 0.5
    assert tissue.sum() > 15
    assert decisions["blur"][tissue].all()
    decisions, _ = decided(blurred, 192, Level(0))
    assert decisions["blur"][tissue].mean() <= share
    assert decisions["white"][tissue].all()


def test_black_drops_a_black_border_and_a_dark_background(fake_reader, shared_slides):
    with opened(HE[0], shared_slides) as reader:
        pixels = reader.read_region((0, 0), (1536, 1024), Level(0))
        framed = fake_reader(np.pad(pixels, ((0, 0), (512, 0), (0, 0))), mpp=reader.mpp)
    decisions, _ = decided(framed, 256, Level(0))
    assert decisions["black"].tolist() == [[False, False, *[True] * 6]] * 4
    with open_slide(shared_slides / "test3-DAPI-2-(387).ndpi") as reader:
        decisions, ratios = decided(reader)
    assert not decisions["black"][ratios == 0].any()
    assert decisions["black"][ratios >= 0.5].mean() > 0.6


@pytest.mark.parametrize("name", ["tcga-green-pen", "tcga-red-pen", "tcga-lung-rgb"])
def test_pen_drops_ink_and_keeps_tissue_on_real_thumbnails(shared_slides, name):
    """Thumbnails at about 8 µm per pixel; the mask's own rules tell where the pen is."""
    path = shared_slides / "thumbs" / f"{name}.png"
    with ImageReader(path, mpp=8.0) as reader:
        pixels = reader.read_region((0, 0), reader.dimensions, Level(0))
        extractor = TileExtractor(TileSpec(24, resolution=Level(0)), mask=pen_marks(pixels, 20))
        cells = extractor.walk(reader, extractor.make_mask(reader))
        pen = Pen(mpp=None)
        everywhere = np.ones(cells.ratios.shape, bool)
        kept = passes(pen, measured({"pen": pen}, reader, cells, everywhere, Level(0))["pen"])
    ink, clean = cells.ratios == 1, cells.ratios == 0
    assert kept[clean].all()
    assert clean.sum() > 100
    if name.endswith("-pen"):
        assert ink.sum() > 50
        assert kept[ink].mean() < 0.1


def test_pen_drops_blue_ink(shared_slides):
    with ImageReader(shared_slides / "thumbs/wsi-blue-pen.png", mpp=8.0) as reader:
        extractor = TileExtractor(TileSpec(16, resolution=Level(0)))
        axes = extractor.axes(reader, np.ones((1, 1), bool))
        pen = Pen(mpp=None)
        everywhere = np.ones((len(axes.y), len(axes.x)), bool)
        found = measured({"pen": pen}, reader, axes, everywhere, Level(0))["pen"]
    assert (~passes(pen, found)).sum() >= 4
    assert (found == 0).sum() > 40


@pytest.mark.parametrize("name", FILTERS)
def test_options_have_the_defaults_of_the_classes(name):
    node = yaml.safe_load((conf_folder() / f"filter/{name}.yaml").read_text())
    assert node.pop("_target_") == f"tiler.scores.{type(FILTERS[name]).__name__}"
    assert node == asdict(FILTERS[name])
