"""Continue a slide from the tiles that interrupted runs finished."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.exporters.names import file_names
from tiler.files import digest
from tiler.protocols import WritesTiles
from tiler.regions import Regions
from tiler.runner.components import encodes_tiles, packs, writes_tiles
from tiler.runner.kept import code_key
from tiler.runner.store.arrays import key_of
from tiler.runner.store.fingerprint import full_hash
from tiler.runner.store.settings import of_exporter, shared
from tiler.runner.work.folders import Work
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan
from tiler.runner.work.tiles.done import Written
from tiler.runner.work.tiles.journal import Journal, listed_files, this_boot
from tiler.runner.work.tiles.places import find, order
from tiler.runner.work.tiles.spool import locations_of, read_spool, spools_in
from tiler.storage.destinations import destination_error, make_folder
from tiler.written import WrittenFile, WrittenFiles

_AT_ONCE = 1000  # regions


@dataclass
class Finished:
    """The tiles of an exporter that interrupted runs finished.

    Attributes
    ----------
    key
        A digest of everything that the tiles depend on.
    done
        bool (N,): the regions of the plan whose tiles are finished.
    written
        These tiles.
    """

    key: str
    done: npt.NDArray[np.bool_]
    written: list[Written] = field(default_factory=list)


def take_over(job: SlideJob, plan: SlidePlan, work: Work, verify: str) -> dict[str, Finished]:
    """Move finished tiles of interrupted runs into a slide's work folder; remove their folders.

    Parameters
    ----------
    job, plan, work
        The slide's job, its plan, and its work folder.
    verify
        ``hash`` compares the SHA-256 of each tile, too.

    Returns
    -------
    dict
        Each exporter that can continue, by name, also where no tile is finished.
    """
    found: dict[str, Finished] = {}
    others = work.others()
    for name, exporter in job.exporters.items():
        if not encodes_tiles(exporter):
            continue
        key = _key(job, plan, name)
        found[name] = Finished(key, np.zeros(len(plan.regions), bool))
        for other in (work, *others):
            if packs(exporter):
                _take_spools(found[name], plan.regions, other, work, verify)
                continue
            assert writes_tiles(exporter)
            for boot, blank, files in listed_files(other.pieces, key):
                with_hash = _with_hash(verify, boot)
                checks = _Checks(exporter, job.slide_id, str(other.slide), with_hash)
                good = checks.good(plan.regions, found[name].done, files)
                _move(found[name], good, blank, other, work)
    for other in others:
        other.remove()
    return found


def _with_hash(verify: str, boot: str) -> bool:
    """Return whether SHA-256 are compared: tiles of another boot may have been damaged."""
    return verify == "hash" or boot != this_boot() or not boot


def _take_spools(found: Finished, regions: Regions, other: Work, work: Work, verify: str) -> None:
    """Move the whole and sound spool files of an exporter into a slide's work folder."""
    for path in spools_in(other.spool):
        spool = read_spool(path)
        if spool is None or spool.key != found.key:
            continue
        if _with_hash(verify, spool.boot) and not spool.is_sound():
            continue
        if other != work:
            make_folder(work.spool)
            try:
                path = path.rename(work.spool / path.name)
            except OSError:
                continue
        known = locations_of(spool.entries)
        found.done |= find(regions.locations, known[order(known)])[0]
        found.written.append(Written(spools=(path,), blank=spool.blank))


@dataclass(frozen=True)
class _Checks:
    """Find and check the listed tiles of a work folder."""

    exporter: WritesTiles
    slide_id: str
    folder: str
    with_hash: bool

    def good(
        self, regions: Regions, done: npt.NDArray[np.bool_], files: WrittenFiles
    ) -> dict[int, WrittenFile]:
        """Return the files of tiles that are not done yet, where the file equals its listing."""
        found: dict[int, WrittenFile] = {}
        for start in range(0, len(regions), _AT_ONCE):
            some = regions[start : start + _AT_ONCE]
            rows = files.rows_of(file_names(self.exporter, self.slide_id, some))
            for at in np.flatnonzero((rows >= 0) & ~done[start : start + _AT_ONCE]).tolist():
                file = files[int(rows[at])]
                if self._is_as_listed(file):
                    found[start + at] = file
        return found

    def _is_as_listed(self, file: WrittenFile) -> bool:
        path = f"{self.folder}/{file.name}"  # Paths would double the time of taking over
        try:
            facts = os.lstat(path)
            same = stat.S_ISREG(facts.st_mode) and facts.st_size == file.size
            if not same or not _is_inside(self.folder, file.name.rpartition("/")[0]):
                return False
            return not self.with_hash or full_hash(Path(path)) == file.sha256
        except OSError:
            return False


@lru_cache(maxsize=1024)
def _is_inside(folder: str, below: str) -> bool:
    """Return whether a place below a folder is reached without a link."""
    return Path(folder, below).resolve() == Path(folder).resolve() / below


def _move(
    found: Finished, good: Mapping[int, WrittenFile], blank: str, other: Work, work: Work
) -> None:
    """Move finished tiles; the new list is written first, so that a crash loses none of them."""
    if other != work and good:
        journal = Journal(work.pieces, found.key, blank)
        for file in good.values():
            journal.add(file)
        journal.flush()
    moved: dict[int, WrittenFile] = {}
    for place, files in _by_place(good).items():
        moved |= files if other == work else _moved(files, other.slide / place, work.slide / place)
    found.done[list(moved)] = True
    found.written.append(Written(WrittenFiles.of(moved.values()), blank=blank))


def _by_place(files: Mapping[int, WrittenFile]) -> dict[str, dict[int, WrittenFile]]:
    """Group files by the folders that they lie in."""
    found: dict[str, dict[int, WrittenFile]] = {}
    for index, file in files.items():
        found.setdefault(file.name.rpartition("/")[0], {})[index] = file
    return found


def _moved(files: Mapping[int, WrittenFile], old: Path, new: Path) -> dict[int, WrittenFile]:
    """Move files of one folder into another one, and return those that are there.

    The whole folder is renamed where that is possible: 25 µs less for each file. What else was in
    it goes back.
    """
    make_folder(new)
    names = {index: file.name.rpartition("/")[2] for index, file in files.items()}
    try:
        old.rename(new)  # over an empty folder
    except OSError:
        return {index: files[index] for index, name in names.items() if _is_moved(old, new, name)}
    make_folder(old)
    listed = set(names.values())
    with os.scandir(new) as entries:
        others = [entry.name for entry in entries if entry.name not in listed]
    for name in others:
        try:
            (new / name).rename(old / name)
        except OSError as error:  # it must not be published
            raise destination_error(error, old / name) from error
    return dict(files)


def _is_moved(old: Path, new: Path, name: str) -> bool:
    try:
        (old / name).replace(new / name)
    except OSError:
        return False
    return True


def _key(job: SlideJob, plan: SlidePlan, name: str) -> str:
    """Return a digest of everything that an exporter's tiles of a slide depend on."""
    regions = plan.regions
    shape = (tuple(regions.shape), repr(regions.resolution), regions.downsample)
    own = of_exporter(job.settings, name) or repr(job.exporters[name])
    return key_of(
        {
            "slide": [job.slide_id, vars(plan.shared.source), plan.shared.inputs],
            "settings": shared(job.settings),
            "exporter": [name, own],
            "code": [job.tiler_code, dict(job.code), job.code.get(code_key(name))],
            "transforms": [*map(repr, plan.transforms)],
            "regions": [*shape, _digest(regions.locations), _digest(regions.ratios)],
        }
    )


def _digest(array: npt.NDArray[Any]) -> str:
    return digest(np.ascontiguousarray(array).tobytes())
