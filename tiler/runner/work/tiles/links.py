"""Tiles that another job of the same cache wrote already: linked, not written again.

An entry of the cache lists, for one slide and one way to write tiles of it, where each tile's
file lies. A hard link to it is the same file under a second name. The entry is only a hint: a file
is linked only if the record of a finished slide lists it, of the same user and the same slide.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.exporters.names import file_names
from tiler.protocols import FittedTransform, LinksFiles
from tiler.regions import Regions
from tiler.runner.components import links
from tiler.runner.store.arrays import Arrays, key_of, load, store
from tiler.runner.store.fingerprint import Fingerprint, fingerprint
from tiler.runner.store.record_file import read_record
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tiles.places import find, order
from tiler.storage.destinations import inside
from tiler.written import WrittenFile, WrittenFiles, encoded, joined

LinkIndex = Arrays
"""Columns, a row per tile, by location: ``locations`` int64 (N, 2), ``paths`` and ``sha256`` bytes
(N,), ``sizes`` and ``times`` int64 (N,), as listed by the records of their slides."""

_PLACES = {"locations": "i", "folders": "S", "names": "S", "times": "i"}
"""Columns of an entry of the cache, and their kinds: the places of tiles, and their times. The
records beside the tiles prove that they are tiles, and what they contain."""


def find_linkable(
    job: SlideJob, name: str, exporter: LinksFiles, transforms: Sequence[FittedTransform]
) -> LinkIndex:
    """Return the tiles of a slide that an exporter like this one wrote and a record lists."""
    known = (
        _no_places()
        if job.cache is None
        else _known(job.cache, _key(job, name, exporter, transforms))
    )
    return _recorded(known, fingerprint(job.path))


def link_tiles(
    folder: Path, slide: str, exporter: LinksFiles, regions: Regions, linkable: LinkIndex
) -> tuple[list[WrittenFile], npt.NDArray[np.bool_]]:
    """Link tiles into a slide's folder; return the files, and which regions are left to write.

    A file that is missing, was replaced or cannot be linked (another disk, too many links) is left.
    """
    files: list[WrittenFile] = []
    left = np.ones(len(regions), bool)
    known, rows = find(regions.locations, linkable["locations"])
    names = file_names(exporter, slide, regions)
    for index in np.flatnonzero(known).tolist():
        path, size, time, sha256 = (
            linkable[name][rows[index]].item() for name in ("paths", "sizes", "times", "sha256")
        )
        name = names[index]
        place = folder / Path(name).parent
        try:
            other = Path(os.fsdecode(path))
            if _state(other) != (size, time):
                continue
            place.mkdir(parents=True, exist_ok=True)
            new = inside(place, Path(name).name)
            new.hardlink_to(other)
            if _state(new) != (size, time):  # it was replaced meanwhile
                new.unlink()
                continue
        except OSError:
            continue
        files.append(WrittenFile(name, size, sha256.decode()))
        left[index] = False
    return files, left


def remember(
    job: SlideJob,
    name: str,
    exporter: LinksFiles,
    regions: Regions,
    files: WrittenFiles,
    folder: Path,
    transforms: Sequence[FittedTransform],
) -> None:
    """Store the places of a slide's tiles in the cache, for later jobs."""
    if job.cache is None or not regions:
        return
    key = _key(job, name, exporter, transforms)
    known = _known(job.cache, key)
    files = _in_order(files, file_names(exporter, job.slide_id, regions))
    folder = folder.absolute()
    new: Arrays = {
        "locations": regions.locations,
        "folders": np.array([os.fsencode(folder)] * len(files), np.bytes_),
        "names": files.names,
        "times": np.array([(folder / file.name).stat().st_mtime_ns for file in files], np.int64),
    }
    others = ~find(known["locations"], _sorted(new)["locations"])[0]
    store(job.cache, key, {name: np.concatenate([known[name][others], new[name]]) for name in new})


def without_links(job: SlideJob) -> SlideJob:
    """Return a job without linking and without kept files, for temporary output."""
    exporters: dict[str, Any] = dict(job.exporters)
    for name, exporter in exporters.items():
        if links(exporter):
            exporters[name] = replace(exporter, link=False)
    return replace(job, exporters=exporters, kept=())


def _in_order(files: WrittenFiles, names: Iterable[str]) -> WrittenFiles:
    """Return the files with these names, all of which exist."""
    wanted = np.array([encoded(name) for name in names], np.bytes_)
    return files.take(files.by_name[np.searchsorted(files.names, wanted, sorter=files.by_name)])


def _state(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of a regular file of this user.

    Raises
    ------
    OSError
        If it is missing, or is something else.
    """
    facts = path.lstat()
    ours = not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
    if not (stat.S_ISREG(facts.st_mode) and ours):
        raise FileNotFoundError(path)
    return facts.st_size, facts.st_mtime_ns


def _no_places() -> Arrays:
    return {
        "locations": np.empty((0, 2), np.int64),
        "folders": np.empty(0, np.bytes_),
        "names": np.empty(0, np.bytes_),
        "times": np.empty(0, np.int64),
    }


def _known(cache: Path, key: str) -> Arrays:
    """Return the places of written tiles from the cache; empty if the entry is unusable."""
    try:
        entry = load(cache, key)
    except ValueError:  # without it, tiles are written instead of linked
        entry = None
    if entry is None or entry.keys() != _PLACES.keys():
        return _no_places()
    count = len(entry["times"]) if entry["times"].ndim else 0
    for name, kind in _PLACES.items():
        shape = (count, 2) if name == "locations" else (count,)
        if entry[name].dtype.kind != kind or entry[name].shape != shape:
            return _no_places()
    return _sorted(entry)


def _recorded(known: Arrays, source: Fingerprint) -> LinkIndex:
    """Return the places at which a record of the same slide lists a file of that name."""
    columns: list[tuple[WrittenFiles, npt.NDArray[np.intp], bytes]] = []
    for folder in np.unique(known["folders"]).tolist():
        record = read_record(Path(os.fsdecode(folder)))
        if record is None or record.source != source:
            continue
        rows = np.flatnonzero(known["folders"] == folder)
        there, at = _named(record.files, known["names"][rows])
        columns.append((record.files.take(at[there]), rows[there], folder))
    files = joined(found for found, _, _ in columns)
    rows = np.concatenate([np.empty(0, np.intp), *(rows for _, rows, _ in columns)])
    paths = [
        b"%s/%s" % (folder, os.fsencode(file.name))
        for found, _, folder in columns
        for file in found
    ]
    return _sorted(
        {
            "locations": known["locations"][rows],
            "paths": np.array(paths, np.bytes_),
            "sizes": files.sizes,
            "times": known["times"][rows],
            "sha256": np.array([digest.tobytes().hex() for digest in files.digests], np.bytes_),
        }
    )


def _named(
    files: WrittenFiles, names: npt.NDArray[np.bytes_]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Return for each name whether a file has it, and the index of that file."""
    if not len(files):
        return np.zeros(len(names), bool), np.zeros(len(names), np.intp)
    at = np.searchsorted(files.names, names, sorter=files.by_name)
    at = files.by_name[np.minimum(at, len(files) - 1)]
    return files.names[at] == names, at


def _sorted(linkable: Arrays) -> Arrays:
    rows = order(linkable["locations"])
    return {name: column[rows] for name, column in linkable.items()}


def _key(
    job: SlideJob, name: str, exporter: LinksFiles, transforms: Sequence[FittedTransform]
) -> str:
    spec = job.extractor.tile_spec
    return key_of(
        {
            "slide": vars(fingerprint(job.path)),
            "reader": job.settings.get("reader"),
            "pixels": repr((spec.size, spec.unit, spec.resolution)),
            "transforms": [*map(repr, transforms)],
            "encoding": exporter.encoding,
            "code": [job.tiler_code, job.code.get(f"exporter.{name}"), job.code.get("reader")],
        }
    )
