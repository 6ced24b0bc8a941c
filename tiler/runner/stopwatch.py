"""Samples of a slide's tiles, and the time of every piece of work on them."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import TracebackType

import numpy as np

from tiler.grid import Ints
from tiler.regions import Regions
from tiler.runner.engines.base import Engine
from tiler.runner.store.record_file import file_text
from tiler.runner.work.finish import FinishTask
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import in_blocks, pieces
from tiler.runner.work.tasks import PlanTask, Task, TilesTask
from tiler.runner.work.tiles.done import TilesDone
from tiler.runner.work.worker_state import WorkerState
from tiler.storage.sync import sync_tree

_BLOCKS = 72
"""Places that a slide is sampled at: glass, fat and tumour differ severalfold in bytes."""

_BLOCK_TILES = 1, 64
"""Tiles at each place: a tenth of the slide's in all, but no fewer and no more than these."""

_PIXELS = 432 * 512 * 512
"""Pixels of a sample, which then takes about a second."""

_GOLDEN = (5**0.5 - 1) / 2
"""Shifts each place within its share of the tiles: even steps may fall in with the grid's rows."""

_NEAR = 64
"""Neighbours are looked for among so many tiles before and after: a block of a piece of work."""


def sample(regions: Regions, workers: int) -> list[Regions]:
    """Return small blocks of neighbours, spread evenly over the tiles: a share for each worker."""
    if not regions:
        return []
    order = in_blocks(regions)
    least, most = _BLOCK_TILES
    tenth = min(len(order) // 10, _PIXELS // math.prod(order.shape))
    count = max(least, min(most, tenth // _BLOCKS))
    if count * _BLOCKS < len(order):
        centres = [int((i + i * _GOLDEN % 1) * len(order) / _BLOCKS) for i in range(_BLOCKS)]
        near = [_block(order.locations, centre, count) for centre in centres]
        order = order.take(np.unique(np.concatenate(near)))
    share = math.ceil(len(order) / workers)
    return [order[i : i + share] for i in range(0, len(order), share)]


def _block(locations: Ints, centre: int, count: int) -> Ints:
    """Return the indices of the tiles nearest to one: they share native tiles, as in a run."""
    first = max(0, centre - _NEAR)
    near = locations[first : centre + _NEAR]
    distance = np.abs(near - locations[centre]).max(axis=1)
    return first + np.argsort(distance, kind="stable")[:count]


@dataclass(frozen=True)
class Timed:
    """A task's result and its seconds.

    Attributes
    ----------
    result
        The task's result.
    first
        Seconds of the first tile, or of a task without tiles.
    rest
        Seconds of the other tiles, or of packing tiles.
    """

    result: object
    first: float
    rest: float


@dataclass(frozen=True)
class TimedTask:
    """A task with its time; the first of several tiles is timed alone, because it loads modules."""

    task: Task

    @property
    def job(self) -> SlideJob:
        """The task's job."""
        return self.task.job

    def run(self, state: WorkerState) -> Timed:
        """Run the task and take the time."""
        task, start = self.task, time.perf_counter()
        if not isinstance(task, TilesTask):
            packed = state.packing_s
            result = task.run(state)
            packing = state.packing_s - packed
            return Timed(result, time.perf_counter() - start - packing, packing)
        one = replace(task, regions=task.regions[:1]).run(state)
        middle = time.perf_counter()
        others = replace(task, regions=task.regions[1:]).run(state)
        both = one.joined(others)
        # A run flushes all of its tiles, so that grows with them.
        sync_tree(task.folder, sum(int(some.files.sizes.sum()) for some in both.written.values()))
        return Timed(both, middle - start, time.perf_counter() - middle)


@dataclass
class Sample:
    """Times and sizes of the tiles of a slide's sample.

    Attributes
    ----------
    tiles
        The number of tiles that were written.
    bytes
        The total size of their files, with their entries in the record.
    blocks, first
        The number of blocks, and the seconds of the first tiles of all blocks.
    others, rest
        The number of all other tiles, and their seconds.
    """

    tiles: int = 0
    bytes: int = 0
    blocks: int = 0
    first: float = 0.0
    others: int = 0
    rest: float = 0.0

    def add(self, regions: int, timed: Timed) -> None:
        """Add the times and sizes of a block of so many regions."""
        assert isinstance(timed.result, TilesDone)
        self.tiles += regions - len({tile.region.location for tile in timed.result.failed})
        self.bytes += sum(
            file.size + len(file_text(file)) + len(", ")
            for written in timed.result.written.values()
            for file in written.files
        )
        self.blocks += 1
        self.first += timed.first
        self.others += regions - 1
        self.rest += timed.rest

    def seconds(self, tiles: int) -> float:
        """Return the time of some tiles, with the extra time of the first in each worker."""
        each = self.rest / self.others if self.others else 0.0
        return tiles * each + max(0.0, self.first - self.blocks * each)


@dataclass
class Times:
    """Measurements on a slide.

    Attributes
    ----------
    once
        Seconds for finding its tiles and for finishing it: one task each.
    pieces
        Number of pieces of work that a run divides its tiles into.
    packing
        Seconds for packing the tiles of the sample.
    sample
        The tiles that were written.
    """

    once: float = 0.0
    pieces: int = 0
    packing: float = 0.0
    sample: Sample = field(default_factory=Sample)


class Stopwatch:
    """An engine that times the tasks of another one.

    Attributes
    ----------
    waited
        Seconds from its creation to the start of the first task.
    slides
        The measurements on each slide, by slide id.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._start = time.perf_counter()
        self.waited = 0.0
        self.slides: dict[str, Times] = defaultdict(Times)

    @property
    def slots(self) -> int:
        """Return the ``slots`` of the timed engine."""
        return self._engine.slots

    @property
    def at_once(self) -> int:
        """Return ``at_once`` of the timed engine."""
        return self._engine.at_once

    def submit(self, task: Task) -> None:
        """Submit a task, to be timed."""
        self._engine.submit(TimedTask(task))

    def next(self) -> tuple[Task, object]:
        """Return the next task that ended, and its own result."""
        timed, result = self._engine.next()
        assert isinstance(timed, TimedTask)
        if not isinstance(result, Timed):
            return timed.task, result
        task = timed.task
        if not self.slides:
            self.waited = time.perf_counter() - self._start - result.first
        if isinstance(task, PlanTask):
            self.slides[task.job.slide_id] = Times()  # after a worker's death it begins again
        times = self.slides[task.job.slide_id]
        if isinstance(task, TilesTask):
            times.sample.add(len(task.regions), result)
        else:
            times.once += result.first
            times.packing += result.rest
        if isinstance(task, FinishTask):
            times.pieces = sum(1 for _ in pieces(task.planned.plan.regions))
        return task, result.result

    def __enter__(self) -> Stopwatch:
        self._engine.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.__exit__(kind, error, trace)
