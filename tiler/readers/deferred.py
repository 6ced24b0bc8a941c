"""A slide that is opened when its pixels are first read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tiler.checks.pixels import checked_pixels
from tiler.geometry import Box, Size
from tiler.protocols import Pixels, WSIReader
from tiler.readers.base import Facts, FactsReader
from tiler.resolution import Resolution


@dataclass(frozen=True)
class Known:
    """Facts of a slide, and the reader that found them.

    Attributes
    ----------
    reader
        The name of the reader's class.
    facts
        The facts without the properties: these may name people, and processes exchange the facts.
    """

    reader: str
    facts: Facts


def known_of(source: WSIReader) -> Known:
    """Return the facts of an open slide as Python numbers; a user's reader may return NumPy's."""
    facts = Facts(
        level_dimensions=tuple(_size(size) for size in source.level_dimensions),
        level_downsamples=tuple(float(downsample) for downsample in source.level_downsamples),
        bounds=Box(*(int(number) for number in source.bounds)),
        mpp=_float(source.mpp),
        magnification=_float(source.magnification),
        provenance=dict(source.provenance),
        properties={},
        sparse=source.facts.sparse if isinstance(source, FactsReader) else None,
    )
    return Known(type(source).__name__, facts)


def _size(size: Size) -> Size:
    return Size(int(size[0]), int(size[1]))


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)


class DeferredReader(FactsReader):
    """A ``WSIReader`` that opens its slide when pixels are read.

    Parameters
    ----------
    path, name
        The slide's path and name.
    known
        Facts of the slide.
    open_reader
        Returns the open slide; the owner of that reader closes it.
    given
        The path as the user wrote it, for files that name it.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        known: Known,
        open_reader: Callable[[], WSIReader],
        given: str = "",
    ) -> None:
        super().__init__(path, name, known.facts)
        self.known = known
        self.given = given
        self._open_reader = open_reader

    @property
    def properties(self) -> Mapping[str, str]:
        """All metadata of the file, as text."""
        return self._open_reader().properties

    @property
    def icc_profile(self) -> bytes | None:
        """Return the ICC profile in the file; None if there is none, or the reader knows none."""
        found: bytes | None = getattr(self._open_reader(), "icc_profile", None)
        return found

    def read_region(
        self,
        location: tuple[float, float],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Return pixels of a box at a resolution: see ``WSIReader.read_region``."""
        reader = self._open_reader()
        pixels = reader.read_region(location, shape, resolution, bounded)
        return checked_pixels(reader, "read_region", pixels, shape)

    def thumbnail(self, size: Size) -> Pixels:
        """Return the whole bounded area, area-averaged to exactly ``size``."""
        reader = self._open_reader()
        return checked_pixels(reader, "thumbnail", reader.thumbnail(size), size)

    def close(self) -> None:
        """Do nothing: the owner of the reader closes it."""
