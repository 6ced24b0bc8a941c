"""Tiles that another job of the same cache wrote already: linked, not written again.

An entry of the cache lists, for one slide and one way to write tiles of it, where each tile's
file lies, its size, time and SHA-256. A hard link to it is the same file under a second name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from tiler.files import inside
from tiler.protocols import LinksFiles
from tiler.regions import Regions
from tiler.runner.cache import Arrays, key_of, load, store
from tiler.runner.code import code_of
from tiler.runner.fingerprint import fingerprint
from tiler.runner.job import SlideJob
from tiler.written import WrittenFile, WrittenFiles, encoded

Twins = Arrays
"""Columns, a row per tile, by location: ``locations`` int64 (N, 2), ``paths`` and ``sha256`` bytes
(N,), ``sizes`` and ``times`` int64 (N,), as each file was when it was vouched for."""

NO_TWINS: Twins = {
    "locations": np.empty((0, 2), np.int64),
    "paths": np.empty(0, np.bytes_),
    "sizes": np.empty(0, np.int64),
    "times": np.empty(0, np.int64),
    "sha256": np.empty(0, np.bytes_),
}


def links(exporter: object) -> TypeGuard[LinksFiles]:
    """Whether an exporter is to link tiles; the protocol is asked last, for it answers slowly."""
    return bool(getattr(exporter, "link", False)) and isinstance(exporter, LinksFiles)


def find_twins(job: SlideJob, exporter: LinksFiles) -> Twins:
    """The tiles of a slide that were written already."""
    return NO_TWINS if job.cache is None else _known(job.cache, _key(job, exporter))


def link_twins(
    folder: Path, slide: str, exporter: LinksFiles, regions: Regions, twins: Twins
) -> tuple[list[WrittenFile], Regions]:
    """Link what can be linked into a slide's folder; the files, and the regions that are left.

    A file that is gone, was replaced or cannot be linked (another disk, too many links) is left to
    be written.
    """
    files: list[WrittenFile] = []
    left = np.ones(len(regions), bool)
    known, rows = _find(regions.locations, twins)
    for index in np.flatnonzero(known).tolist():
        path, size, time, sha256 = (
            twins[name][rows[index]].item() for name in ("paths", "sizes", "times", "sha256")
        )
        name = exporter.file_name(slide, regions[index])
        place = folder / Path(name).parent
        try:
            twin = Path(os.fsdecode(path))
            facts = twin.stat()
            if (facts.st_size, facts.st_mtime_ns) != (size, time):
                continue
            place.mkdir(parents=True, exist_ok=True)
            inside(place, Path(name).name).hardlink_to(twin)
        except OSError:
            continue
        files.append(WrittenFile(name, size, sha256.decode()))
        left[index] = False
    return files, regions.take(left)


def remember(
    job: SlideJob, exporter: LinksFiles, regions: Regions, files: WrittenFiles, folder: Path
) -> None:
    """Note where a slide's tiles lie, for jobs to come."""
    if job.cache is None or not regions:
        return
    key = _key(job, exporter)
    known = _known(job.cache, key)
    files = _in_order(files, (exporter.file_name(job.slide_id, region) for region in regions))
    paths, times = list[bytes](), list[int]()
    for file in files:
        path = (folder / file.name).absolute()
        paths.append(os.fsencode(path))
        times.append(path.stat().st_mtime_ns)
    new: Twins = {
        "locations": regions.locations,
        "paths": np.array(paths, np.bytes_),
        "sizes": files.sizes,
        "times": np.array(times, np.int64),
        "sha256": np.array([digest.tobytes().hex() for digest in files.digests], np.bytes_),
    }
    others = ~_find(known["locations"], _sorted(new))[0]
    store(job.cache, key, {name: np.concatenate([known[name][others], new[name]]) for name in new})


def without_links(job: SlideJob) -> SlideJob:
    """A job that neither links tiles nor notes them for others: of files that will not stay."""
    exporters: dict[str, Any] = dict(job.exporters)
    for name, exporter in exporters.items():
        if links(exporter):
            exporters[name] = replace(exporter, link=False)
    return replace(job, exporters=exporters)


def _in_order(files: WrittenFiles, names: Iterable[str]) -> WrittenFiles:
    """The files of these names, all of which there are."""
    wanted = np.array([encoded(name) for name in names], np.bytes_)
    return files.take(files.by_name[np.searchsorted(files.names, wanted, sorter=files.by_name)])


def _known(cache: Path, key: str) -> Twins:
    try:
        return _sorted(load(cache, key) or NO_TWINS)
    except ValueError:  # nothing depends on it but time and room
        return NO_TWINS


def _sorted(twins: Twins) -> Twins:
    order = np.lexsort(twins["locations"].T[::-1])
    return {name: column[order] for name, column in twins.items()}


def _find(
    locations: npt.NDArray[np.int64], twins: Twins
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Of each location whether there is a twin, and its row if there is."""
    if not len(twins["sizes"]):
        return np.zeros(len(locations), bool), np.zeros(len(locations), np.intp)
    places, wanted = _places(twins["locations"]), _places(locations)
    rows = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return places[rows] == wanted, rows


def _places(locations: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Locations (N, 2) as (N,) values that sort by x, then y."""
    pairs = np.ascontiguousarray(locations).view([("x", np.int64), ("y", np.int64)])
    return pairs.reshape(-1)


def _key(job: SlideJob, exporter: LinksFiles) -> str:
    spec = job.extractor.tile_spec
    return key_of(
        {
            "slide": vars(fingerprint(job.path)),
            "reader": job.settings.get("reader"),
            "pixels": repr((spec.size, spec.unit, spec.resolution)),
            "encoding": exporter.encoding,
            "code": code_of(exporter, job.open_reader),
        }
    )
