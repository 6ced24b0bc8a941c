"""Files in the way of a run's products, and the removal of products that are out of date."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from tiler.checks.error_places import foreign_packages, raised_at, said
from tiler.errors import ComponentError, OccupiedError, SlideError, TilerError
from tiler.runner.products.listed import Listed, own_file, own_link
from tiler.storage.destinations import destination_error


class Occupied:
    """Finds and reports files and folders in the way of a run's products.

    Parameters
    ----------
    out
        The run's folder.

    Attributes
    ----------
    problems
        A line for each thing in the way.
    leaving
        Links that the run made before, and is about to remove: they are not in the way.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._folders: dict[str, bool] = {}
        self.problems: list[str] = []
        self.leaving: Set[str] = frozenset()

    def above(self, path: str, slide_id: str) -> bool:
        """Return whether a folder above a path is something else, such as a link; report it."""
        folder = posixpath.dirname(path)
        if not folder:
            return False
        if folder not in self._folders:
            bad = self.above(folder, slide_id)
            if not bad and not self._leaves(folder) and (what := _no_folder(self._out / folder)):
                self.report(folder, slide_id, what)
                bad = True
            self._folders[folder] = bad
        return self._folders[folder]

    def leaves(self, path: str) -> bool:
        """Return whether a folder above a path is a link that is about to be removed."""
        folder = posixpath.dirname(path)
        return bool(folder) and (self._leaves(folder) or self.leaves(folder))

    def _leaves(self, path: str) -> bool:
        return path in self.leaving and own_link(self._out, path)

    def forget(self) -> None:
        """Check folders again, after folders and leaving links were removed."""
        self.leaving = frozenset()
        self._folders = {name: bad for name, bad in self._folders.items() if bad}

    def report(self, path: str, slide_id: str, what: str = "") -> None:
        """Report the thing at a path; ``slide_id`` is empty for a file about all slides."""
        place = self._out / path
        needs = "a link to the slide's file" if slide_id else "a file about all slides"
        text = f"{place} is {what or kind_of(place)}, but {needs} belongs there; move it away, and"
        self.problems.append(line_of(OccupiedError(slide_id, f"{text} run again")))


def line_of(error: SlideError) -> str:
    """Return an error as a line; it has no slide if it is about all slides."""
    return error.in_config() if error.slide else f"{error.code}: {error.what}"


@contextmanager
def users_errors(exporter: object, slide_id: str) -> Iterator[None]:
    """Turn an error in a user's exporter into a ``ComponentError`` with its line."""
    try:
        yield
    except TilerError:
        raise
    except Exception as error:
        if place := raised_at(error, foreign_packages([exporter])):
            raise ComponentError(slide_id, said(error, place)) from error
        raise


def remove_others(out: Path, listed: Listed, now: Listed) -> None:
    """Remove the links and files of a list that another one lacks, and folders that get empty.

    Raises
    ------
    DestinationError
        If one of them cannot be removed.
    """
    emptied = set[str]()
    for path in {*listed.links, *listed.files} - {*now.links, *now.files}:
        if _through_link(out, path):
            continue
        if own_link(out, path) or own_file(out, path, listed):
            try:
                (out / path).unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise destination_error(error, out / path) from error
            emptied.add(posixpath.dirname(path))
    for folder in sorted(emptied, key=lambda name: -name.count("/")):
        with suppress(OSError):  # the first one that is not empty
            while folder:
                (out / folder).rmdir()
                folder = posixpath.dirname(folder)


def _through_link(out: Path, path: str) -> bool:
    """Return whether a path leads through something that is no folder, such as a link."""
    names = path.split("/")[:-1]
    return any(_no_folder(out.joinpath(*names[: count + 1])) for count in range(len(names)))


def _no_folder(path: Path) -> str:
    """Return the kind of thing at a folder's path if it is no folder; else empty."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISDIR(mode) else kind_of(path)


def kind_of(path: Path) -> str:
    """Return the kind of thing at a path, in words."""
    if path.is_symlink():
        return f"a symbolic link to {path.readlink()}"
    return "a folder" if path.is_dir() else "a file that tiler did not write"
