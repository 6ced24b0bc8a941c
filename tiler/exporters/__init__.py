"""Exporters: one file per kind of output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.exporters.pictures.mask import MaskExporter
    from tiler.exporters.pictures.overview import OverviewExporter
    from tiler.exporters.tables.candidates import CandidatesExporter
    from tiler.exporters.tables.csv_json import CsvExporter, JsonExporter
    from tiler.exporters.tables.geojson import GeojsonExporter
    from tiler.exporters.tables.hdf5 import Hdf5Exporter
    from tiler.exporters.tables.hs2p import Hs2pExporter
    from tiler.exporters.tables.tiles_parquet import ParquetExporter
    from tiler.exporters.tiles.images import ImagesExporter
    from tiler.exporters.tiles.webdataset import WebdatasetExporter
    from tiler.exporters.tiles.zarr import ZarrExporter

_HOMES = {
    "CandidatesExporter": "tiler.exporters.tables.candidates",
    "CsvExporter": "tiler.exporters.tables.csv_json",
    "GeojsonExporter": "tiler.exporters.tables.geojson",
    "Hdf5Exporter": "tiler.exporters.tables.hdf5",
    "Hs2pExporter": "tiler.exporters.tables.hs2p",
    "JsonExporter": "tiler.exporters.tables.csv_json",
    "ImagesExporter": "tiler.exporters.tiles.images",
    "MaskExporter": "tiler.exporters.pictures.mask",
    "OverviewExporter": "tiler.exporters.pictures.overview",
    "ParquetExporter": "tiler.exporters.tables.tiles_parquet",
    "WebdatasetExporter": "tiler.exporters.tiles.webdataset",
    "ZarrExporter": "tiler.exporters.tiles.zarr",
}

__all__ = [
    "CandidatesExporter",
    "CsvExporter",
    "GeojsonExporter",
    "Hdf5Exporter",
    "Hs2pExporter",
    "ImagesExporter",
    "JsonExporter",
    "MaskExporter",
    "OverviewExporter",
    "ParquetExporter",
    "WebdatasetExporter",
    "ZarrExporter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.exporters' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
