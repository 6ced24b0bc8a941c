"""Refuse a run whose folder contains files it could harm: sources, or files with its names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tiler.errors import ConfigError
from tiler.runner.work.job import SlideJob
from tiler.storage.companions import companions
from tiler.storage.destinations import check_writable, own_folder

_OBJECT = rb'\{\s*"tiler": '

_SLIDES = rb"slide_id,status,reason,candidates,kept[\n\r,]"
_SWEEP = rb"job,(.*,)?" + _SLIDES

MARK = b"Software\0tiler sweep"
"""Keyword and text that mark the picture and the Parquet table of a sweep as tiler's."""

_LOCKS = {".lock": rb"\Z|\d+\n", ".lock-holder.json": rb'\{"pid": '}

_RUNS = {
    "run.json": _OBJECT,
    "budget.json": _OBJECT,
    "products.json": _OBJECT,
    "refused.json": rb'\{\s*"(tiler|overrides)": ',
    "slides.csv": _SLIDES,
    "events.jsonl": rb'\Z|\{"time": "',
    "run.log": rb"\Z|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ ",
    **_LOCKS,
}
"""The files that a run writes into its folder, and how each begins.

A log is empty if its run was killed, or the disk was full, before the first line.
"""

_HYDRAS_NODE = rb"(?s:.*\btiler(\.config\.multirun|_help|_job_folder)\b)"

_SWEEPS = {
    "sweep.csv": _SWEEP,
    "sweep.json": _OBJECT,
    "sweep.png": rb"(?s:\x89PNG.{29}....tEXt)" + MARK,  # after the signature and the header
    "multirun.yaml": _HYDRAS_NODE,
    **_LOCKS,
}

HYDRAS = ("config.yaml", "hydra.yaml", "overrides.yaml")
"""The files that Hydra writes into its ``output_subdir``."""

_PARQUET = "sweep.parquet"
"""The table of a sweep, which has the mark in its metadata, at the end."""

NAMES = (*_RUNS, *_SWEEPS, _PARQUET)
"""The names of all files that runs and sweeps write into their own folders."""

_HEAD = 1 << 16
_TAIL = 1 << 20


def refuse_folder(jobs: Iterable[SlideJob], out: Path) -> None:
    """Refuse a run's folder that contains sources, or files of others with names that it writes.

    Raises
    ------
    ConfigError
        If it does; the error names the first one.
    """
    refuse_sources_inside((path for job in jobs for path in _sources(job)), out)
    refuse_foreign_files(out)


def refuse_foreign_files(out: Path, *, of_sweep: bool = False) -> None:
    """Refuse to replace files of others that have the names of a run's, or a sweep's, files.

    Raises
    ------
    ConfigError
        If there is one; the error names the first one.
    DestinationError
        If one of these names is a link, a folder, a FIFO or a device.
    """
    names: Mapping[str, bytes] = _SWEEPS if of_sweep else _RUNS
    for name in (*names, *([_PARQUET] if of_sweep else ())):
        check_writable(out / name)
    foreign = [name for name, begins in names.items() if not _begins(out / name, begins)]
    if of_sweep and not _ends(out / _PARQUET, MARK.partition(b"\0")[2]):
        foreign.append(_PARQUET)
    if foreign:
        path = out / foreign[0]
        known = os.access(path, os.R_OK)
        what = "is not a file that tiler wrote" if known else "cannot be read, may be another's"
        raise ConfigError(
            f"{path} {what}, and the run would replace it; move it away, or use another out"
        )


def refuse_foreign_hydra_files(folder: Path, subdir: str, *, of_sweep: bool) -> None:
    """Refuse to let Hydra replace files of others that have the names of its own files.

    Parameters
    ----------
    folder
        The folder of the run, or of the sweep whose jobs lie at most two folders below.
    subdir
        Hydra's ``output_subdir``.
    of_sweep
        True for a sweep.

    Raises
    ------
    ConfigError, DestinationError
        See ``refuse_foreign_files``; also if the folder is a link.
    """
    places = (f"{above}{subdir}" for above in (("*/", "*/*/") if of_sweep else ("",)))
    for place in (found for pattern in places for found in sorted(folder.glob(pattern))):
        own_folder(place)
        there = [name for name in HYDRAS if os.path.lexists(place / name)]
        for name in there:
            check_writable(place / name)
        if there and not ("hydra.yaml" in there and _begins(place / "hydra.yaml", _HYDRAS_NODE)):
            raise ConfigError(
                f"{place / there[0]} is not a file of a run of tiler, and Hydra would replace it;"
                " use another out, or leave out hydra.output_subdir"
            )


def is_own(path: Path) -> bool:
    """Return whether a file in a run's folder is missing, or was written by tiler."""
    return _begins(path, _RUNS[path.name])


def _begins(path: Path, begins: bytes) -> bool:
    """Return whether a file is missing or empty, or begins as tiler's do."""
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            return stat.S_ISDIR(mode)  # which no file can replace
        with path.open("rb") as file:
            return re.match(begins, file.read(_HEAD)) is not None
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it cannot be read, so nothing is known about it
        return False


def _ends(path: Path, mark: bytes) -> bool:
    """Return whether a file is missing, or has the mark near its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return mark in file.read(_TAIL)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def refuse_sources_inside(paths: Iterable[Path], out: Path) -> None:
    """Refuse to write into a folder that contains a slide or a mask file.

    Links are followed. A link ``slides/<slide_id>`` to a folder with a source is refused, too.

    Raises
    ------
    ConfigError
        If it does; the error names the first one, and the number of others.
    """
    homes = _homes(out)
    if not homes:
        return
    trees = _Trees(homes)
    found = [path for path in paths if trees.contain(path)]
    if found:
        more = f", and {len(found) - 1} more" if found[1:] else ""
        raise ConfigError(
            f"{found[0]} is a source inside out={out}{more}; use an out that contains no sources"
        )


def _sources(job: SlideJob) -> Iterator[Path]:
    """Yield the files that a slide's output is made from."""
    yield job.path
    yield from companions(job.path)
    with suppress(Exception):  # a user's mask may fail: the slide's plan then names the line
        yield from job.inputs()


_Identity = tuple[int, int]
"""Device and inode of a folder, which may have several names."""


def _homes(out: Path) -> set[_Identity]:
    """Return a run's folder and the targets of links in its ``slides``; empty without a folder."""
    places = [out]
    with suppress(OSError), os.scandir(out / "slides") as listing:
        places += [Path(entry.path) for entry in listing if entry.is_symlink()]
    return {found for place in places if (found := _identity(place))}


def _identity(place: Path) -> _Identity | None:
    try:
        facts = place.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


@dataclass
class _Trees:
    """Some folders with all that lies below them; answers are kept for the next paths."""

    homes: set[_Identity]
    _real: dict[Path, Path] = field(default_factory=dict)
    _inside: dict[Path, bool] = field(default_factory=dict)

    def contain(self, path: Path) -> bool:
        """Return whether a file, or a link to one, is there."""
        try:
            mode = path.lstat().st_mode
        except OSError:  # the reader reports it
            mode = 0
        if path.parent not in self._real:
            self._real[path.parent] = Path(os.path.realpath(path.parent))
        place = self._real[path.parent]
        if stat.S_ISDIR(mode):
            return self._below(place / path.name)
        if stat.S_ISLNK(mode) and self._below(Path(os.path.realpath(path))):
            return True
        return self._below(place)

    def _below(self, place: Path) -> bool:
        if place not in self._inside:
            self._inside[place] = _identity(place) in self.homes or (
                place != place.parent and self._below(place.parent)
            )
        return self._inside[place]
