"""The files of a report: made, replaced and removed only if they are tiler's own.

``report/report.json`` lists them with size and SHA-256. A file is listed before it appears, so that
a run that is killed leaves no file that the next one does not know.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from tiler.errors import ConfigError
from tiler.files import remove_partials, sync_folder
from tiler.runner.products.listed import (
    REPORT,
    Listed,
    ListedFile,
    Written,
    is_product,
    is_sound,
    own_file,
    read_listed,
    write_listed,
)
from tiler.runner.products.occupied import kind_of, remove_others
from tiler.storage.destinations import destination_error, make_folder

log = logging.getLogger("tiler")

LIST = "report.json"

INDEX = "index.html"

_PUT_EVERY_S = 5.0
_PUT_SHARE = 0.05
"""Putting files into place writes their whole list; it may take this share of the time."""

PAGES = "pages"
"""The owner of files that belong to no single slide."""


class ReportFiles:
    """The report of a folder: which files in it are tiler's own, and whether they are up to date.

    Parameters
    ----------
    out
        The folder of the run or the sweep.

    Attributes
    ----------
    folder
        The folder of the report.
    problems
        A line for each file whose place is taken by something else.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / REPORT
        self.problems: list[str] = []
        self._put_at, self._put_took = time.monotonic(), 0.0
        self._listed = Listed() if self.folder.is_symlink() else read_listed(self.folder, LIST)

    def check(self) -> None:
        """Refuse a folder in which something else is in the way of the report.

        Raises
        ------
        ConfigError
            If there is; the error names it.
        """
        fix = "move it away, or use report=none"
        if os.path.lexists(self.folder) and not _is_folder(self.folder):
            raise ConfigError(f"{self.folder} is {kind_of(self.folder)}, not a folder; {fix}")
        if self.is_unlisted():
            what = f"{self.folder / LIST} is not a valid list of tiler's files in that folder"
            raise ConfigError(f"{what}; move {self.folder} away, or use report=none")
        if what := self._in_the_way(INDEX):
            raise ConfigError(f"{what}; {fix}")

    def is_unlisted(self) -> bool:
        """Return whether there is a list of the files, but it cannot be trusted."""
        unread = not self._listed.files and os.path.lexists(self.folder / LIST)
        return unread and not is_sound(self.folder, LIST)

    def keys(self) -> dict[str, str]:
        """Return the digest of what the files of each owner were made from, if all are there."""
        found: dict[str, str] = {}
        for path, one in self._listed.files.items():
            key = one.key if _has_size(self.folder / path, one) else ""
            found[one.exporter] = key if found.get(one.exporter, key) == key else ""
        return {owner: key for owner, key in found.items() if key}

    def paths(self) -> dict[str, list[str]]:
        """Return the paths of each owner's files, relative to the folder of the report."""
        found: dict[str, list[str]] = {}
        for path, one in self._listed.files.items():
            found.setdefault(one.exporter, []).append(path)
        return found

    def is_due(self) -> bool:
        """Return whether it is time to put waiting files into place."""
        since = time.monotonic() - self._put_at
        return since > max(_PUT_EVERY_S, self._put_took / _PUT_SHARE)

    def put(self, made: Mapping[str, tuple[Mapping[str, Written], str]], work: Path) -> None:
        """Move finished files into the report, and remove the other files of their owners.

        Parameters
        ----------
        made
            The files of each owner by their paths, and a digest of what they were made from.
        work
            The folder that they are in, with the same paths, on the same file system.

        Raises
        ------
        DestinationError
            If the destination cannot be written.
        """
        began = time.monotonic()
        new = {
            path: ListedFile(owner, (written,), key)
            for owner, (files, key) in made.items()
            for path, written in files.items()
        }
        blocked = {path: what for path in new if (what := self._in_the_way(path))}
        lines = [f"{what}; move it away, and run again" for what in blocked.values()]
        self.problems += [line for line in dict.fromkeys(lines) if line not in self.problems]
        incomplete = {new.pop(path).exporter for path in blocked}
        for path, one in new.items():
            if one.exporter in incomplete:
                new[path] = replace(one, key="")
        others = {path: one for path, one in self._listed.files.items() if one.exporter not in made}
        unfinished = {path: replace(one, key="") for path, one in new.items()}
        if not self._is_there(make=True):
            return
        self._write(self._listed.and_also(Listed({}, unfinished)))
        now = Listed({}, {**others, **new})
        remove_others(self.folder, self._listed, now)
        self._listed = now
        changed = {self.folder}
        for path in new:
            place = self.folder / path
            if place.parent not in changed:
                changed.add(make_folder(place.parent))
            try:
                (work / path).replace(place)
            except OSError as error:
                raise destination_error(error, place) from error
        for folder in sorted(changed):
            sync_folder(folder)
        self._put_at = time.monotonic()
        self._put_took = self._put_at - began

    def keep(self, owners: Collection[str]) -> None:
        """Remove the files of all other owners."""
        kept = {path: one for path, one in self._listed.files.items() if one.exporter in owners}
        remove_others(self.folder, self._listed, now := Listed({}, kept))
        self._listed = now

    def remove(self, path: str) -> None:
        """Remove a file if it is tiler's own, and note that."""
        if path in self._listed.files:
            rest = {name: one for name, one in self._listed.files.items() if name != path}
            remove_others(self.folder, self._listed, now := Listed({}, rest))
            self._listed = now
            self.write_list()

    def write_list(self) -> None:
        """Write the list of the files that are there now."""
        if self._is_there():
            self._write(self._listed)
            if not self._listed.files:
                _remove_empty(self.folder)

    def _is_there(self, make: bool = False) -> bool:
        """Return whether the folder is there, and is no link that a user put in its place."""
        if not os.path.lexists(self.folder) and make:
            make_folder(self.folder)
        return os.path.lexists(self.folder) and _is_folder(self.folder)

    def _write(self, listed: Listed) -> None:
        """Write a list."""
        remove_partials(self.folder, [LIST])  # of a process that was killed while it wrote one
        write_listed(self.folder, listed, LIST)

    def _in_the_way(self, path: str) -> str:
        """Return what else is at a path of the report or above it; empty if there is nothing."""
        if not is_product(path):
            return f"{self.folder / path} is not a path of a report"
        names = path.split("/")
        for count in range(len(names)):
            folder = self.folder.joinpath(*names[:count])
            if os.path.lexists(folder) and not _is_folder(folder):
                return f"{folder} is {kind_of(folder)}, not a folder of the report"
        place = self.folder / path
        if not os.path.lexists(place) or own_file(self.folder, path, self._listed):
            return ""
        return f"{place} is {kind_of(place)}"


def withdraw_page(out: Path, key: str = "") -> None:
    """Remove the page of a folder's report if it is tiler's own, and not about some rows.

    Parameters
    ----------
    out
        The folder.
    key
        A digest of what a page that stays was made from.
    """
    if not os.path.lexists(out / REPORT / INDEX):  # the list of 10,000 slides takes seconds
        return
    files = ReportFiles(out)
    if INDEX in files.paths() and (not key or files.keys().get(INDEX) != key):
        files.remove(INDEX)
    elif not key and files.is_unlisted():
        log.warning(
            "%s may be about another run, because %s is not a valid list; move %s away",
            files.folder / INDEX, LIST, files.folder,
        )  # fmt: skip


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _has_size(path: Path, file: ListedFile) -> bool:
    try:
        return path.lstat().st_size in [one.size for one in file.versions]
    except OSError:
        return False


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # others have files there
        return
