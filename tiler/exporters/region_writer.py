"""Writing the regions of a fitted ``TileExtractor`` as tables and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tiler.checks.arguments import as_path, check_fitted, check_inside, placed_regions
from tiler.protocols import FittedTransform, WSIReader
from tiler.regions import RegionSpec
from tiler.resolution import Resolution


class RegionWriter:
    """The half of a ``TileExtractor`` that writes files.

    Attributes
    ----------
    source_, slide_name_, region_specs_, candidates_, context
        See ``TileExtractor``.
    """

    source_: WSIReader
    slide_name_: str
    region_specs_: list[RegionSpec]
    candidates_: Mapping[str, npt.NDArray[Any]]
    context: Sequence[Resolution]
    _nothing_found: str
    """The reason why the last extraction kept no cell; empty if it kept some."""

    def to_csv(self, output_dir: str | Path, regions: Sequence[RegionSpec] | None = None) -> Path:
        """Write ``<output_dir>/<slide_name>.csv``, one row per tile, and return its resolved path.

        Raises
        ------
        RuntimeError
            If there is no fitted slide or no region, or the file cannot be written.
        """
        from tiler.exporters.tables.csv_json import write_csv

        chosen = self._chosen(regions)
        return write_csv(as_path(output_dir, "output_dir"), self.slide_name_, chosen).resolve()

    def to_json(
        self,
        output_dir: str | Path,
        regions: Sequence[RegionSpec] | None = None,
        indent: int | None = 2,
    ) -> Path:
        """Write ``<output_dir>/<slide_name>.json``, an array of objects; return its resolved path.

        Parameters
        ----------
        output_dir
            The folder; created with its parents if missing.
        regions
            The regions to write; by default those of the last extraction.
        indent
            Spaces per level; 0 or None for the compact form.

        Raises
        ------
        RuntimeError
            If there is no fitted slide or no region, or the file cannot be written.
        """
        from tiler.exporters.tables.csv_json import write_json

        chosen = self._chosen(regions)
        return write_json(
            as_path(output_dir, "output_dir"), self.slide_name_, chosen, indent
        ).resolve()

    def save(
        self,
        output_dir: str | Path,
        regions: Sequence[RegionSpec] | None = None,
        max_workers: int = 4,
        extension: str = "png",
        transforms: Sequence[FittedTransform] = (),
    ) -> list[Path]:
        """Read every tile and write it as an image into ``output_dir``.

        Files are named ``{slide}_x{x}_y{y}_w{w}_h{h}_{res}_r{ratio}.{ext}``. Each context tile is a
        file beside its tile: ``…_r{ratio}_c{res}.{ext}``.

        Parameters
        ----------
        output_dir
            The folder; created with its parents if missing.
        regions
            The regions to write; by default those of the last extraction.
        max_workers
            Number of threads.
        extension
            ``png``, ``jpeg``, ``webp``, ``tiff``, or any other that Pillow writes; in any case.
        transforms
            Transforms of the pixels of each tile, in this order. Each is the result of a ``fit``:
            see ``tiler.transforms``.

        Returns
        -------
        list of pathlib.Path
            The files, in the order of the regions; context tiles follow their tile.

        Raises
        ------
        RuntimeError
            If there is no fitted slide or no region, a region is outside the slide, the folder
            cannot be created, or tiles fail; the other tiles stay.
        """
        from tiler.exporters.tiles.save import save_tiles

        slide, chosen = self._fitted(), self._chosen(regions)
        check_inside(slide, chosen)
        check_fitted(transforms)
        folder = as_path(output_dir, "output_dir")
        return save_tiles(slide, chosen, folder, max_workers, extension, self.context, transforms)

    def _fitted(self) -> WSIReader:
        if not hasattr(self, "source_"):
            raise RuntimeError("TileExtractor is not fitted: call fit(source) first")
        return self.source_

    def _chosen(self, regions: Sequence[RegionSpec] | None) -> Sequence[RegionSpec]:
        slide = self._fitted()
        chosen = self.region_specs_ if regions is None else regions
        if not chosen:
            why = "call extract() first" if regions is None else "the list of regions is empty"
            if regions is None and self._nothing_found:
                count = len(self.candidates_["ratio"])
                why = f"extract() kept 0 of {count} candidates ({self._nothing_found})"
            raise RuntimeError(f"no regions to write for slide {slide.name}: {why}")
        return placed_regions(slide, chosen)
