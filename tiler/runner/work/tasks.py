"""The pieces of work on a slide, as values that any engine can carry to any worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np

from tiler.errors import (
    ChangedError,
    OpenError,
)
from tiler.protocols import Exported, FailedTile, Mask, WritesTiles, WSIReader
from tiler.readers.preflight import look
from tiler.regions import Regions
from tiler.runner.components import export, export_each, links, writes_tiles
from tiler.runner.store.fingerprint import FileState, file_state, full_hash
from tiler.runner.work.blanks import blank_digest
from tiler.runner.work.folders import PIECES, Work
from tiler.runner.work.job import SlideJob
from tiler.runner.work.journal import Journal
from tiler.runner.work.links import link_tiles
from tiler.runner.work.pieces import Finished, take_over
from tiler.runner.work.plan import SlidePlan, plan_slide
from tiler.runner.work.worker_state import WorkerState
from tiler.storage.destinations import make_folder
from tiler.written import WrittenFile, joined

NO_MASK: Mask = np.zeros((0, 0), bool)
"""Mask for exporters that work tile by tile; a whole mask would travel with every piece."""


class Task(Protocol):
    """A piece of work on one slide; pickles to a worker."""

    @property
    def job(self) -> SlideJob:
        """The slide's job."""

    def run(self, state: WorkerState) -> object:
        """Do it."""


@dataclass(frozen=True)
class Planned:
    """A plan and the state of the slide's file when it was made.

    Attributes
    ----------
    plan
        What is to be written.
    state
        Of the slide's files; they have to be in it at the end, too.
    key
        Of this plan alone. A worker may outlive a run: what is open there for another plan is of
        other settings, or of a file that was replaced since.
    seconds
        How long the work took, without what came before it in the worker.
    finished
        What interrupted runs finished, by exporter.
    """

    plan: SlidePlan
    state: FileState
    key: str
    seconds: float = 0.0
    finished: Mapping[str, Finished] = field(default_factory=dict)

    def unfinished(self, exporter: str) -> Regions:
        """The regions whose tiles an exporter has to write."""
        found = self.finished.get(exporter)
        return self.plan.regions.take(~found.done) if found else self.plan.regions

    def listed_as(self, exporter: str) -> str:
        """The key under which an exporter's finished tiles are listed; empty for no list."""
        found = self.finished.get(exporter)
        return found.key if found else ""


@dataclass(frozen=True)
class PlanTask:
    """Find the tiles of a slide, and those of them that interrupted runs finished.

    Attributes
    ----------
    job
        Of the slide.
    work
        Its work folder; None if nothing is to be taken over.
    verify
        How finished tiles are checked.
    """

    job: SlideJob
    work: Work | None = None
    verify: str = "size"

    def run(self, state: WorkerState) -> Planned:
        """Check and plan."""
        began = time.monotonic()
        state.close()  # a retry must not meet the handle of the attempt before
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
    """Write some tiles of a slide into its partial folder.

    Attributes
    ----------
    job, exporter, regions
        What is exported.
    folder
        Where to.
    key
        Of the plan.
    finished
        The key under which finished tiles are listed, for a run to come; empty for no list.
    """

    job: SlideJob
    exporter: str
    regions: Regions
    folder: Path
    key: str
    finished: str = ""

    def run(self, state: WorkerState) -> Exported:
        """Export the regions."""
        reader = state.reader(self.job, self.key)
        exporter = self.job.exporters[self.exporter]
        folder, regions, linked = make_folder(self.folder), self.regions, list[WrittenFile]()
        if links(exporter):
            linkable = state.link_index(self.job, self.exporter, exporter)
            linked, regions = link_tiles(folder, reader.name, exporter, regions, linkable)
        blank = blank_digest(exporter, reader, self.regions.shape)
        if self.finished and writes_tiles(exporter):
            done = self._listed(exporter, reader, regions, blank)
        else:
            done = export(exporter, reader, regions, NO_MASK, folder)
        return replace(done, files=joined([linked, done.files]), blank_digest=blank)

    def _listed(
        self, exporter: WritesTiles, reader: WSIReader, regions: Regions, blank: str
    ) -> Exported:
        """Export the regions, and list each tile that is finished."""
        journal = Journal(self.folder.with_name(PIECES), self.finished, blank)
        files, failed = list[WrittenFile](), list[FailedTile]()
        try:
            for item in export_each(exporter, reader, regions, self.folder):
                if isinstance(item, FailedTile):
                    failed.append(item)
                else:
                    files.append(item)
                    journal.add(item)
        finally:
            journal.flush()
        return Exported(files, tuple(failed))
