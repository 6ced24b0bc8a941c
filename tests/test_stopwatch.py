"""The parts of a prediction: a fair sample, arithmetic on measured times, and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import StackExporter

from tiler.errors import ConfigError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.extractor import TileExtractor
from tiler.geometry import Size
from tiler.readers import open_slide
from tiler.regions import Regions, packed
from tiler.resolution import Level
from tiler.runner.budget import estimate
from tiler.runner.engines import SerialEngine
from tiler.runner.limits import Limits
from tiler.runner.stopwatch import Stopwatch, Timed, TimedTask, sample
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import pieces
from tiler.runner.work.tasks import Task, TilesTask
from tiler.spec import TileSpec


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), (2e9, 2 * 10**9), ("200 GB", 200 * 10**9), ("1.5kb", 1500), ("1 KiB", 1024),
     ("3T", 3 * 10**12), ("7", 7), (" 2 GiB ", 2 << 30), (None, None)],
)  # fmt: skip
def test_bytes_may_be_text(text: object, size: int | None) -> None:
    assert Limits(max_bytes=text).max_bytes == size


@pytest.mark.parametrize("text", [0, -1, True, "lots", "GB", "1 GW", "", float("nan"), "0 GB"])
def test_other_text_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match=r"limits\.max_bytes"):
        Limits(max_bytes=text)


@given(st.integers(0, 90), st.integers(1, 40), st.integers(1, 9), st.sampled_from([32, 512, 3000]))
def test_a_sample_is_part_of_the_slide(columns: int, rows: int, workers: int, size: int) -> None:
    corners = [(x * size, y * size) for y in range(rows) for x in range(columns)]
    locations = np.array(corners, np.int64).reshape(-1, 2)
    tiles = Regions(locations, np.ones(len(corners)), Size(size, size), Level(0))
    regions = list(tiles)
    shares = sample(tiles, workers)
    chosen = [region for share in shares for region in share]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(regions)
    assert len(shares) <= workers
    assert all(shares)
    assert chosen == [region for share in sample(tiles, 1) for region in share]
    if len(regions) <= 72:
        assert set(chosen) == set(regions)
    else:
        assert 36 <= len(chosen) <= max(72, len(regions) // 10)
        halves = [sum(r.location.y < rows * size / 2 for r in rs) / len(rs)
                  for rs in (chosen, regions)]  # fmt: skip
        assert halves[0] == pytest.approx(halves[1], abs=0.2), "from all parts of the slide"


@dataclass
class Clockwork(SerialEngine):
    """One second for each single step, a tenth for a tile, and 3 s for the very first step.

    Packing the tiles of a sample takes ``packing`` seconds.
    """

    workers: int = 1
    packing: float = 0.0
    imported: bool = field(default=False, init=False)

    @property
    def at_once(self) -> int:
        return self.workers

    def next(self) -> tuple[Task, object]:
        timed, result = super().next()
        assert isinstance(timed, TimedTask)
        assert isinstance(result, Timed)
        if not isinstance(timed.task, TilesTask):
            assert result.rest >= 0
            return timed, Timed(result.result, 1.0, self.packing if result.rest else 0.0)
        first = 0.1 if self.imported else 3.1
        self.imported = True
        return timed, Timed(result.result, first, 0.1 * (len(timed.task.regions) - 1))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("slides", [1, 3])
def test_seconds_follow_from_what_was_measured(
    tmp_path: Path, shared_slides: Path, workers: int, slides: int
) -> None:
    path = shared_slides / "CMU-1-Small-Region.svs"
    extractor = TileExtractor(TileSpec(64, resolution=Level(0)))
    exporters = {"csv": CsvExporter(), "images": ImagesExporter("jpg")}
    jobs = [SlideJob(path, name, open_slide, extractor, exporters, {}) for name in "abc"[:slides]]
    with Stopwatch(Clockwork(workers=workers)) as watch:
        found = estimate(jobs, watch, tmp_path / "sample")
    assert not (tmp_path / "sample").exists()
    with open_slide(path) as slide:
        regions = extractor.extract(slide)
    parts = len(list(pieces(*packed(regions))))
    export = 0.1 * len(regions)
    rounds = math.ceil(parts / workers) / parts
    alone = [2 + (export + imports) * rounds for imports in (3, 0, 0)[:slides]]
    assert [slide.seconds for slide in found.slides] == pytest.approx(alone)
    work = (slides * (2 + export) + 3) / workers
    assert found.seconds - watch.waited == pytest.approx(max(work, *alone))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_the_time_of_packing_grows_with_the_tiles(
    tmp_path: Path, shared_slides: Path, workers: int
) -> None:
    path = shared_slides / "CMU-1-Small-Region.svs"
    extractor = TileExtractor(TileSpec(32, resolution=Level(0)))
    exporters = {"csv": CsvExporter(), "images": ImagesExporter("jpg"), "stack": StackExporter(1)}
    job = SlideJob(path, "a", open_slide, extractor, exporters, {})
    with open_slide(path) as slide:
        regions = extractor.extract(slide)
    shares = sample(*packed(regions), workers)
    written = sum(map(len, shares))
    assert written < len(regions) / 5
    with Stopwatch(Clockwork(workers=workers, packing=5.0)) as watch:
        (found,) = estimate([job], watch, tmp_path / "sample").slides
    parts = len(list(pieces(*packed(regions))))
    rounds = math.ceil(parts / workers) / parts
    tiles = (0.1 * len(regions) + 3) * rounds  # one reading for both exporters
    assert found.seconds == pytest.approx(2 + 5.0 * len(regions) / written + tiles)
    assert found.tiles == 2 * len(regions)
