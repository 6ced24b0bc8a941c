"""Links between exporters: tables list the files of the exporter that writes tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiler.errors import ConfigError
from tiler.protocols import Exporter, ListsTiles, NamesTiles


def naming_files(exporters: Mapping[str, Exporter]) -> dict[str, Exporter]:
    """Return the exporters; tables that list files get the exporter that names them.

    Raises
    ------
    ConfigError
        If a table lists files of tiles, but no exporter writes them.
    """
    tiles = next((one for one in exporters.values() if isinstance(one, NamesTiles)), None)
    linked: dict[str, Exporter] = {}
    for name, exporter in exporters.items():
        linked[name] = exporter
        if isinstance(exporter, ListsTiles):
            if exporter.file and tiles is None:
                raise ConfigError(
                    f"exporter.{name}.file=true: no exporter writes images of tiles; add images to"
                    " the exporters, or remove this key"
                )
            linked[name] = replace(exporter, tiles=None if exporter.file is False else tiles)
    return linked


def file_settings(exporters: Mapping[str, Exporter]) -> dict[str, Any]:
    """Return the files that tables list, by exporter name: part of the settings of a slide."""
    return {
        name: dict(exporter.tiles.naming) if exporter.tiles else exporter.file
        for name, exporter in exporters.items()
        if isinstance(exporter, ListsTiles)
    }
