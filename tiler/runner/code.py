"""Which code made masks, grids and tiles: part of what the cache knows them by."""

from __future__ import annotations

import sys
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import tiler
from tiler.runner.versions import versions

_SHAPING = (
    "readers",
    "masks",
    "exporters",
    "geometry.py",
    "resolution.py",
    "spec.py",
    "regions.py",
    "grid.py",
    "mask_arrays.py",
    "pictures.py",
    "stages.py",
    "extractor.py",
)


@cache
def code_version() -> str:
    """The versions of what makes masks, grids and tiles: our own code and the libraries."""
    package = Path(tiler.__file__).parent
    total = sha256(repr(versions()).encode())
    for name in _SHAPING:
        place = package / name
        for path in [place] if place.is_file() else sorted(place.glob("*.py")):
            total.update(path.read_bytes())
    return total.hexdigest()


def code_of(*parts: object) -> list[str]:
    """What tells one version from another of tiler, its libraries, and the parts a user brings."""
    return [code_version(), *(_source_of(_module_of(part)) for part in parts)]


def is_ours(part: object) -> bool:
    """Whether a part is tiler's own, and not one that a user brings."""
    return type(part).__module__.startswith("tiler.")


def _module_of(part: object) -> str:
    """Where an object's class, a function, or what a partial calls is written."""
    thing = part.func if isinstance(part, partial) else part
    name = getattr(thing, "__module__", None)
    return str(name if isinstance(name, str) else type(thing).__module__)


@cache
def _source_of(module: str) -> str:
    """A digest of the file that a module is read from."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return sha256(Path(file).read_bytes()).hexdigest() if file else ""
