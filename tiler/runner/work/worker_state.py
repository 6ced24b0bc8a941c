"""State that a worker keeps between tasks: the open slide, and facts about slides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from tiler.checks.components import callable_name, lacking, shown
from tiler.errors import ComponentError
from tiler.geometry import Size
from tiler.protocols import FittedTransform, LinksFiles, TileExporter, WSIReader
from tiler.readers.deferred import Known, known_of
from tiler.runner.store.arrays import key_of
from tiler.runner.store.fingerprint import Fingerprint, fingerprint
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tiles.blanks import blank_digest
from tiler.runner.work.tiles.links import LinkIndex, find_linkable

_MAX_KNOWN = 4096  # slides, of about a kilobyte each

_known: OrderedDict[str, Known] = OrderedDict()


class WorkerState:
    """The last slide that a worker opened, because its next task is often on the same slide.

    Attributes
    ----------
    packing_s
        Seconds that packing of tiles took so far, for predictions.
    """

    def __init__(self) -> None:
        self.packing_s = 0.0
        self._reader: WSIReader | None = None
        self._key: str | None = None
        self._link_indices: dict[str, LinkIndex] = {}
        self._blank_digests: dict[str, str] = {}

    def reader(self, job: SlideJob, key: str) -> WSIReader:
        """Return the open reader of a job's slide, opened for the plan that has this key."""
        if self._reader is None or self._key != key:
            self.close()
            opened = job.open_reader(job.path, name=job.slide_id)
            self._reader = _checked(opened, job)
            self._key = key
        return self._reader

    def link_index(
        self, job: SlideJob, name: str, exporter: LinksFiles, transforms: Sequence[FittedTransform]
    ) -> LinkIndex:
        """Return the tiles of a job's slide that the exporter of this name can link."""
        if name not in self._link_indices:
            self._link_indices[name] = find_linkable(job, name, exporter, transforms)
        return self._link_indices[name]

    def blank_digest(
        self,
        name: str,
        exporter: TileExporter,
        reader: WSIReader,
        shape: Size,
        transforms: Sequence[FittedTransform],
    ) -> str:
        """Return ``blank_digest`` of the exporter of this name for the open slide."""
        if name not in self._blank_digests:
            self._blank_digests[name] = blank_digest(exporter, reader, shape, transforms)
        return self._blank_digests[name]

    def close(self) -> None:
        """Close the open slide."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._key = None
        self._link_indices.clear()
        self._blank_digests.clear()


def _checked(reader: WSIReader, job: SlideJob) -> WSIReader:
    """Return the result of a job's reader factory, if it is a reader.

    Raises
    ------
    ComponentError
        If it is something else.
    """
    if lacking(reader, WSIReader):
        what = f"{callable_name(job.open_reader)} returned {shown(reader)}; return a WSIReader"
        raise ComponentError(job.slide_id, f"{what} (see tiler.protocols)")
    return reader


def known_slide(job: SlideJob, source: Fingerprint, open_reader: Callable[[], WSIReader]) -> Known:
    """Return the facts of a slide; open it unless this process did so with the same reader before.

    Facts stay in memory alone: a file that anybody could write must not decide where a slide ends
    or how large its pixels are. Jobs of a sweep, which share a process, open a slide once.

    Parameters
    ----------
    job
        The work on the slide.
    source
        The slide's fingerprint.
    open_reader
        Opens the slide.

    Raises
    ------
    SlideError
        If it cannot be opened.
    """
    key = key_of(
        {
            "slide": vars(source),
            "reader": job.settings.get("reader"),
            "open": repr(job.open_reader),
            "code": [job.tiler_code, job.code.get("reader")],
        }
    )
    if key in _known:
        _known.move_to_end(key)
        return _known[key]
    found = known_of(open_reader())
    if fingerprint(job.path) == source:  # else it was replaced during the read
        _known[key] = found
        if len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
    return found
