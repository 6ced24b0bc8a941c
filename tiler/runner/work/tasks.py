"""The pieces of work on a slide, as values that any engine can carry to any worker."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np

from tiler.checks.machine import machine_limit
from tiler.errors import (
    ChangedError,
    DestinationError,
    LimitError,
    OpenError,
    ReadError,
    SlideError,
    TilerError,
    UnforeseenError,
)
from tiler.files import destination_error, make_folder
from tiler.protocols import Exported, FailedTile, LeftOut, Mask, WritesTiles, WSIReader
from tiler.readers.deferred import DeferredReader
from tiler.readers.preflight import look
from tiler.regions import Regions, RegionSpec
from tiler.runner.components import component_error, export, export_each
from tiler.runner.kept import is_of, with_kept
from tiler.runner.store.code import is_ours
from tiler.runner.store.fingerprint import FileState, file_state, full_hash
from tiler.runner.store.owned import link_files, publish
from tiler.runner.store.record import (
    Counts,
    Record,
    mask_facts,
    read_record,
    write_record,
)
from tiler.runner.work.blanks import blank_digest, blank_tiles
from tiler.runner.work.folders import OLD, PIECES, Work
from tiler.runner.work.job import DroppedTile, SlideJob
from tiler.runner.work.journal import Journal
from tiler.runner.work.links import link_twins, links, remember
from tiler.runner.work.pieces import Finished, take_over, writes_tiles
from tiler.runner.work.plan import SlidePlan, plan_slide, settle
from tiler.runner.work.worker_state import Desk
from tiler.storage.sync import sync_tree
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
        finished = take_over(job, plan, self.work, self.verify) if self.work else {}
        return Planned(plan, state, key, time.monotonic() - began, finished)


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

    def run(self, desk: Desk) -> Exported:
        """Export the regions."""
        reader = desk.reader(self.job, self.key)
        exporter = self.job.exporters[self.exporter]
        folder, regions, linked = make_folder(self.folder), self.regions, list[WrittenFile]()
        if links(exporter):
            twins = desk.twins(self.job, self.exporter, exporter)
            linked, regions = link_twins(folder, reader.name, exporter, regions, twins)
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


@dataclass(frozen=True)
class FinishTask:
    """Write what a slide has in one piece, vouch for all of it and put it in its place.

    Attributes
    ----------
    job, planned
        Of the slide.
    files
        What each exporter that works tile by tile wrote.
    failed
        The tiles that could not be read.
    partial
        The folder that is to be the slide's. Another one beside it, ``old``, is of the task.
    final
        Its place.
    """

    job: SlideJob
    planned: Planned
    files: Mapping[str, Sequence[Sequence[WrittenFile]]]
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
        folder = make_folder(self.partial)
        earlier = read_record(self.final)
        regions, row, dropped = settle(job, plan, self.failed)
        if row["status"] == "failed" and earlier and earlier.row["status"] != "failed":
            raise ReadError(job.slide_id, str(row["reason"]))
        exporters = self._exported(desk, regions, dropped, folder)
        desk.close()  # makes room for what follows, which grows with the slide
        _check_unchanged(job, self.planned.state)
        candidates, kept = int(str(row["candidates"])), len(regions)
        record = Record(
            slide_id=job.slide_id,
            path=job.given,
            row=row,
            source=plan.source,
            inputs=plan.inputs,
            settings=job.settings,
            code=job.code,
            mask=mask_facts(plan.mask, *plan.keys),
            counts=Counts(candidates, kept, candidates - len(plan.regions), len(dropped)),
            dropped=dropped,
            exporters=exporters,
        )
        _check_whole(job, folder, record.files)
        _check_listed(job, folder, record.files)
        if job.kept:
            record = with_kept(record, earlier, job.kept)
            _check_names(job, record.files)
            for name in job.kept:
                link_files(record.exporters[name], self.final, folder)
        sync_tree(folder)
        blanks = blank_tiles(record.files, self.blank_digests)
        if job.kept and earlier:
            blanks = max(blanks, int(earlier.row.get("blank_tiles", 0)))  # of images that stay
        row = {
            **row,
            "blank_tiles": blanks,
            "bytes": int(record.files.sizes.sum()),
            "output": "current",
        }
        from tiler.runner.store.versions import (
            versions,  # slow to load: the first tiles need not wait
        )

        write_record(folder, replace(record, row=row), versions())
        publish(folder, self.final, folder.with_name(OLD))
        for name, exporter in job.exporters.items():
            if links(exporter):
                remember(job, name, exporter, regions, exporters[name], self.final)
        return row

    def _exported(
        self, desk: Desk, regions: Regions, dropped: Sequence[DroppedTile], folder: Path
    ) -> dict[str, WrittenFiles]:
        """The files of each exporter, those written that work on a whole slide."""
        job, plan = self.job, self.planned.plan
        open_reader = partial(desk.reader, job, self.planned.key)
        reader = DeferredReader(job.path, job.slide_id, plan.known, open_reader)

        def left_out() -> dict[LeftOut, Sequence[RegionSpec]]:
            below = job.extractor.below_threshold(job.extractor.walk(reader, plan.mask))
            bad = {(tile.x, tile.y) for tile in dropped}
            unreadable = [region for region in plan.regions if region.location in bad]
            return {"below_threshold": below, "unreadable": unreadable}

        return {
            name: joined(self.files.get(name, ()))
            if exporter.per_tile
            else WrittenFiles.of(
                export(exporter, reader, regions, plan.mask, folder, left_out).files
            )
            for name, exporter in job.exporters.items()
        }

    def _already_published(self) -> dict[str, object] | None:
        """The row, if this very task was done by a worker that was lost before it could say so."""
        if self.partial.exists():
            return None
        record = read_record(self.final)
        return dict(record.row) if record and is_of(self.job, record) else None


def _check_whole(job: SlideJob, folder: Path, files: WrittenFiles) -> None:
    """Look at every file once more before vouching for it."""
    _check_names(job, files)
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
                f"{folder / name} has {size} bytes after {expected} were written"
            )


def _check_listed(job: SlideJob, folder: Path, files: WrittenFiles) -> None:
    """Remove empty folders, and refuse files that an exporter of the user's does not list."""
    foreign = not all(map(is_ours, job.exporters.values()))
    listed = {file.name for file in files} if foreign else set()
    for place, folders, names in os.walk(folder, topdown=False):
        names += [name for name in folders if Path(place, name).is_symlink()]
        if not names and Path(place) != folder:
            with suppress(OSError):  # unless there are others in it: nothing vouches for it
                Path(place).rmdir()
        for name in sorted(names) if foreign else ():
            path = Path(place, name).relative_to(folder).as_posix()
            if path not in listed:
                what = f"an exporter wrote {path}, but does not list it: add it to Exported.files"
                raise SlideError(job.slide_id, what)


def _check_names(job: SlideJob, files: WrittenFiles) -> None:
    if twice := files.named_twice():
        where = ", one of them in an earlier run" if job.kept else ""
        raise SlideError(job.slide_id, f"two exporters write {twice}{where}: leave one of them out")


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
