"""The files of a report while it is made, each with its owner, such as a slide or the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tiler.files import write_whole
from tiler.runner.products.listed import Written
from tiler.runner.products.report_files import INDEX, PAGES, ReportFiles
from tiler.runner.work.folders import Work, new_work
from tiler.storage.destinations import make_folder
from tiler.written import WrittenFile


def write_below(folder: Path, name: str, data: bytes) -> WrittenFile:
    """Write a file whole below a folder; return it with its name there."""
    path = folder / name
    make_folder(path.parent)
    return WrittenFile(name, *write_whole(path, data))


@dataclass
class SlideFiles:
    """The files of a slide, as a task writes them below a folder."""

    folder: Path
    n: int
    written: list[WrittenFile] = field(default_factory=list)

    def write(self, place: str, end: str, data: bytes) -> str:
        """Write a file whole, and return its name below the folder."""
        self.written.append(write_below(self.folder, f"{place}/{self.n:06d}{end}", data))
        return self.written[-1].name


class Making:
    """A report while it is made: what files are made from, and those that wait for their place.

    Parameters
    ----------
    out
        The folder of the run or the sweep.

    Attributes
    ----------
    files
        The files of the report.
    """

    def __init__(self, out: Path) -> None:
        self.files = ReportFiles(out)
        self._out = out
        self._keys: dict[str, str] = {}
        self._waiting: dict[str, tuple[Mapping[str, Written], str]] = {}
        self._work: Work | None = None

    @property
    def folder(self) -> Path:
        """The folder for unfinished files."""
        if self._work is None:
            self._work = new_work(self._out, "report")
        return self._work.slide

    def is_current(self, owner: str, key: str) -> bool:
        """Return whether an owner's files are made from something already, or are being made.

        Parameters
        ----------
        owner
            Of the files. Those that it adds next are made from this key.
        key
            A digest of what they are made from; empty for what is not known.
        """
        known = self._keys.get(owner, self._there.get(owner, "").partition(" ")[0])
        self._keys[owner] = key
        return bool(key) and known == key

    @cached_property
    def _there(self) -> Mapping[str, str]:
        return self.files.keys()

    def add(self, owner: str, files: Iterable[WrittenFile], facts: str = "") -> None:
        """Take files that an owner has now, instead of others; ``facts`` are listed with them."""
        written = {file.name: Written(file.size, file.sha256) for file in files}
        self._wait(owner, written, f"{self._keys[owner]} {facts}".rstrip(" "))

    def drop(self, owner: str) -> None:
        """Remove the files of an owner, which could not be made again."""
        self._wait(owner, {}, "")

    def forget(self, owner: str) -> None:
        """Forget that an owner's files are being made: nothing was made."""
        self._keys.pop(owner, None)

    def _wait(self, owner: str, files: Mapping[str, Written], key: str) -> None:
        self._waiting[owner] = files, key
        if self.files.is_due():
            self.put()

    def put(self) -> None:
        """Put the files that wait into place."""
        if self._waiting:
            self.files.put(self._waiting, self.folder)
            self._waiting = {}

    def settle(self) -> None:
        """Put the files that wait into place, and remove the folder for unfinished files."""
        self.put()
        self.files.write_list()
        if self._work:
            self._work.remove()
            self._work = None

    def finish(self, pages: Mapping[str, Written], key: str) -> Path | None:
        """Put pages into place, the first one last; return it unless something is in its way.

        Parameters
        ----------
        pages
            By their paths, written below ``folder``.
        key
            What the first one is made from.
        """
        others = {path: written for path, written in pages.items() if path != INDEX}
        self.files.put({PAGES: (others, "")}, self.folder)
        self.files.put({INDEX: ({INDEX: pages[INDEX]}, key)}, self.folder)
        self.settle()
        return self.files.folder / INDEX if INDEX in self.files.paths() else None
