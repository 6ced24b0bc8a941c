"""The pieces of work on a slide, as values that any engine can carry to any worker."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np

from tiler.errors import (
    ChangedError,
    DestinationError,
    LimitError,
    OpenError,
    ReadError,
    SlideError,
    TilerError,
)
from tiler.files import destination_error, inside, make_folder, sync_folder
from tiler.machine import machine_limit
from tiler.protocols import Exported, FailedTile, LeftOut, Mask
from tiler.readers.deferred import DeferredReader
from tiler.readers.preflight import look
from tiler.regions import Regions, RegionSpec
from tiler.runner.blanks import blank_digest, blank_tiles
from tiler.runner.code import is_ours
from tiler.runner.components import component_error, export
from tiler.runner.desk import Desk
from tiler.runner.fingerprint import FileState, file_state, full_hash
from tiler.runner.job import SlideJob
from tiler.runner.links import link_twins, links, remember
from tiler.runner.record import (
    Counts,
    DroppedTile,
    Record,
    mask_facts,
    read_record,
    write_record,
)
from tiler.runner.slide import SlidePlan, plan_slide, settle
from tiler.sync import sync_tree
from tiler.written import WrittenFile, WrittenFiles, joined

NO_MASK: Mask = np.zeros((0, 0), bool)
"""What exporters that work tile by tile get: a whole mask would travel with every piece."""


class Task(Protocol):
    """A piece of work on one slide; pickles to a worker."""

    @property
    def job(self) -> SlideJob:
        """What is done on the slide."""

    def run(self, desk: Desk) -> object:
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
        Of this plan alone. A desk may outlive a run: what is open there for another plan is of
        other settings, or of a file that was replaced since.
    seconds
        How long the work took, without what came before it in the worker.
    """

    plan: SlidePlan
    state: FileState
    key: str
    seconds: float = 0.0


@dataclass(frozen=True)
class PlanTask:
    """Find the tiles of a slide."""

    job: SlideJob

    def run(self, desk: Desk) -> Planned:
        """Check and plan."""
        began = time.monotonic()
        desk.close()  # a retry must not meet the handle of the attempt before
        job = self.job
        if job.problem:
            raise OpenError(job.slide_id, f"{job.problem}; check it, or leave it out")
        look(job.path, job.slide_id)
        state = file_state(job.path)
        if job.expected_sha256 and full_hash(job.path) != job.expected_sha256.lower():
            raise ChangedError(job.slide_id, "the file's sha256 is not the expected one")
        key = uuid4().hex
        plan = plan_slide(job, partial(desk.reader, job, key))
        return Planned(plan, state, key, time.monotonic() - began)


@dataclass(frozen=True)
class TilesTask:
    """Write some tiles of a slide into its partial folder."""

    job: SlideJob
    exporter: str
    regions: Regions
    folder: Path
    key: str

    def run(self, desk: Desk) -> Exported:
        """Export the regions."""
        reader = desk.reader(self.job, self.key)
        exporter = self.job.exporters[self.exporter]
        folder, regions, linked = make_folder(self.folder), self.regions, list[WrittenFile]()
        if links(exporter):
            twins = desk.twins(self.job, self.exporter, exporter)
            linked, regions = link_twins(folder, reader.name, exporter, regions, twins)
        done = export(exporter, reader, regions, NO_MASK, folder)
        blank = blank_digest(exporter, reader, self.regions.shape)
        return replace(done, files=joined([linked, done.files]), blank_digest=blank)


@dataclass(frozen=True)
class FinishTask:
    """Write what a slide has in one piece, vouch for all of it and put it in its place."""

    job: SlideJob
    planned: Planned
    files: tuple[Sequence[WrittenFile], ...]
    failed: tuple[FailedTile, ...]
    partial: Path
    final: Path
    blank_digests: frozenset[str] = frozenset()

    def run(self, desk: Desk) -> dict[str, object]:
        """Finish the slide and return its row."""
        if done := self._already_published():
            return done
        try:
            return self._finished(desk)
        except DestinationError:  # a worker that passed for lost may have been the first
            if done := self._already_published():
                return done
            raise

    def _finished(self, desk: Desk) -> dict[str, object]:
        job, plan = self.job, self.planned.plan
        open_reader = partial(desk.reader, job, self.planned.key)
        reader = DeferredReader(job.path, job.slide_id, plan.known, open_reader)
        folder = make_folder(self.partial)
        regions, row = settle(job, plan, self.failed)

        def left_out() -> dict[LeftOut, Sequence[RegionSpec]]:
            below = job.extractor.below_threshold(reader, job.extractor.walk(reader, plan.mask))
            return {"below_threshold": below, "unreadable": [t.region for t in self.failed]}

        whole = [
            export(exporter, reader, regions, plan.mask, folder, left_out).files
            for exporter in job.exporters.values()
            if not exporter.per_tile
        ]
        desk.close()  # makes room for what follows, which grows with the slide
        _check_unchanged(job, self.planned.state)
        files = joined([*self.files, *whole])
        candidates, kept = int(str(row["candidates"])), len(regions)
        counts = Counts(candidates, kept, candidates - len(plan.regions), len(self.failed))
        dropped = [DroppedTile(*t.region.location, t.cause) for t in self.failed]
        _check_whole(job, folder, files)
        sync_tree(folder)
        blanks = blank_tiles(files, self.blank_digests)
        row = {**row, "blank_tiles": blanks, "bytes": int(files.sizes.sum())}
        record = Record(
            slide_id=job.slide_id,
            path=job.given,
            row=row,
            source=plan.source,
            inputs=plan.inputs,
            settings=job.settings,
            mask=mask_facts(plan.mask, *plan.keys),
            counts=counts,
            dropped=dropped,
            files=files,
        )
        from tiler.runner.versions import versions  # slow to load: the first tiles need not wait

        write_record(folder, record, versions())
        publish(folder, self.final)
        for exporter in job.exporters.values():
            if links(exporter):
                remember(job, exporter, regions, files, self.final)
        return row

    def _already_published(self) -> dict[str, object] | None:
        """The row, if this very task was done by a worker that was lost before it could say so."""
        if self.partial.exists():
            return None
        record = read_record(self.final)
        if record is None or record.settings != self.job.settings:
            return None
        return dict(record.row)


def _check_whole(job: SlideJob, folder: Path, files: WrittenFiles) -> None:
    """Look at every file once more before vouching for it."""
    if twice := files.named_twice():
        raise SlideError(job.slide_id, f"two exporters write {twice}: leave one of them out")
    if (bad := files.outside()) is not None:
        raise SlideError(job.slide_id, f"an exporter lists {bad!r}, outside the slide's folder")
    below = f"{folder}/"
    for name, expected, _ in files:
        try:
            size = os.stat(below + name).st_size  # making a Path would take as long again
        except OSError as error:
            if folder.is_dir() and not all(map(is_ours, job.exporters.values())):
                raise SlideError(job.slide_id, f"an exporter lists {name}: {error}") from error
            raise destination_error(error, folder / name) from error
        if size != expected:
            raise DestinationError(
                f"E_DEST: {folder / name} has {size} bytes after {expected} were written"
            )


def _check_unchanged(job: SlideJob, before: FileState) -> None:
    try:
        same = file_state(job.path) == before
    except OSError:
        same = False
    if not same:
        raise ChangedError(
            job.slide_id,
            "the file's size, time or inode changed while it was read; its tiles are discarded:"
            " run again when it is at rest",
        )


def publish(partial: Path, final: Path) -> None:
    """Put a finished folder in its place by one rename; what was there before goes.

    Raises
    ------
    DestinationError
        When it cannot be put there.
    """
    old = inside(partial.parent, f"{partial.name}.old")
    try:
        if replaced := final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        partial.rename(final)
    except OSError as error:
        raise destination_error(error, final) from error
    if replaced:
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(final.parent)


def attempt(task: Task, desk: Desk) -> object:
    """Run a task; an error is its result, so that it can travel."""
    try:
        return task.run(desk)
    except (Exception, SystemExit) as error:
        if not isinstance(error, TilerError) and (limit := machine_limit(error)):
            desk.close()
            return LimitError(task.job.slide_id, limit)
        if of_component := component_error(error, task.job):
            desk.close()
            return of_component
        if isinstance(error, TilerError):
            return error
        if isinstance(error, SystemExit):
            raise
        desk.close()
        if isinstance(error, OSError):  # of the source: the destination has errors of its own kind
            return ReadError(task.job.slide_id, f"{type(error).__name__}: {error}")
        return bug(task, error)


def bug(task: Task, error: Exception) -> UnforeseenError:
    """An error that nobody foresaw in a task, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    return UnforeseenError(task.job.slide_id, f"a bug in tiler: {error!r}", trace)


class UnforeseenError(SlideError):
    """An error that nobody foresaw; its last detail is the traceback."""

    code = "E_BUG"
    exit_code = 1
