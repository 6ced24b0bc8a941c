"""The work of a run for one more tile, counted in calls: they are the same on every machine."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import tifffile

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tiles import journal

TILE = 64


def calls_in_a_run(folder: Path, tiles: int, **options: object) -> Counter[str]:
    """Tile a slide of ``tiles`` native tiles; count calls by package or by C name."""
    slide = folder / f"{tiles}.tiff"
    pixels = np.random.default_rng(0).integers(0, 256, (16 * TILE, TILE, 3), dtype=np.uint8)
    pixels = np.tile(pixels, (1, tiles // 16, 1))
    tifffile.imwrite(slide, pixels, tile=(TILE, TILE), photometric="ycbcr", compression="jpeg")
    images = ImagesExporter(threads=1, **options)
    extractor = TileExtractor(TileSpec(TILE, resolution=Level(0)))
    exporters = {"csv": CsvExporter(tiles=images), "images": images}
    own = {"exporter": {"csv": {}, "images": options}}
    job = SlideJob(slide, "a", open_slide, extractor, exporters, own)
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            counts[frame.f_globals["__name__"].partition(".")[0]] += 1
            counts["all"] += 1
        elif event == "c_call":
            counts[getattr(argument, "__name__", "")] += 1
            counts["all"] += 1

    sys.setprofile(count)
    try:
        result = run([job], folder / f"out{tiles}", SerialEngine(), {})
    finally:
        sys.setprofile(None)
    assert result.rows[0].kept == tiles
    return counts


@pytest.mark.parametrize(
    ("options", "most"),
    [({"extension": "jpg", "passthrough": True}, 90), ({"extension": "png"}, 175)],
    ids=["passthrough", "png"],
)
def test_a_tile_costs_few_calls_one_stat_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], most: int
) -> None:
    monkeypatch.setattr(journal, "_EVERY_S", 3600)  # a slow machine lists tiles more often
    calls_in_a_run(tmp_path, 16, **options)  # imports modules and fills caches of functions
    few, many = (calls_in_a_run(tmp_path, tiles, **options) for tiles in (80, 400))
    each = {name: (many[name] - few[name]) / 320 for name in many}
    assert each["all"] < most
    assert each["pathlib"] < 1  # joining one path takes about ten calls
    assert each.get("stat", 0) + each.get("lstat", 0) < 1.2  # before the record lists the file
    assert each.get("fsync", 0) < 0.01  # a slide is flushed at once
    assert each["open"] < 1.2
