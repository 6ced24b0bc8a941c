"""Tissue and tiles as GeoJSON, for QuPath and for ``mask=annotation``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.cover.outlines import outlines
from tiler.errors import ConfigError
from tiler.files import write_chunks
from tiler.geometry import Box
from tiler.protocols import Exported, Mask, WSIReader
from tiler.regions import Regions, RegionSpec, batches
from tiler.storage.destinations import inside
from tiler.storage.safe_text import visible_json
from tiler.written import WrittenFile

TISSUE = {"name": "Tissue", "color": [0, 130, 80]}
"""The classification of outlines of tissue."""


@dataclass(frozen=True)
class GeojsonExporter:
    """Writes ``<slide>.geojson``, a FeatureCollection as QuPath reads it.

    Coordinates are level-0 pixels from the corner of the slide's bounds, QuPath's origin. Each
    piece of tissue is an annotation of the class Tissue along the edges of the mask's pixels. Each
    tile is an object of the type tile, with its numbers as measurements and its label as class.

    Parameters
    ----------
    tissue
        Whether the outlines of the mask are written.
    tiles
        Whether the tiles are written.
    """

    tissue: bool = True
    tiles: bool = True

    def __post_init__(self) -> None:
        if not (self.tissue or self.tiles):
            raise ConfigError("exporter.geojson.tissue and .tiles are both false; set one to true")

    @property
    def per_tile(self) -> bool:
        """False: one file shows all tiles."""
        return False

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the outlines of the mask and the regions."""
        name = f"{source.name}.geojson"
        features = _features(
            _tissue(mask, source.bounds) if self.tissue else (),
            _tiles(regions, source.bounds) if self.tiles else (),
        )
        chunks = (text.encode(errors="backslashreplace") for text in features)
        return Exported((WrittenFile(name, *write_chunks(inside(folder, name), chunks)),))


def _features(*parts: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a FeatureCollection in pieces, a feature in each line."""
    before = '{"type":"FeatureCollection","features":[\n'
    for part in parts:
        for feature in part:
            yield before + visible_json(
                json.dumps(feature, ensure_ascii=False, separators=(",", ":"))
            )
            before = ",\n"
    yield (before if before[0] == "{" else "\n") + "]}\n"


def _tissue(mask: Mask, bounds: Box) -> Iterator[dict[str, Any]]:
    height, width = mask.shape
    scale = bounds.width / width, bounds.height / height
    for found in outlines(mask):
        rings = [(ring * scale).tolist() for ring in (found.exterior, *found.holes)]
        yield _feature(rings, "annotation", {"classification": TISSUE})


def _tiles(regions: Iterable[RegionSpec], bounds: Box) -> Iterator[dict[str, Any]]:
    for some in batches(regions):
        numbers = {"ratio": some.ratios, **_numeric(some)}
        values = [column.tolist() for column in numbers.values()]
        labels = some.columns["label"].tolist() if "label" in some.columns else [""] * len(some)
        corners = some.boxes0() - (*bounds[:2], 0, 0)
        for (x, y, width, height), label, *row in zip(
            corners.tolist(), labels, *values, strict=True
        ):
            right, bottom = x + width, y + height
            ring = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
            more = {"classification": {"name": label}} if label else {}
            measurements = dict(zip(numbers, row, strict=True))
            yield _feature([ring], "tile", {**more, "measurements": measurements})


def _numeric(some: Regions) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of regions that are numbers."""
    return {name: column for name, column in some.columns.items() if column.dtype.kind in "iuf"}


def _feature(rings: list[Any], kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"objectType": kind, **properties},
    }
