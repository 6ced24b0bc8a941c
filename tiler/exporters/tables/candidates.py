"""All grid cells of a slide as a table, with the decision about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tiler.errors import ConfigError
from tiler.exporters.tables.csv_json import write_csv_table
from tiler.exporters.tables.parquet import require_pyarrow, write_parquet
from tiler.protocols import Exported, Mask, WSIReader
from tiler.regions import Regions, RegionSpec

Format = Literal["csv", "parquet"]


@dataclass(frozen=True)
class CandidatesExporter:
    """Writes ``<slide>_candidates.csv``: one row per grid cell, kept or not.

    The columns are those of the tiles' table, and ``decision``: ``kept``, ``unreadable``, or the
    rule that dropped the cell. Scores are empty for cells below the threshold: their pixels were
    not read.

    Parameters
    ----------
    format
        ``csv`` or ``parquet``.

    Raises
    ------
    ConfigError
        If the format is unknown, or its library is missing.
    """

    format: Format = "csv"

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            options = " or ".join(get_args(Format))
            raise ConfigError(
                f"exporter.candidates.format={self.format!r} is unknown; use {options}"
            )
        if self.format == "parquet":
            require_pyarrow("exporter.candidates.format=parquet")

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the table of the tiles that are kept."""
        name = f"{source.name}_candidates.{self.format}"
        if self.format == "parquet":
            return Exported((write_parquet(folder, name, source.name, regions),))
        return Exported((write_csv_table(folder, name, source.name, regions),))

    def export_candidates(
        self,
        source: WSIReader,
        regions: Sequence[RegionSpec],
        candidates: Regions,
        mask: Mask,
        folder: Path,
    ) -> Exported:
        """Write the table of all cells."""
        return self.export(source, candidates, mask, folder)
