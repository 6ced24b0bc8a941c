"""Work that settings share: a slide's mask, and how much of it every grid cell holds.

Both depend on few of the settings, so a sweep over the others finds them in the cache.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import tiler
from tiler.protocols import Mask, WSIReader
from tiler.runner.cache import Arrays, key_of, load, prune, store
from tiler.runner.fingerprint import fingerprint
from tiler.runner.job import SlideJob
from tiler.runner.versions import versions
from tiler.stages import Cells

log = logging.getLogger("tiler")

_SHAPING = ("readers", "masks", "exporters", "grid.py", "stages.py", "geometry.py", "resolution.py")


@dataclass(frozen=True)
class Shared:
    """A slide's mask and grid, and where they came from.

    Attributes
    ----------
    mask, cells
        As of ``TileExtractor.make_mask`` and ``walk``.
    keys
        What mask and grid are kept under.
    made
        What was not in the cache, of ``mask`` and ``grid``.
    notes
        What is to be said of entries that could not be used.
    """

    mask: Mask
    cells: Cells
    keys: tuple[str, str]
    made: tuple[str, ...]
    notes: tuple[str, ...]


def shared_work(job: SlideJob, reader: WSIReader) -> Shared:
    """Find or make the mask and the grid of a slide."""
    made: list[str] = []
    notes: list[str] = []

    def kept(what: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        if job.cache is not None:
            try:
                found = load(job.cache, key)
            except ValueError as error:
                notes.append(f"the cached {what} {error}: made anew")
                found = None
            if found is not None:
                return found
        arrays = make()
        made.append(what)
        if job.cache is not None:
            store(job.cache, key, arrays)
        return arrays

    extractor = job.extractor
    mask_key = key_of(_mask_facts(job))
    mask = kept("mask", mask_key, lambda: {"mask": extractor.make_mask(reader)})["mask"]
    grid_key = key_of({"mask": mask_key, "tile": repr(extractor.tile_spec)})
    cells = Cells(**kept("grid", grid_key, lambda: vars(extractor.walk(reader, mask))))
    return Shared(mask, cells, (mask_key, grid_key), tuple(made), tuple(notes))


def prune_caches(jobs: Iterable[SlideJob]) -> None:
    """Keep the caches of a run small."""
    for folder in {job.cache for job in jobs if job.cache is not None}:
        prune(folder)


def cache_facts(out: Path, jobs: Iterable[SlideJob], counts: Mapping[str, int]) -> dict[str, Any]:
    """What a run's record says of the cache: where it lies, from ``out``, and what it was good for.

    ``counts`` are those of ``Schedule.shared``; they go to the log as well.
    """
    if counts:
        said = [
            f"{what}s: {counts.get(f'{what}s made', 0)} made,"
            f" {counts.get(f'{what}s reused', 0)} reused"
            for what in ("mask", "grid")
        ]
        log.info("%s", "; ".join(said))
    folder = next((job.cache for job in jobs if job.cache is not None), None)
    return {"folder": folder and os.path.relpath(folder, out), **counts}


def _mask_facts(job: SlideJob) -> dict[str, object]:
    """All that a mask depends on."""
    provider, array = job.extractor.mask_provider, job.extractor.mask
    return {
        "slide": asdict(fingerprint(job.path)),
        "reader": job.settings.get("reader"),
        "mask": job.settings.get("mask"),
        "array": None if array is None else sha256(np.asarray(array).tobytes()).hexdigest(),
        "inputs": job.input_hashes(),
        "code": code_of(provider, job.open_reader),
    }


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
