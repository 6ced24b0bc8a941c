"""What a worker keeps at hand between two tasks."""

from __future__ import annotations

from tiler.protocols import LinksFiles, WSIReader
from tiler.runner.components import checked_reader
from tiler.runner.work.job import SlideJob
from tiler.runner.work.links import LinkIndex, find_linkable


class WorkerState:
    """A worker's place: it keeps the last slide open, because the next piece is often of it."""

    def __init__(self) -> None:
        self._reader: WSIReader | None = None
        self._key: str | None = None
        self._link_indices: dict[str, LinkIndex] = {}

    def reader(self, job: SlideJob, key: str) -> WSIReader:
        """The open reader of a job's slide, opened for the plan that has this key."""
        if self._reader is None or self._key != key:
            self.close()
            opened = job.open_reader(job.path, name=job.slide_id)
            self._reader = checked_reader(opened, job)
            self._key = key
        return self._reader

    def link_index(self, job: SlideJob, name: str, exporter: LinksFiles) -> LinkIndex:
        """The tiles of a job's slide that the exporter of this name can link."""
        if name not in self._link_indices:
            self._link_indices[name] = find_linkable(job, name, exporter)
        return self._link_indices[name]

    def close(self) -> None:
        """Close what is open."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._key = None
        self._link_indices.clear()
