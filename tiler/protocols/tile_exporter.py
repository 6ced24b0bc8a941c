"""Protocols that exporters of the pixels of tiles implement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from tiler.protocols.exporter import Exported, Exporter
from tiler.protocols.reader import Pixels, WSIReader
from tiler.regions import Regions, RegionSpec
from tiler.resolution import Resolution


@dataclass(frozen=True)
class FailedTile:
    """A tile that could not be read, and the reason."""

    region: RegionSpec
    cause: str


@runtime_checkable
class TileExporter(Exporter, Protocol):
    """An exporter of the pixels of tiles; ``per_tile`` is True.

    The run reads each tile once, transforms it once, and calls each tile exporter to encode it.
    The exporter is also a ``WritesTiles``, for one file per tile, or a ``PacksTiles``.
    """

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the bytes of a tile, which depend on its pixels alone.

        Several threads call it at the same time. ``pixels`` must not be changed.
        """


class WritesTiles(TileExporter, Protocol):
    """A tile exporter of one file per tile; the run writes the files."""

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Return the path of a tile's file, relative to the slide's folder."""


@runtime_checkable
class PacksTiles(TileExporter, Protocol):
    """A tile exporter that writes the tiles of a slide into few files.

    The run keeps the bytes of its tiles until the slide is finished. The exporter needs no code for
    workers, order, dropped tiles and interrupted runs.
    """

    def pack(
        self, source: WSIReader, regions: Regions, tiles: Iterable[bytes], folder: Path
    ) -> Exported:
        """Write all tiles of a slide into ``folder``, which exists.

        The files must not depend on the time, the machine or the number of threads.

        Parameters
        ----------
        source
            The slide.
        regions
            The tiles, row by row, with all columns. There may be none.
        tiles
            The bytes of ``regions`` in the same order, as ``encoded`` returned them. They can be
            read once.
        folder
            The slide's folder.
        """


class PassesThrough(TileExporter, Protocol):
    """A tile exporter that can store the slide's native JPEG tiles without decoding."""

    @property
    def passthrough(self) -> bool:
        """Return whether native tiles are stored instead of the results of ``encoded``."""


class ReadsContext(TileExporter, Protocol):
    """A tile exporter that may encode concentric tiles at another resolution: ``WritesContext``."""

    @property
    def context(self) -> Resolution | None:
        """Return the resolution of the context tiles that it encodes; None for the tiles."""


@runtime_checkable
class LinksFiles(WritesTiles, Protocol):
    """An exporter of one file per tile that may link files of another job: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def link(self) -> bool:
        """Return whether files are linked."""

    @property
    def encoding(self) -> Mapping[str, object]:
        """All values, except the pixels, that determine the bytes of its files."""


@runtime_checkable
class NamesManyTiles(Protocol):
    """An exporter that names the files of many tiles faster than one by one."""

    def file_names(self, slide: str, regions: Regions) -> list[str]:
        """Return ``file_name`` of each region."""


@runtime_checkable
class WritesContext(Protocol):
    """An exporter of tiles that can write concentric tiles at another resolution."""

    def in_context(self, resolution: Resolution) -> Exporter:
        """Return the exporter of the context tiles of one resolution."""
