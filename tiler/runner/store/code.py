"""Digests of the code that makes masks, grids and tiles, for the cache and the records."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import tiler
from tiler.checks.error_places import is_tilers, targets_in
from tiler.extractor import TileExtractor
from tiler.protocols import Exporter, ReaderFactory
from tiler.runner.store.sources import source_digest
from tiler.runner.store.versions import versions

SHAPING = (
    "annotations",
    "checks",
    "scales",
    "cover",
    "errors.py",
    "exporters",
    "extractor.py",
    "files.py",
    "geometry.py",
    "grid.py",
    "labels",
    "masks",
    "pixels",
    "process",
    "protocols",
    "readers",
    "region_masks.py",
    "regions.py",
    "resolution.py",
    "samplers",
    "scores",
    "selection.py",
    "spec.py",
    "stages.py",
    "storage",
    "transforms",
    "written.py",
)
"""Folders and files of ``tiler/`` that shape masks, grids and tiles, with their imports."""


@cache
def code_version() -> str:
    """Return a digest of the code that makes masks, grids and tiles: tiler's and its libraries'.

    Raises
    ------
    FileNotFoundError
        If an entry of ``SHAPING`` is missing.
    """
    total = sha256(repr(versions()).encode())
    for path in shaping_files():
        total.update(path.read_bytes())
    return total.hexdigest()


def shaping_files() -> list[Path]:
    """Return the source files that ``SHAPING`` names, those of subfolders included."""
    package = Path(tiler.__file__).parent
    files: list[Path] = []
    for name in SHAPING:
        place = package / name
        found = [place] if place.is_file() else sorted(place.rglob("*.py"))
        if not found:
            raise FileNotFoundError(f"{place} is missing, and tiler.runner.store.code names it")
        files += found
    return files


def code_of(*components: object) -> list[str]:
    """Return digests of tiler's code with its libraries, and of each component of a user."""
    return [code_version(), *(users_code(None, component) for component in components)]


def users_code(settings: object, *components: object) -> str:
    """Return the digest of the source of the user's own components; empty for tiler's own.

    Parameters
    ----------
    settings
        Plain containers; their ``_target_`` keys count at any depth.
    *components
        Objects, classes, functions or partials.
    """
    modules = {*map(_module_of, components), *map(_module_named, targets_in(settings))}
    digests = {name: source_digest(name) for name in modules if not is_tilers(name)}
    text = "\n".join(f"{name} {found}" for name, found in sorted(digests.items()) if found)
    return sha256(text.encode()).hexdigest() if text else ""


def _module_of(part: object) -> str:
    """Return the module of an object's class, a function, or the callable of a partial."""
    thing = part.func if isinstance(part, partial) else part
    name = getattr(thing, "__module__", None)
    return str(name if isinstance(name, str) else type(thing).__module__)


def _module_named(target: str) -> str:
    """Return the loaded module that contains the object of a dotted name."""
    parts = target.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in sys.modules), "")


def users_codes(
    settings: Mapping[str, Any],
    open_reader: ReaderFactory,
    extractor: TileExtractor,
    exporters: Mapping[str, Exporter],
) -> dict[str, str]:
    """Return digests of the code and arrays that shape a slide's output, by component.

    The source of the user's own components, such as ``mask`` and ``exporter.<name>``, and a static
    mask. tiler's own components, and a mask that is missing, have no entry.
    """
    spec, own = extractor.tile_spec, settings.get("exporter") or {}
    found = {
        "reader": users_code(settings.get("reader"), open_reader),
        "resolution": users_code(settings.get("resolution"), spec.resolution),
        "tile": users_code(settings.get("tile"), spec, extractor),
        "mask": users_code(settings.get("mask"), extractor.mask_provider),
        "label": users_code(settings.get("label"), extractor.labels),
        "sampler": users_code(settings.get("sampler"), extractor.sampler),
        **{
            f"filter.{name}": users_code((settings.get("filter") or {}).get(name), it)
            for name, it in (extractor.filters or {}).items()
        },
        **{f"exporter.{name}": users_code(own.get(name), it) for name, it in exporters.items()},
    }
    if extractor.mask is not None:
        mask = np.asarray(extractor.mask)
        layout = repr((mask.shape, mask.dtype.str)).encode()
        found["static mask"] = sha256(layout + mask.tobytes()).hexdigest()
    return {name: digest for name, digest in found.items() if digest}
