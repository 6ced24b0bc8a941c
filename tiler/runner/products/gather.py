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
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.storage.destinations import inside
from tiler.written import WrittenFiles

log = logging.getLogger("tiler")

_DONE = ("done", "done_empty")


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
    """

    job: SlideJob
    slide: FinishedSlide
    digest: str


def gathered(
    jobs: Sequence[SlideJob],
    rows: Mapping[str, SlideRow],
    out: Path,
    exporters: Collection[str],
) -> dict[str, list[Gathered]]:
    """Return the finished slides of some exporters, in the order of the configuration.

    A slide that failed is left out, also if its folder contains output of an earlier run: that has
    other settings. Each record is read once.
    """
    found: dict[str, list[Gathered]] = {name: [] for name in exporters}
    common: dict[str, dict[str, Any]] = {}
    for job in jobs:
        row = rows.get(job.slide_id)
        if row is None or row.status not in _DONE or row.output != "current":
            continue
        folder = inside(out / SLIDES, job.slide_id)
        record = read_record(folder)
        if record is None or record.slide_id != job.slide_id:
            log.warning("slide=%s: its record is gone; it is in no product", job.slide_id)
            continue
        for name in exporters & record.exporters.keys():
            found[name].append(_one(job, folder, record, name, common))
    return found


def _one(
    job: SlideJob, folder: Path, record: Record, name: str, common: dict[str, dict[str, Any]]
) -> Gathered:
    settings = shared(record.settings)
    text = json.dumps(settings, sort_keys=True, default=str)
    settings = common.setdefault(text, settings)  # most slides have the same
    files, row = record.exporters[name], record.row
    below = np.char.find(files.names, b"/") >= 0 if len(files) else np.zeros(0, bool)
    folders = {one.partition(b"/")[0] for one in files.names[below].tolist()}
    slide = FinishedSlide(
        slide_id=job.slide_id,
        folder=folder,
        files=tuple(files.take(np.flatnonzero(~below))),
        folders=tuple(sorted(one.decode(errors="surrogatepass") for one in folders)),
        kept=row.kept,
        requested=row.requested,
        downsample=row.downsample,
        effective_mpp=row.effective_mpp,
        mpp=row.mpp,
        magnification=row.magnification,
        settings=settings,
    )
    own = json.dumps(dict(of_exporter(record.settings, name)), sort_keys=True, default=str)
    return Gathered(
        job, slide, digest(f"{_files_digest(files)} {text} {own}".encode(errors="surrogateescape"))
    )


def _files_digest(files: WrittenFiles) -> str:
    total = sha256(f"{files.names.dtype.itemsize} ".encode())
    for column in (files.names, files.sizes, files.digests):
        total.update(np.ascontiguousarray(column).tobytes())
    return total.hexdigest()


def key_of(slides: Iterable[Gathered]) -> str:
    """Return a digest of everything that a file about slides is made from, except code."""
    text = json.dumps([[one.slide.slide_id, one.digest] for one in slides])
    return digest(text.encode())
