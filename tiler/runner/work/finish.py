"""The last task of a slide: whole-slide exporters, the record, and the rename."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path

from tiler.errors import ChangedError, DestinationError, ReadError, SlideError
from tiler.protocols import FailedTile
from tiler.readers.deferred import DeferredReader
from tiler.regions import Regions
from tiler.runner.components import export, is_ours, is_table, links, packs, with_settings
from tiler.runner.kept import is_of, with_kept
from tiler.runner.store.fingerprint import FileState, file_state
from tiler.runner.store.owned import link_files, publish
from tiler.runner.store.record import Counts, Record, mask_facts
from tiler.runner.store.record_file import read_record, write_record
from tiler.runner.work.fits import transformed_exporters
from tiler.runner.work.folders import OLD
from tiler.runner.work.job import DroppedTile, SlideJob, SlideRow
from tiler.runner.work.tasks import Planned
from tiler.runner.work.tiles.done import Written
from tiler.runner.work.tiles.dropped import settled, without_dropped
from tiler.runner.work.tiles.links import remember
from tiler.runner.work.tiles.packing import pack_tiles
from tiler.runner.work.tiles.transformed import TransformedReader
from tiler.runner.work.worker_state import WorkerState
from tiler.scales.pyramid import with_parents
from tiler.storage.destinations import destination_error, make_folder
from tiler.storage.sync import sync_tree
from tiler.written import WrittenFiles, joined


@dataclass(frozen=True)
class FinishTask:
    """Write the files of whole-slide exporters and the record, and publish the folder.

    Attributes
    ----------
    job, planned
        The slide's job, and its plan.
    written
        The files that each exporter of tiles wrote.
    failed
        The tiles that could not be read, ordered; a tile that several exporters read may be there
        more than once.
    partial
        The folder that is to be the slide's. Another one beside it, ``old``, is of the task.
    final
        Its place.
    sample
        Whether only a sample of the tiles was written, for predictions.
    """

    job: SlideJob
    planned: Planned
    written: Mapping[str, Sequence[Written]]
    failed: tuple[FailedTile, ...]
    partial: Path
    final: Path
    sample: bool = False

    def run(self, state: WorkerState) -> SlideRow:
        """Finish the slide and return its row."""
        if done := self._already_published():
            return done
        try:
            return self._finished(state)
        except DestinationError:  # a worker that was given up may have finished first
            if done := self._already_published():
                return done
            raise

    def _finished(self, state: WorkerState) -> SlideRow:
        job, plan = self.job, self.planned.plan
        folder = make_folder(self.partial)
        earlier = read_record(self.final)
        regions, row, dropped = plan.regions, plan.row, list[DroppedTile]()
        if self.failed or job.dropped or plan.unreadable:
            regions, row, dropped = settled(job, plan, self.failed)
        if row.status == "failed" and earlier and earlier.row.status != "failed":
            raise ReadError(job.slide_id, row.reason)
        exporters, blanks = self._exported(state, regions, dropped, folder)
        state.close()  # frees memory for the record, which grows with the slide
        _check_unchanged(job, self.planned.state)
        candidates, kept = row.candidates, len(regions)
        left_out = candidates - len(plan.regions) - len(plan.unreadable)
        facts = plan.shared.known.facts
        changed = transformed_exporters(job) if job.transforms else ()
        record = Record(
            slide_id=job.slide_id,
            path=job.given,
            row=row,
            source=plan.shared.source,
            inputs=plan.shared.inputs,
            settings=job.settings,
            code=job.code,
            mask=mask_facts(
                plan.shared.slide_mask.picture, *plan.shared.keys, facts.bounds, facts.mpp
            ),
            counts=Counts(candidates, kept, left_out, len(dropped)),
            dropped=dropped,
            exporters=exporters,
            transforms=dict.fromkeys(changed, plan.fits.facts),
        )
        foreign = not all(map(is_ours, job.exporters.values()))
        _check_whole(job, folder, record, foreign=foreign)
        if foreign or dropped or job.pyramid:
            # Else no folder is empty: to list 100,000 files would take a tenth of a second.
            _check_listed(job, folder, record.files, foreign=foreign)
        if job.kept:
            record = with_kept(record, earlier, job.kept)
            _check_names(job, record.files)
            for name in job.kept:
                link_files(record.exporters[name], self.final, folder)
        size = int(record.files.sizes.sum())
        sync_tree(folder, size)
        if job.kept and earlier:
            blanks = max(blanks, earlier.row.blank_tiles)  # of images that stay
        row = replace(row, blank_tiles=blanks, bytes=size, output="current")
        from tiler.runner.store.versions import (
            versions,  # slow to load: the first tiles need not wait
        )

        write_record(folder, replace(record, row=row), versions())
        publish(folder, self.final, folder.with_name(OLD))
        for name, exporter in job.exporters.items():
            if links(exporter):
                remember(job, name, exporter, regions, exporters[name], self.final, plan.transforms)
        return row

    def _exported(
        self, state: WorkerState, regions: Regions, dropped: Sequence[DroppedTile], folder: Path
    ) -> tuple[dict[str, WrittenFiles], int]:
        """Return the files of each exporter, and the number of blank tiles among them.

        Tables are written, and tiles are packed.
        """
        job, plan = self.job, self.planned.plan
        open_reader = partial(state.reader, job, self.planned.key)
        slide = job.path, job.slide_id, plan.shared.known, open_reader, job.given
        reader, transformed = DeferredReader(*slide), TransformedReader(*slide)
        transformed.transforms = plan.transforms
        mask = plan.shared.slide_mask

        @cache
        def candidates() -> Regions:
            found = plan.candidates
            assert found is not None, "the plan has them if an exporter shows them"
            bad = {(tile.x, tile.y) for tile in dropped}
            return found.regions(job.extractor.tile_spec.resolution, bad)

        parents: list[Regions] = []
        if job.pyramid:
            regions, parents = with_parents(regions, reader, mask, job.pyramid)
        more = candidates, parents
        files: dict[str, WrittenFiles] = {}
        blanks = 0
        for name, exporter in job.exporters.items():
            written = self.written.get(name, ())
            exporter = with_settings(exporter, job)
            if packs(exporter):
                began = time.perf_counter()
                files[name], alike = pack_tiles(
                    exporter, reader, regions, written, folder, sample=self.sample
                )
                state.packing_s += time.perf_counter() - began
                blanks += alike
            elif is_table(exporter):
                source = transformed if hasattr(exporter, "export_parents") else reader
                done = export(exporter, source, regions, mask.picture, folder, *more)
                files[name] = WrittenFiles.of(done.files)
            else:
                found = joined(one.files for one in written)
                if dropped:
                    found = without_dropped(job, plan, name, found, dropped, folder)
                files[name] = found
                blanks += found.count_alike(one.blank for one in written)
        return files, blanks

    def _already_published(self) -> SlideRow | None:
        """Return the row, if a worker did this very task and was lost before it could report it."""
        if self.partial.exists():
            return None
        record = read_record(self.final)
        return record.row if record and is_of(self.job, record) else None


def _check_whole(job: SlideJob, folder: Path, record: Record, *, foreign: bool) -> None:
    """Compare every file with its size before the record lists it."""
    _check_names(job, record.files)
    if (bad := record.files.outside()) is not None:
        raise SlideError(job.slide_id, f"an exporter lists {bad!r}, outside the slide's folder")
    below = f"{folder}/"
    # In the order in which they were written, a look at each takes a fifth less.
    for name, expected in chain(*(files.named_sizes() for files in record.exporters.values())):
        try:
            size = os.stat(below + name).st_size  # making a Path would take as long again
        except OSError as error:
            if folder.is_dir() and foreign:
                raise SlideError(job.slide_id, f"an exporter lists {name}: {error}") from error
            raise destination_error(error, folder / name) from error
        if size != expected and foreign:
            what = f"an exporter lists {name} with {expected:,} bytes, and it has {size:,}"
            raise SlideError(job.slide_id, f"{what}; list what write_whole returns")
        if size != expected:
            raise DestinationError(
                f"{folder / name} has {size} bytes after {expected} were written"
            )


def _check_listed(job: SlideJob, folder: Path, files: WrittenFiles, *, foreign: bool) -> None:
    """Remove empty folders, and refuse files that an exporter of the user's does not list."""
    listed = {file.name for file in files} if foreign else set()
    for place, folders, names in os.walk(folder, topdown=False):
        names += [name for name in folders if Path(place, name).is_symlink()]
        if not names and Path(place) != folder:
            with suppress(OSError):  # it stays if it contains files
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
