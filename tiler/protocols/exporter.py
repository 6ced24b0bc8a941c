"""Protocols that exporters implement, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from tiler.protocols.reader import Mask, WSIReader
from tiler.regions import Regions, RegionSpec
from tiler.spec import TileSpec
from tiler.written import WrittenFile


@dataclass(frozen=True)
class Exported:
    """The result of an exporter on one slide."""

    files: Sequence[WrittenFile]


class Exporter(Protocol):
    """An exporter of any kind: a ``TableExporter`` or a ``TileExporter``."""

    @property
    def per_tile(self) -> bool:
        """Return whether it is a ``TileExporter``."""


class TableExporter(Exporter, Protocol):
    """Write files about all regions of one slide into its folder; ``per_tile`` is False."""

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write files into ``folder``, which exists."""


@runtime_checkable
class ShowsLeftOut(Protocol):
    """An exporter that also shows the cells with tissue that were not kept."""

    def export_all(
        self,
        source: WSIReader,
        regions: Sequence[RegionSpec],
        left_out: Mapping[str, Sequence[RegionSpec]],
        mask: Mask,
        folder: Path,
    ) -> Exported:
        """Write files into ``folder``: called instead of ``export``.

        ``left_out`` are cells with some tissue, by their decision: see ``ShowsCandidates``.
        """


@runtime_checkable
class ShowsCandidates(Protocol):
    """An exporter that shows all cells of the grid."""

    def export_candidates(
        self,
        source: WSIReader,
        regions: Sequence[RegionSpec],
        candidates: Regions,
        mask: Mask,
        folder: Path,
    ) -> Exported:
        """Write files into ``folder``: called instead of ``export``.

        ``candidates`` are all cells of the grid, row by row. Their column ``decision`` is ``kept``,
        ``unreadable`` for a tile that was dropped because it could not be read, or the rule that
        dropped the cell: ``below_threshold``, ``filter:<name>``, ``label``, ``not_sampled``.
        """


@runtime_checkable
class WritesParents(Protocol):
    """An exporter that shows the parents of the tiles: see ``pyramid`` in the configuration."""

    def export_parents(
        self, source: WSIReader, parents: Sequence[Regions], folder: Path
    ) -> Exported:
        """Write files into ``folder``: called instead of ``export``.

        ``parents`` are those of each resolution, the finest first, with the columns ``id`` and
        ``parent_id``.
        """


@runtime_checkable
class NamesTiles(Protocol):
    """An exporter of one file per tile that names the files, for tables that list them."""

    @property
    def name_settings(self) -> Mapping[str, object]:
        """All values, except slide and tile, that determine the names."""

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Return the path of a tile's file, relative to the slide's folder."""


@runtime_checkable
class ListsTiles(Protocol):
    """An exporter of a table that can name each tile's file: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def file(self) -> bool | None:
        """Return whether the table names files; None if it does so only with a naming exporter."""

    @property
    def tiles(self) -> NamesTiles | None:
        """Return the exporter that names them."""


@runtime_checkable
class NeedsTileSpec(Protocol):
    """An exporter that needs size, stride and resolution of the tiles: a dataclass.

    tiler replaces its field ``spec`` by the run's; a configuration cannot set it.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def spec(self) -> TileSpec | None:
        """Return the tiles that the run cuts; None before tiler sets it."""


@runtime_checkable
class HasNotes(Protocol):
    """An exporter with remarks on a slide, such as facts that its files leave out."""

    def notes(self, source: WSIReader) -> Sequence[str]:
        """Return remarks for the slide's row and the log, before any tile is read.

        Raises
        ------
        SlideError
            If the exporter cannot write this slide: it fails before its tiles are read.
        """
