"""The files that exporters of tiles wrote for a slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiler.protocols import FailedTile
from tiler.written import NO_FILES, WrittenFiles, joined


@dataclass(frozen=True)
class Written:
    """The files that an exporter wrote for some tiles of a slide.

    Attributes
    ----------
    files
        The files of an exporter of one file per tile.
    spools
        The spool files of an exporter that packs tiles.
    blank
        The SHA-256 of the bytes of a tile that is background throughout; empty if not known.
    """

    files: WrittenFiles = field(default_factory=lambda: NO_FILES)
    spools: tuple[Path, ...] = ()
    blank: str = ""

    def joined(self, other: Written) -> Written:
        """Return these tiles and others of the same exporter."""
        return Written(joined([self.files, other.files]), self.spools + other.spools, self.blank)


@dataclass(frozen=True)
class TilesDone:
    """The result of a piece of work on tiles.

    Attributes
    ----------
    written
        The files that each exporter wrote, by its name.
    failed
        The tiles that could not be read; a tile is there once for each resolution.
    """

    written: Mapping[str, Written]
    failed: tuple[FailedTile, ...] = ()

    def joined(self, other: TilesDone) -> TilesDone:
        """Return this result and that of other tiles for the same exporters."""
        written = {name: one.joined(other.written[name]) for name, one in self.written.items()}
        return TilesDone(written, self.failed + other.failed)
