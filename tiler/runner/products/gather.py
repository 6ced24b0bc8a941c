"""The slides that are finished with a run's settings, as their records describe them."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tiler.files import digest
from tiler.protocols import FinishedSlide
from tiler.runner.products.listed import SLIDES
from tiler.runner.store.record import Record
from tiler.runner.store.record_file import read_record
from tiler.runner.store.settings import of_exporter, shared
from tiler.runner.work.job import DONE, SlideJob, SlideRow
from tiler.storage.destinations import inside
from tiler.written import WrittenFiles, joined

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class Gathered:
    """A finished slide with the files of one exporter.

    Attributes
    ----------
    job
        The slide's job in this run.
    slide
        The slide for the exporter.
    digest
        SHA-256 of the list of the exporter's files, and of the settings that they were made with.
    others
        SHA-256 of the list of the other exporters' files that an exporter may read.
    """

    job: SlideJob
    slide: FinishedSlide
    digest: str
    others: str


def gathered(
    jobs: Sequence[SlideJob],
    rows: Mapping[str, SlideRow],
    out: Path,
    exporters: Collection[str],
) -> dict[str, list[Gathered]]:
    """Return the finished slides of some exporters, in the order of the configuration.

    A slide that failed is left out, also if its folder contains output of an earlier run, which has
    other settings. Each record is read once.
    """
    found: dict[str, list[Gathered]] = {name: [] for name in exporters}
    common: dict[str, dict[str, Any]] = {}
    for job in jobs:
        row = rows.get(job.slide_id)
        if row is None or row.status not in DONE or row.output != "current":
            continue
        folder = inside(out / SLIDES, job.slide_id)
        record = read_record(folder)
        if record is None or record.slide_id != job.slide_id:
            log.warning("slide=%s: its record is gone; it is in no product", job.slide_id)
            continue
        direct = {name: _direct(files) for name, files in record.exporters.items()}
        for name in exporters & record.exporters.keys():
            found[name].append(_one(job, folder, record, name, direct, common))
    return found


def _one(
    job: SlideJob,
    folder: Path,
    record: Record,
    name: str,
    direct: Mapping[str, WrittenFiles],
    common: dict[str, dict[str, Any]],
) -> Gathered:
    settings = shared(record.settings)
    text = json.dumps(settings, sort_keys=True, default=str)
    settings = common.setdefault(text, settings)  # most slides have the same
    files, row = record.exporters[name], record.row
    others = joined(direct[other] for other in sorted(direct) if other != name)
    slide = FinishedSlide(
        slide_id=job.slide_id,
        folder=folder,
        files=tuple(direct[name]),
        folders=_folders(files) if len(files) > len(direct[name]) else (),
        others=tuple(others),
        kept=row.kept,
        requested=row.requested,
        downsample=row.downsample,
        effective_mpp=row.effective_mpp,
        mpp=row.mpp,
        magnification=row.magnification,
        settings=settings,
    )
    own = json.dumps(dict(of_exporter(record.settings, name)), sort_keys=True, default=str)
    made = f"{_files_digest(files)} {text} {own}"
    return Gathered(
        job, slide, digest(made.encode(errors="surrogateescape")), _files_digest(others)
    )


def _direct(files: WrittenFiles) -> WrittenFiles:
    """Return the files that lie directly in the slide's folder."""
    if not len(files):
        return files
    return files.take(np.flatnonzero(np.char.find(files.names, b"/") < 0))


def _folders(files: WrittenFiles) -> tuple[str, ...]:
    """Return the folders in the slide's folder that contain files."""
    found = {name.partition(b"/")[0] for name in files.names.tolist() if b"/" in name}
    return tuple(sorted(name.decode(errors="surrogatepass") for name in found))


def _files_digest(files: WrittenFiles) -> str:
    total = sha256(f"{files.names.dtype.itemsize} ".encode())
    for column in (files.names, files.sizes, files.digests):
        total.update(np.ascontiguousarray(column).tobytes())
    return total.hexdigest()


def key_of(slides: Iterable[Gathered]) -> str:
    """Return a digest of the exporter's files of some slides, and of their settings."""
    return _key([one.slide.slide_id, one.digest] for one in slides)


def others_key(slides: Iterable[Gathered]) -> str:
    """Return a digest of the files of other exporters that an exporter may read."""
    return _key([one.slide.slide_id, one.others] for one in slides)


def _key(values: Iterable[list[str]]) -> str:
    return digest(json.dumps(list(values)).encode())
