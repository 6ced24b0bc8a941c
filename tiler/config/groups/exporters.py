"""Links between exporters: tables list the files of the exporter that writes tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiler.errors import ConfigError
from tiler.protocols import (
    Exporter,
    ListsTiles,
    NamesTiles,
    NeedsTileSpec,
    PacksTiles,
    TableExporter,
    WritesContext,
    WritesTiles,
)
from tiler.resolution import Resolution
from tiler.scales.context import suffix
from tiler.spec import TileSpec


def protocol_of(exporter: object) -> type:
    """Return the protocol that an exporter has to have."""
    if not getattr(exporter, "per_tile", False):
        return TableExporter
    return PacksTiles if hasattr(exporter, "pack") else WritesTiles


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


def with_spec(exporters: Mapping[str, Exporter], spec: TileSpec) -> dict[str, Exporter]:
    """Return the exporters; those that need the tiles' size and resolution get them.

    Raises
    ------
    ConfigError
        If a format cannot express these tiles.
    """
    return {
        name: replace(one, spec=spec) if isinstance(one, NeedsTileSpec) else one
        for name, one in exporters.items()
    }


def file_settings(exporters: Mapping[str, Exporter]) -> dict[str, Any]:
    """Return the files that tables list, by exporter name: part of the settings of a slide."""
    return {
        name: dict(exporter.tiles.name_settings) if exporter.tiles else exporter.file
        for name, exporter in exporters.items()
        if isinstance(exporter, ListsTiles)
    }


def with_context(
    exporters: Mapping[str, Exporter], context: Sequence[Resolution]
) -> dict[str, Exporter]:
    """Return the exporters, and for each that writes context tiles one more per resolution.

    Raises
    ------
    ConfigError
        If there is a context, but no exporter writes it.
    """
    found = dict(exporters)
    for name, exporter in exporters.items():
        if isinstance(exporter, WritesContext):
            found |= {name + suffix(one): exporter.in_context(one) for one in context}
    if context and len(found) == len(exporters):
        raise ConfigError(
            f"context={[one.value for one in context]}: no exporter writes images of tiles; add"
            " images to the exporters, or remove this key"
        )
    return found


def with_pyramid(
    exporters: Mapping[str, Exporter], pyramid: Sequence[Resolution], drop: bool
) -> dict[str, Exporter]:
    """Return the exporters, and that of the pyramid if there is one.

    ``drop`` is its policy for a parent that cannot be read.
    """
    if not pyramid:
        return dict(exporters)
    from tiler.exporters.tiles.images import ImagesExporter
    from tiler.exporters.tiles.pyramid import FOLDER, PyramidExporter

    images = next((one for one in exporters.values() if isinstance(one, ImagesExporter)), None)
    return {**exporters, FOLDER: PyramidExporter(images, drop)}


def scale_settings(
    settings: Mapping[str, Any],
    exporters: Mapping[str, Exporter],
    context: Sequence[Resolution],
    pyramid: Sequence[Resolution],
) -> dict[str, Any]:
    """Return the settings of all exporters, with further resolutions for those that use them.

    They are not settings that all exporters share: to add one later redoes no image of a tile.
    """
    found = {name: {**own} for name, own in settings.items()}
    for name, own in settings.items():
        for one in context:
            if (key := name + suffix(one)) in exporters:
                found[key] = {**own, "context": one.token}
    if pyramid:
        from tiler.exporters.tiles.images import ImagesExporter
        from tiler.exporters.tiles.pyramid import FOLDER

        tokens = [one.token for one in pyramid]
        for name in settings:
            if not exporters[name].per_tile:
                found[name]["pyramid"] = tokens  # tables have the column parent_id
        images = (name for name, one in exporters.items() if isinstance(one, ImagesExporter))
        found[FOLDER] = {"resolutions": tokens, "images": settings.get(next(images, ""))}
    return found
