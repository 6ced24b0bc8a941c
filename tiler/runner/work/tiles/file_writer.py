"""Write the files of an exporter of one file per tile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tiler.files import write_plain
from tiler.runner.work.tiles.done import Written
from tiler.runner.work.tiles.journal import Journal
from tiler.storage.destinations import make_folder, plain_name
from tiler.written import WrittenFile, WrittenFiles


class FileWriter:
    """Write the tiles of a piece of work for an exporter of one file per tile, and list them.

    Parameters
    ----------
    folder
        The slide's folder.
    names
        The names of the tiles' files.
    journal
        The list of finished tiles; None for none.
    blank
        The SHA-256 of a tile that is background throughout: see ``Written``.
    linked
        Files that are there already.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        journal: Journal | None,
        blank: str,
        linked: Sequence[WrittenFile] = (),
    ) -> None:
        self._folder, self._names, self._journal = folder, names, journal
        self._blank, self._files = blank, [*linked]
        self._made: dict[str, str] = {}

    def __enter__(self) -> FileWriter:
        return self

    def write(self, index: int, data: bytes) -> WrittenFile:
        """Write the file of a tile; several threads may call it."""
        path = self._names[index]
        below, _, name = path.rpartition("/")
        if below not in self._made:  # no empty subfolder is left
            for part in filter(None, below.split("/")):  # else it could lead out of the folder
                plain_name(self._folder, part)
            self._made[below] = str(make_folder(self._folder / below))
        return WrittenFile(path, *write_plain(self._made[below], name, data))

    def add(self, written: WrittenFile) -> None:
        """List a file."""
        self._files.append(written)
        if self._journal is not None:
            self._journal.add(written)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._journal is not None:
            self._journal.flush()

    def done(self) -> Written:
        """Return the files."""
        return Written(WrittenFiles.of(self._files), blank=self._blank)
