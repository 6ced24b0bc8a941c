"""The tiles of an exporter as a run writes them, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiler.exporters.names import file_names
from tiler.protocols import FailedTile, WritesTiles, WSIReader
from tiler.regions import RegionSpec, packed
from tiler.runner.work.tiles.file_writer import FileWriter
from tiler.runner.work.tiles.pipeline import Output, write_tiles
from tiler.written import WrittenFiles


def written(
    exporter: WritesTiles, source: WSIReader, regions: Sequence[RegionSpec], folder: Path
) -> tuple[WrittenFiles, tuple[FailedTile, ...]]:
    """Write the tiles of some regions; return their files, and those that cannot be read."""
    (tiles,) = packed(regions)
    writer = FileWriter(folder, file_names(exporter, source.name, tiles), None, "")
    output = Output("images", exporter, np.ones(len(tiles), bool), writer)
    failed = write_tiles(source, tiles, [output])
    return writer.done().files, failed
