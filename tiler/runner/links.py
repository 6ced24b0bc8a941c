"""Tiles that another job of the same cache wrote already: linked, not written again.

An entry of the cache lists, for one slide and one way to write tiles of it, where each tile's
file lies, its size, time and SHA-256. A hard link to it is the same file under a second name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tiler.files import inside
from tiler.geometry import Point
from tiler.protocols import LinksFiles
from tiler.regions import Regions
from tiler.runner.cache import key_of, load, store
from tiler.runner.fingerprint import fingerprint
from tiler.runner.job import SlideJob
from tiler.runner.shared import code_of
from tiler.written import WrittenFile


@dataclass(frozen=True)
class Twin:
    """A tile's file in another job's folder, as it was when it was vouched for."""

    path: Path
    size: int
    mtime_ns: int
    sha256: str

    def there(self) -> bool:
        """Whether the file is still that one."""
        facts = self.path.stat()
        return (facts.st_size, facts.st_mtime_ns) == (self.size, self.mtime_ns)


Twins = Mapping[Point, Twin]


def find_twins(job: SlideJob, exporter: LinksFiles) -> Twins:
    """The tiles of a slide that were written already, by their location."""
    return {} if job.cache is None else _known(job.cache, _key(job, exporter))


def link_twins(
    folder: Path, slide: str, exporter: LinksFiles, regions: Regions, twins: Twins
) -> tuple[list[WrittenFile], Regions]:
    """Link what can be linked into a slide's folder; the files, and the regions that are left.

    A file that is gone, was replaced or cannot be linked (another disk, too many links) is left to
    be written.
    """
    files: list[WrittenFile] = []
    left = np.ones(len(regions), bool)
    for index, region in enumerate(regions):
        twin = twins.get(region.location)
        if twin is None:
            continue
        name = exporter.file_name(slide, region)
        path = folder / Path(name).parent
        try:
            if not twin.there():
                continue
            path.mkdir(parents=True, exist_ok=True)
            inside(path, Path(name).name).hardlink_to(twin.path)
        except OSError:
            continue
        files.append(WrittenFile(name, twin.size, twin.sha256))
        left[index] = False
    return files, regions.take(left)


def remember(
    job: SlideJob,
    exporter: LinksFiles,
    regions: Regions,
    files: Sequence[WrittenFile],
    folder: Path,
) -> None:
    """Note where a slide's tiles lie, for jobs to come."""
    if job.cache is None:
        return
    key = _key(job, exporter)
    written = {file.name: file for file in files}
    known = _known(job.cache, key)
    for region in regions:
        file = written[exporter.file_name(job.slide_id, region)]
        path = (folder / file.name).absolute()
        known[region.location] = Twin(path, file.size, path.stat().st_mtime_ns, file.sha256)
    if known:
        arrays = {
            "locations": np.array(list(known), np.int64),
            "paths": np.array([os.fsencode(twin.path) for twin in known.values()]),
            "sizes": np.array([twin.size for twin in known.values()], np.int64),
            "times": np.array([twin.mtime_ns for twin in known.values()], np.int64),
            "sha256": np.array([twin.sha256.encode() for twin in known.values()]),
        }
        store(job.cache, key, arrays)


def without_links(job: SlideJob) -> SlideJob:
    """A job that neither links tiles nor notes them for others: of files that will not stay."""
    exporters: dict[str, Any] = dict(job.exporters)
    for name, exporter in exporters.items():
        if isinstance(exporter, LinksFiles):
            exporters[name] = replace(exporter, link=False)
    return replace(job, exporters=exporters)


def _known(cache: Path, key: str) -> dict[Point, Twin]:
    try:
        entry = load(cache, key)
    except ValueError:  # nothing depends on it but time and room
        return {}
    if entry is None:
        return {}
    columns = (entry[name].tolist() for name in ("locations", "paths", "sizes", "times", "sha256"))
    return {
        Point(*location): Twin(Path(os.fsdecode(path)), size, mtime_ns, sha256.decode())
        for location, path, size, mtime_ns, sha256 in zip(*columns, strict=True)
    }


def _key(job: SlideJob, exporter: LinksFiles) -> str:
    spec = job.extractor.tile_spec
    return key_of(
        {
            "slide": asdict(fingerprint(job.path)),
            "reader": job.settings.get("reader"),
            "pixels": repr((spec.size, spec.unit, spec.resolution)),
            "encoding": exporter.encoding,
            "code": code_of(exporter, job.open_reader),
        }
    )
