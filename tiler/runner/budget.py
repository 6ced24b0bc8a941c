"""Cost of a run, measured on a sample of its tiles in a temporary folder."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tiler
from tiler.errors import ConfigError, ExitCode, worst
from tiler.files import write_whole
from tiler.runner.components import packs
from tiler.runner.limits import Limits
from tiler.runner.reporting.events import Events
from tiler.runner.reporting.progress import Progress
from tiler.runner.schedule import Schedule
from tiler.runner.stock import Stock
from tiler.runner.stopwatch import Stopwatch, Times, sample
from tiler.runner.store.record_file import read_record
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.runner.work.tiles.links import without_links
from tiler.storage.destinations import inside, make_folder
from tiler.storage.safe_text import json_text

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class SlideCost:
    """Tiles, bytes and time that a slide adds to a run.

    Attributes
    ----------
    slide_id
        Its name in outputs.
    status
        ``to do``, ``done`` (and so free) or ``failed``.
    reason
        The reason why it failed or has no tiles; empty otherwise.
    tiles
        The exact number of images that would be written, context tiles included.
    bytes
        The predicted size of all its files.
    seconds
        Predicted seconds of a run of this slide alone.
    work
        Predicted seconds of one worker.
    """

    slide_id: str
    status: str
    reason: str = ""
    tiles: int = 0
    bytes: int = 0
    seconds: float = 0.0
    work: float = 0.0


@dataclass(frozen=True)
class Budget:
    """Predicted cost of a run.

    Attributes
    ----------
    slides
        A cost per slide.
    replaced
        The number of tiles of earlier runs that would be replaced.
    seconds
        Predicted seconds of the whole command.
    workers
        The number of workers of that prediction.
    refusal
        The reason why the run would be refused; empty if it would not.
    failures
        The exit codes of a run of each slide that failed.
    exit_code
        The exit code of the dry run.
    """

    slides: tuple[SlideCost, ...] = ()
    replaced: int = 0
    seconds: float = 0.0
    workers: int = 1
    refusal: str = ""
    failures: tuple[ExitCode, ...] = ()
    exit_code: int = ExitCode.DONE

    @property
    def tiles(self) -> int:
        """Tiles of all slides."""
        return sum(slide.tiles for slide in self.slides)

    @property
    def bytes(self) -> int:
        """Predicted bytes of all slides."""
        return sum(slide.bytes for slide in self.slides)

    def concluded(self, jobs: Sequence[SlideJob], stock: Stock, limits: Limits) -> Budget:
        """Return this budget with all slides, in the order of ``jobs``, and with the exit code."""
        left = [SlideCost(row.slide_id, "failed", row.reason) for row in stock.left]
        failures = [*self.failures, *(row.exit_code for row in stock.left)]
        known = {slide.slide_id: slide for slide in (*self.slides, *left)}
        slides = [known.get(job.slide_id) or SlideCost(job.slide_id, "done") for job in jobs]
        replaced = stock.replaced.tiles
        refusals = (
            limits.refusal_to_replace(replaced, str(stock.replaced)),
            limits.refusal(self.tiles, self.bytes),
        )
        refusal = "; ".join(filter(None, refusals))
        code = worst([ConfigError.exit_code if refusal else ExitCode.DONE, *failures])
        return replace(
            self, slides=tuple(slides), replaced=replaced, refusal=refusal, exit_code=code
        )


def estimate(jobs: Sequence[SlideJob], watch: Stopwatch, folder: Path) -> Budget:
    """Run a sample of every slide in ``folder``, and predict the cost of all tiles.

    Parameters
    ----------
    jobs
        The slides that are not done: at least one.
    watch
        The engine, started.
    folder
        The folder for the samples; removed at the end.

    Raises
    ------
    DestinationError
        If ``folder`` cannot be written.
    """
    costs: list[SlideCost] = []
    failures: list[ExitCode] = []
    slides, unseen = make_folder(folder / "slides"), Progress(len(jobs), None)
    workers = watch.at_once
    cut = partial(sample, workers=workers)
    samples = [without_links(job) for job in jobs]
    images = {job.slide_id: _images_each(job) for job in jobs}
    packing = {
        job.slide_id: [name for name, exporter in job.exporters.items() if packs(exporter)]
        for job in jobs
    }
    for row in Schedule(watch, folder, unseen, Events(None), cut).rows(samples):
        written = inside(slides, row.slide_id)
        files = _Files.of(written, packing[row.slide_id])
        shutil.rmtree(written, ignore_errors=True)
        costs.append(_cost(row, watch.slides[row.slide_id], files, workers, images[row.slide_id]))
        failures.append(row.exit_code)
        log.info("[%d/%d] %s measured", len(costs), len(jobs), row.slide_id)
    shutil.rmtree(folder, ignore_errors=True)
    # Shared out evenly, but no less than the longest slide takes alone.
    work = max(sum(cost.work for cost in costs) / workers, *(cost.seconds for cost in costs))
    seconds = watch.waited + work
    return Budget(tuple(costs), seconds=seconds, workers=workers, failures=tuple(failures))


def _images_each(job: SlideJob) -> int:
    """Return how many images are written for each tile; 1 where there are only tables."""
    return max(1, sum(exporter.per_tile for exporter in job.exporters.values()))


@dataclass(frozen=True)
class _Files:
    """Bytes of the files of a slide's sample: of all, and of those that contain packed tiles."""

    bytes: int
    packed: int

    @classmethod
    def of(cls, folder: Path, packing: Sequence[str]) -> _Files:
        """Return the sizes of the files in a slide's folder; ``packing`` are the exporters."""
        record = read_record(folder) if packing else None
        return cls(
            sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            sum(int(record.exporters[name].sizes.sum()) for name in packing) if record else 0,
        )


def _cost(row: SlideRow, times: Times, written: _Files, workers: int, each: int) -> SlideCost:
    """Return the cost of a slide; ``each`` images are written for each tile."""
    if row.status == "failed" and not row.kept:  # else the rest of its tiles is written
        return SlideCost(row.slide_id, "failed", row.reason)
    tiles, sample = row.kept, times.sample
    share = tiles / sample.tiles if sample.tiles else 1.0  # of the sample
    size = written.bytes + (sample.bytes + written.packed) * (share - 1)
    once = times.once + times.packing * share
    export = sample.seconds(tiles)
    # The last round of pieces keeps only some of the workers busy.
    rounds = math.ceil(times.pieces / workers) / times.pieces if times.pieces else 1.0
    return SlideCost(
        row.slide_id,
        "failed" if row.status == "failed" else "to do",
        row.reason,
        tiles * each,
        round(size),
        seconds=once + export * rounds,
        work=once + export,
    )


def write_budget(out: Path, facts: Mapping[str, Any], budget: Budget) -> None:
    """Write ``budget.json``, which no run ever reads."""
    content = {
        "tiler": tiler.__version__,
        **facts,
        "total": {
            "tiles": budget.tiles,
            "bytes": budget.bytes,
            "seconds": budget.seconds,
            "replaced": budget.replaced,
        },
        "slides": [asdict(slide) for slide in budget.slides],
        "refusal": budget.refusal,
        "exit_code": budget.exit_code,
    }
    text = json_text(content, indent=2)
    write_whole(inside(out, "budget.json"), text.encode(errors="surrogateescape") + b"\n")
