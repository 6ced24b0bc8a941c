"""Continue a slide from the tiles that interrupted runs finished."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from tiler.files import digest, make_folder
from tiler.protocols import WritesTiles
from tiler.regions import Regions
from tiler.runner.kept import code_key
from tiler.runner.store.arrays import key_of
from tiler.runner.store.code import code_version
from tiler.runner.store.fingerprint import full_hash
from tiler.runner.store.record import of_exporter, shared
from tiler.runner.work.folders import Work
from tiler.runner.work.job import SlideJob
from tiler.runner.work.journal import Journal, listed_files, this_boot
from tiler.runner.work.plan import SlidePlan
from tiler.written import WrittenFile, WrittenFiles, joined

_AT_ONCE = 1000  # regions


def writes_tiles(exporter: object) -> TypeGuard[WritesTiles]:
    """Return whether an exporter reports each tile that it has written."""
    return hasattr(exporter, "export_each") and isinstance(exporter, WritesTiles)


@dataclass
class Finished:
    """The tiles of an exporter that interrupted runs finished.

    Attributes
    ----------
    key
        A digest of everything that the tiles depend on.
    done
        bool (N,): the regions of the plan whose tiles are finished.
    files
        The files of these tiles.
    blanks
        The values of ``Exported.blank_digest``.
    """

    key: str
    done: npt.NDArray[np.bool_]
    files: Sequence[WrittenFile] = ()
    blanks: set[str] = field(default_factory=set)


def take_over(job: SlideJob, plan: SlidePlan, work: Work, verify: str) -> dict[str, Finished]:
    """Move finished tiles of interrupted runs into a slide's work folder; remove their folders.

    Parameters
    ----------
    job, plan, work
        The slide's.
    verify
        ``hash`` compares the SHA-256 of each tile, too.

    Returns
    -------
    dict
        By name, each exporter that can continue, also where no tile is finished.
    """
    found: dict[str, Finished] = {}
    others = work.others()
    for name, exporter in job.exporters.items():
        if not writes_tiles(exporter):
            continue
        key = _key(job, plan, name)
        found[name] = Finished(key, np.zeros(len(plan.regions), bool))
        for other in (work, *others):
            for boot, blank, files in listed_files(other.pieces, key):
                with_hash = verify == "hash" or boot != this_boot() or not boot
                checks = _Checks(exporter, job.slide_id, other.slide, with_hash)
                good = checks.good(plan.regions, found[name].done, files)
                _move(found[name], good, blank, other, work)
    for other in others:
        other.remove()
    return found


@dataclass(frozen=True)
class _Checks:
    """Find and check the listed tiles of a work folder."""

    exporter: WritesTiles
    slide_id: str
    folder: Path
    with_hash: bool

    def good(
        self, regions: Regions, done: npt.NDArray[np.bool_], files: WrittenFiles
    ) -> dict[int, WrittenFile]:
        """Return the files of tiles that are not done yet, where the file equals its listing."""
        found: dict[int, WrittenFile] = {}
        for start in range(0, len(regions), _AT_ONCE):
            some = regions[start : start + _AT_ONCE]
            names = [self.exporter.file_name(self.slide_id, region) for region in some]
            rows = files.rows_of(names)
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
def _is_inside(folder: Path, below: str) -> bool:
    """Return whether a place below a folder is reached without a link."""
    return (folder / below).resolve() == folder.resolve() / below


def _move(
    found: Finished, good: Mapping[int, WrittenFile], blank: str, other: Work, work: Work
) -> None:
    """Move finished tiles; the new list is written first, so that a crash loses none of them."""
    found.blanks.add(blank)
    if other != work and good:
        journal = Journal(work.pieces, found.key, blank)
        for file in good.values():
            journal.add(file)
        journal.flush()
        for place in {Path(file.name).parent for file in good.values()}:
            make_folder(work.slide / place)
    moved: list[WrittenFile] = []
    old, new = other.slide, work.slide
    for index, file in good.items():
        if other != work:
            try:
                os.replace(f"{old}/{file.name}", f"{new}/{file.name}")  # noqa: PTH105  twice as fast
            except OSError:
                continue
        found.done[index] = True
        moved.append(file)
    found.files = joined([found.files, moved])


def _key(job: SlideJob, plan: SlidePlan, name: str) -> str:
    """Return a digest of everything that an exporter's tiles of a slide depend on."""
    regions = plan.regions
    shape = (tuple(regions.shape), repr(regions.resolution), regions.downsample)
    own = of_exporter(job.settings, name) or repr(job.exporters[name])
    return key_of(
        {
            "slide": [job.slide_id, vars(plan.source), plan.inputs],
            "settings": shared(job.settings),
            "exporter": [name, own],
            "code": [code_version(), dict(job.code), job.code.get(code_key(name))],
            "regions": [*shape, _digest(regions.locations), _digest(regions.ratios)],
        }
    )


def _digest(array: npt.NDArray[Any]) -> str:
    return digest(np.ascontiguousarray(array).tobytes())
