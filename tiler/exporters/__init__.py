"""Exporters: one file per kind of output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.exporters.candidates import CandidatesExporter
    from tiler.exporters.geojson import GeojsonExporter
    from tiler.exporters.images import ImagesExporter
    from tiler.exporters.mask import MaskExporter
    from tiler.exporters.overview import OverviewExporter
    from tiler.exporters.tables import CsvExporter, JsonExporter

_HOMES = {
    "CandidatesExporter": "tiler.exporters.candidates",
    "CsvExporter": "tiler.exporters.tables",
    "GeojsonExporter": "tiler.exporters.geojson",
    "JsonExporter": "tiler.exporters.tables",
    "ImagesExporter": "tiler.exporters.images",
    "MaskExporter": "tiler.exporters.mask",
    "OverviewExporter": "tiler.exporters.overview",
}

__all__ = [
    "CandidatesExporter",
    "CsvExporter",
    "GeojsonExporter",
    "ImagesExporter",
    "JsonExporter",
    "MaskExporter",
    "OverviewExporter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.exporters' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
