"""Transforms of tiles: their settings by exporter, and settings of exporters that conflict."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from tiler.config.cache import is_off
from tiler.protocols import Exporter, ListsTiles, Transform
from tiler.runner.store.fingerprint import settled_hash
from tiler.runner.store.settings import TRANSFORM

log = logging.getLogger("tiler")


def exporter_conflicts(
    plain: Mapping[str, Any], exporters: Mapping[str, Exporter]
) -> Iterator[str]:
    """Yield the settings of exporters that the cache or the transforms of a configuration rule out.

    Parameters
    ----------
    plain
        The configuration.
    exporters
        Its exporters.
    """
    for name, exporter in exporters.items():
        if getattr(exporter, "link", False) and is_off(plain["cache"]):
            yield f"exporter.{name}.link=true finds tiles through the cache: set cache=null"
        if plain["transform"] and getattr(exporter, "passthrough", False):
            yield (
                f"exporter.{name}.passthrough=true writes the slide's own tiles undecoded, and"
                f" transform={_listed(plain['transform'])} changes their pixels; set"
                f" exporter.{name}.passthrough=false, or transform=[]"
            )


def with_transforms(
    own: Mapping[str, Any],
    exporters: Mapping[str, Exporter],
    plain: Mapping[str, Any],
    transforms: Mapping[str, Transform],
) -> dict[str, Any]:
    """Return the settings of all exporters, with the transforms for those that write pixels.

    They are not settings that all exporters share: another transform redoes no table. If no
    exporter writes pixels, tables have them, because ``TileDataset`` applies the recorded fits.

    Parameters
    ----------
    own
        The settings by exporter.
    exporters
        All exporters.
    plain
        The configuration.
    transforms
        The components, by name.
    """
    if not transforms:
        return dict(own)
    from tiler.exporters.tiles.pyramid import FOLDER

    settings: dict[str, Any] = {
        "order": list(transforms),
        "with": plain["transform"],
        "files": {name: files for name, one in transforms.items() if (files := _hashes(one))},
        "on_bad_fit": plain["on_bad_fit"],
    }
    pixels = [
        name
        for name, exporter in exporters.items()
        if exporter.per_tile or (name == FOLDER and own[name]["images"])
    ]
    tables = [name for name, exporter in exporters.items() if isinstance(exporter, ListsTiles)]
    if not pixels:
        log.warning(
            "transform=%s changes no file, because no exporter writes the pixels of tiles%s",
            _listed(transforms),
            "; TileDataset applies it" if tables else "",
        )
    chosen = {name: {**own.get(name, {}), TRANSFORM: settings} for name in pixels or tables}
    return {**own, **chosen}


def _hashes(transform: Transform) -> dict[str, str]:
    """Return the SHA-256 of the files that a transform reads, by name."""
    files = transform.inputs() if hasattr(transform, "inputs") else ()
    return {file.name: settled_hash(file) if file.is_file() else "" for file in files}


def _listed(transforms: Mapping[str, Any]) -> str:
    return f"[{','.join(transforms)}]"
