"""The pieces of work on a slide, as values that any engine can carry to any worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np

from tiler.errors import (
    ChangedError,
    OpenError,
)
from tiler.protocols import FittedTransform, WSIReader
from tiler.readers.preflight import look
from tiler.regions import Regions
from tiler.runner.components import encodes_tiles, links, names_of_tiles, packs, writes_tiles
from tiler.runner.store.fingerprint import FileState, file_state, full_hash
from tiler.runner.work.folders import PIECES, SPOOL, Work
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan, plan_slide
from tiler.runner.work.tiles.done import TilesDone
from tiler.runner.work.tiles.file_writer import FileWriter
from tiler.runner.work.tiles.journal import Journal
from tiler.runner.work.tiles.links import link_tiles
from tiler.runner.work.tiles.pieces import Finished, take_over
from tiler.runner.work.tiles.pipeline import Output, write_tiles
from tiler.runner.work.tiles.spool import SpoolWriter
from tiler.runner.work.worker_state import WorkerState
from tiler.storage.destinations import make_folder
from tiler.written import WrittenFile


class Task(Protocol):
    """A piece of work on one slide; pickles to a worker."""

    @property
    def job(self) -> SlideJob:
        """The slide's job."""

    def run(self, state: WorkerState) -> object:
        """Do the work and return its result."""


@dataclass(frozen=True)
class Planned:
    """A plan and the state of the slide's file when it was made.

    Attributes
    ----------
    plan
        The plan of the slide to be written.
    state
        The state of the slide's files; it must be the same at the end.
    key
        A key of this plan alone. A worker may outlive a run: a slide that is open there for another
        plan has other settings, or its file was replaced since.
    seconds
        Seconds that the work took, without earlier work of the worker.
    finished
        The tiles that interrupted runs finished, by exporter of tiles.
    """

    plan: SlidePlan
    state: FileState
    key: str
    seconds: float = 0.0
    finished: Mapping[str, Finished] = field(default_factory=dict)

    def unfinished(self, exporters: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Regions]]:
        """Yield the tiles that exporters have to write, grouped by the exporters that need them."""
        regions = self.plan.regions
        codes = np.zeros(len(regions), np.int64)  # a bit for each exporter
        for bit, name in enumerate(exporters):
            found = self.finished.get(name)
            codes |= np.int64(1 << bit) * (True if found is None else ~found.done)
        for code in np.unique(codes)[::-1].tolist():
            needed = tuple(name for bit, name in enumerate(exporters) if code >> bit & 1)
            if needed:
                yield needed, regions.take(codes == code)

    def listed_as(self, exporter: str) -> str:
        """Return the key under which an exporter's finished tiles are listed; empty for no list."""
        found = self.finished.get(exporter)
        return found.key if found else ""


@dataclass(frozen=True)
class PlanTask:
    """Find the tiles of a slide, and those of them that interrupted runs finished.

    Attributes
    ----------
    job
        The slide's job.
    work
        Its work folder; None if nothing is to be taken over.
    verify
        The check of finished tiles: see ``find_done``.
    """

    job: SlideJob
    work: Work | None = None
    verify: str = "size"

    def run(self, state: WorkerState) -> Planned:
        """Check and plan."""
        began = time.monotonic()
        state.close()  # a retry must open the slide again
        job = self.job
        if job.problem:
            raise OpenError(job.slide_id, f"{job.problem}; check it, or leave it out")
        look(job.path, job.slide_id)
        before = file_state(job.path)
        if job.expected_sha256 and full_hash(job.path) != job.expected_sha256.lower():
            raise ChangedError(job.slide_id, "the file's sha256 is not the expected one")
        key = uuid4().hex
        plan = plan_slide(job, partial(state.reader, job, key))
        finished = take_over(job, plan, self.work, self.verify) if self.work else {}
        return Planned(plan, before, key, time.monotonic() - began, finished)


@dataclass(frozen=True)
class TilesTask:
    """Write some tiles of a slide for all exporters that need them.

    Attributes
    ----------
    job, exporters, regions
        The slide's job, the names of its exporters, and the regions to write.
    folder
        The folder that is to be the slide's.
    key
        The key of the plan: see ``Planned``.
    listed
        The key under which finished tiles are listed for a later run, by exporter.
    transforms
        The transforms of the pixels, before they are encoded.
    """

    job: SlideJob
    exporters: tuple[str, ...]
    regions: Regions
    folder: Path
    key: str
    listed: Mapping[str, str] = field(default_factory=dict)
    transforms: tuple[FittedTransform, ...] = ()

    def run(self, state: WorkerState) -> TilesDone:
        """Read, encode and write the tiles."""
        reader = state.reader(self.job, self.key)
        make_folder(self.folder)
        with ExitStack() as stack:
            outputs = [self._output(name, reader, state, stack) for name in self.exporters]
            failed = write_tiles(reader, self.regions, outputs, self.transforms)
        return TilesDone({output.name: output.sink.done() for output in outputs}, failed)

    def _output(self, name: str, reader: WSIReader, state: WorkerState, stack: ExitStack) -> Output:
        """Return an exporter with the store of its bytes, after linking what can be linked."""
        exporter, regions = self.job.exporters[name], self.regions
        listed, wanted = self.listed.get(name, ""), np.ones(len(regions), bool)
        assert encodes_tiles(exporter), "schedules give tiles to exporters of tiles alone"
        blank = state.blank_digest(name, exporter, reader, regions.shape, self.transforms)
        if packs(exporter):
            folder = self.folder.with_name(SPOOL)
            spool = stack.enter_context(SpoolWriter(folder, listed, blank, regions))
            return Output(name, exporter, wanted, spool)
        assert writes_tiles(exporter)
        linked: list[WrittenFile] = []
        if links(exporter):
            linkable = state.link_index(self.job, name, exporter, self.transforms)
            linked, wanted = link_tiles(self.folder, reader.name, exporter, regions, linkable)
        journal = Journal(self.folder.with_name(PIECES), listed, blank) if listed else None
        names = names_of_tiles(exporter, reader, regions)
        writer = FileWriter(self.folder, names, journal, blank, linked)
        return Output(name, exporter, wanted, stack.enter_context(writer))
