"""Work folders: where the files of a slide lie until its folder is published.

``.partial/<slide_id>.<pid>.<token>`` contains ``slide`` (the folder to be), ``pieces`` (lists of
finished tiles) and ``spool`` (the bytes of tiles to be packed). For a moment it also contains
``old``, the folder that ``slide`` replaces. The token is made of the rest, so that no folder of a
user's passes for a work folder.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from secrets import token_hex

from tiler.errors import DestinationError
from tiler.files import digest
from tiler.runner.store.owned import put_back
from tiler.storage.destinations import inside, make_folder

log = logging.getLogger("tiler")

PARTIAL = ".partial"
OLD, PIECES, SPOOL = "old", "pieces", "spool"
_SLIDE = "slide"
_ROOM = 1 << 20  # bytes
_NAME = re.compile(r"(?P<start>(?P<slide>.+)\.\d+\.[0-9a-f]{8})(?P<check>[0-9a-f]{8})", re.DOTALL)


@dataclass(frozen=True)
class Work:
    """A work folder.

    Attributes
    ----------
    path
        The folder.
    slide_id
        The slide that it belongs to.
    """

    path: Path
    slide_id: str

    @property
    def slide(self) -> Path:
        """The folder that is to be the slide's."""
        return self.path / _SLIDE

    @property
    def old(self) -> Path:
        """Return the path of the folder that is being replaced."""
        return self.path / OLD

    @property
    def pieces(self) -> Path:
        """The folder of the lists of finished tiles."""
        return self.path / PIECES

    @property
    def spool(self) -> Path:
        """The folder of the bytes of tiles to be packed."""
        return self.path / SPOOL

    @property
    def final(self) -> Path:
        """Return the final path of the slide's folder."""
        return self.path.parent.parent / "slides" / self.slide_id

    def others(self) -> list[Work]:
        """Return the work folders that earlier runs left for the same slide."""
        found = _works_in(self.path.parent)
        return [work for work in found if work.slide_id == self.slide_id and work != self]

    def put_back(self) -> None:
        """Put the folder that was being replaced back, or remove it if its successor is in place.

        Raises
        ------
        DestinationError
            If it cannot be put back.
        """
        if not put_back(self.old, self.final):
            log.warning("%s contains files that tiler did not write; they are kept", self.old)

    def leave(self) -> None:
        """Keep it for a later run if it has finished tiles; else remove it."""
        if self.pieces.is_dir() or self.spool.is_dir():
            with suppress(DestinationError):
                self.put_back()
        else:
            self.remove()

    def remove(self) -> None:
        """Remove it with tiler's files, except the folder that it was replacing."""
        with suppress(DestinationError):  # then it stays, for a later run
            self.put_back()
        for folder in (self.slide, self.pieces, self.spool):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            self.path.rmdir()


def make_room(out: Path) -> Iterator[None]:
    """Remove finished tiles of unfinished slides, about a megabyte before each step.

    On a full disk the tables of a run need room. The other tiles stay for a later run.
    """
    freed = 0
    for work in works(out):
        for place, _, names in chain(os.walk(work.spool), os.walk(work.slide)):
            for name in names:
                with suppress(OSError):
                    path = Path(place, name)
                    size = path.lstat().st_size
                    path.unlink()
                    freed += size
                if freed >= _ROOM:
                    yield
                    freed = 0
    yield


def new_work(out: Path, slide_id: str) -> Work:
    """Create a work folder with an empty folder ``slide`` in it.

    Raises
    ------
    DestinationError
        If it cannot be created.
    """
    start = f"{slide_id}.{os.getpid()}.{token_hex(4)}"
    work = Work(inside(out / PARTIAL, f"{start}{_check(start)}"), slide_id)
    make_folder(work.slide)
    return work


def works(out: Path) -> Iterator[Work]:
    """Yield every work folder of a run's folder."""
    return _works_in(out / PARTIAL)


def _works_in(folder: Path) -> Iterator[Work]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            found = _NAME.fullmatch(path.name)
            if not found or _check(found["start"]) != found["check"]:
                continue
            if path.is_dir() and not path.is_symlink():
                yield Work(path, found["slide"])


def _check(start: str) -> str:
    return digest(f"tiler {start}".encode(errors="surrogateescape"))[:8]


def recover(out: Path) -> None:
    """Recover from a crash between two renames, and remove works without finished tiles.

    Raises
    ------
    DestinationError
        If something cannot be put back.
    """
    for work in works(out):
        work.put_back()
    clear(out, keep_pieces=True)


def clear(out: Path, *, keep_pieces: bool, slides: Container[str] | None = None) -> None:
    """Remove work folders, and ``.partial`` if nothing else is in it.

    Parameters
    ----------
    out
        The run's folder.
    keep_pieces
        Whether folders with finished tiles stay, for a later run.
    slides
        The slides whose finished tiles may stay; None for all.
    """
    for work in works(out):
        if keep_pieces and (slides is None or work.slide_id in slides):
            work.leave()
        else:
            work.remove()
    with suppress(OSError):
        (out / PARTIAL).rmdir()
