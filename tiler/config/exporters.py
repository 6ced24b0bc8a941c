"""What exporters tell one another: tables list the files of the exporter that writes tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiler.errors import ConfigError
from tiler.protocols import Exporter, ListsTiles, NamesTiles


def naming_files(exporters: Mapping[str, Exporter]) -> dict[str, Exporter]:
    """The exporters, those of tables told what names the tiles where they are to list files.

    Raises
    ------
    ConfigError
        If a table is to list the files of tiles that nobody writes.
    """
    tiles = next((one for one in exporters.values() if isinstance(one, NamesTiles)), None)
    told: dict[str, Exporter] = {}
    for name, exporter in exporters.items():
        told[name] = exporter
        if isinstance(exporter, ListsTiles):
            if exporter.file and tiles is None:
                raise ConfigError(
                    f"exporter.{name}.file=true: there are no images of tiles; add images to the"
                    " exporters, or leave it out"
                )
            told[name] = replace(exporter, tiles=None if exporter.file is False else tiles)
    return told


def file_settings(exporters: Mapping[str, Exporter]) -> dict[str, Any]:
    """What the tables among exporters list, by their names: part of the settings of a slide."""
    return {
        name: dict(exporter.tiles.naming) if exporter.tiles else exporter.file
        for name, exporter in exporters.items()
        if isinstance(exporter, ListsTiles)
    }
