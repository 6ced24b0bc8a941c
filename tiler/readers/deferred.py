"""A slide that is opened when its pixels are wanted, and not before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tiler.geometry import Box, Size
from tiler.protocols import Pixels, WSIReader
from tiler.readers.base import Facts, FactsReader
from tiler.resolution import Resolution


@dataclass(frozen=True)
class Known:
    """What a reader found a slide to be.

    Attributes
    ----------
    reader
        The name of the reader's class.
    facts
        Without the properties, which may name people: this is kept on disk.
    """

    reader: str
    facts: Facts


def known_of(source: WSIReader) -> Known:
    """What an open slide is known to be."""
    facts = Facts(
        level_dimensions=tuple(source.level_dimensions),
        level_downsamples=tuple(source.level_downsamples),
        bounds=source.bounds,
        mpp=source.mpp,
        magnification=source.magnification,
        provenance=dict(source.provenance),
        properties={},
    )
    return Known(type(source).__name__, facts)


def as_json(known: Known) -> bytes:
    """What is known as text; the numbers read back from it are the same."""
    # A user's own reader may have its numbers from NumPy.
    return json.dumps(asdict(known), default=np.generic.item).encode()


def from_json(text: bytes) -> Known:
    """What is known, from ``as_json``.

    Raises
    ------
    KeyError, TypeError, ValueError
        When the text is none of its.
    """
    content = json.loads(text)
    facts = content["facts"]
    facts["level_dimensions"] = tuple(Size(*size) for size in facts["level_dimensions"])
    facts["level_downsamples"] = tuple(facts["level_downsamples"])
    facts["bounds"] = Box(*facts["bounds"])
    facts["background"] = tuple(facts["background"])
    return Known(content["reader"], Facts(**facts))


class DeferredReader(FactsReader):
    """A ``WSIReader`` of a slide that somebody else can open.

    Parameters
    ----------
    path, name
        As of the slide.
    known
        What is known of it.
    open_reader
        Opens it, or has it open; whose reader it is, closes it.
    """

    def __init__(
        self, path: Path, name: str, known: Known, open_reader: Callable[[], WSIReader]
    ) -> None:
        super().__init__(path, name, known.facts)
        self._open_reader = open_reader

    @property
    def properties(self) -> Mapping[str, str]:
        """All metadata of the file, as text."""
        return self._open_reader().properties

    def read_region(
        self,
        location: tuple[int, int],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Pixels of a box at a resolution: see ``WSIReader.read_region``."""
        return self._open_reader().read_region(location, shape, resolution, bounded)

    def thumbnail(self, size: Size) -> Pixels:
        """The whole bounded area, area-averaged to exactly ``size``."""
        return self._open_reader().thumbnail(size)

    def close(self) -> None:
        """Nothing is open here."""
