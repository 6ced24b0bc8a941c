"""The parents of a slide's tiles: a table, and an image of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from tiler.checks.pixels import checked_pixels
from tiler.errors import ReadError
from tiler.exporters.names import tile_names
from tiler.exporters.tables.csv_json import FILE, write_csv_parts
from tiler.exporters.tiles.images import ImagesExporter
from tiler.files import write_plain
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import Exported, Mask, WSIReader
from tiler.regions import Regions, RegionSpec
from tiler.storage.destinations import make_folder
from tiler.written import WrittenFile

FOLDER = "pyramid"

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class PyramidExporter:
    """Writes ``<slide>_pyramid.csv``, and with ``images`` each parent into ``pyramid/``.

    Parameters
    ----------
    images
        The exporter of the tiles' images, for its encoding; None for the table alone.
    drop
        Whether a parent that cannot be read is written without image; else its slide fails.
    """

    images: ImagesExporter | None = None
    drop: bool = False

    @property
    def per_tile(self) -> bool:
        """False: a parent belongs to several tiles."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write nothing: parents are not among the tiles."""
        return Exported(())

    def export_parents(
        self, source: WSIReader, parents: Sequence[Regions], folder: Path
    ) -> Exported:
        """Write the table of all parents, and their images.

        Raises
        ------
        ReadError
            If a parent cannot be read, without ``drop``.
        """
        parts, files = list(parents), list[WrittenFile]()
        if self.images is not None:
            done = [[*self._written(source, some, folder, self.images)] for some in parents]
            parts = [
                replace(some, columns={**some.columns, FILE: np.array(_names(found), object)})
                for some, found in zip(parents, done, strict=True)
            ]
            files = [file for file in chain.from_iterable(done) if file is not None]
        table = write_csv_parts(folder, f"{source.name}_pyramid.csv", source.name, parts)
        return Exported((table, *files))

    def _written(
        self, source: WSIReader, parents: Regions, folder: Path, images: ImagesExporter
    ) -> Iterator[WrittenFile | None]:
        """Write an image per parent; None for one that cannot be read."""
        if not parents:
            return iter(())
        encoder = replace(images, passthrough=False)
        below = str(make_folder(folder / FOLDER))

        def one(parent: tuple[RegionSpec, str]) -> WrittenFile | None:
            (region, name), shape = parent, parents.shape
            try:
                pixels = source.read_region(
                    region.location, shape, region.resolution, bounded=False
                )
            except ReadError as error:
                (x, y), token = region.location, region.resolution.token
                what = f"the parent at ({x}, {y}) of {token}: {error.what}"
                if not self.drop:
                    raise ReadError(source.name, what, error.level, error.x, error.y) from error
                log.warning("slide=%s: %s; it has no image", source.name, what)
                return None
            data = encoder.encoded(checked_pixels(source, "read_region", pixels, shape))
            return WrittenFile(f"{FOLDER}/{name}", *write_plain(below, name, data))

        names = tile_names(source.name, parents, images.extension)
        return in_order(one, zip(parents, names, strict=True), images.threads or default_threads())


def _names(files: Sequence[WrittenFile | None]) -> list[str]:
    return ["" if file is None else file.name for file in files]
