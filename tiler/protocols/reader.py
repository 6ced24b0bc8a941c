"""Protocols of an open slide, and the arrays that it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tiler.geometry import Box, Size
from tiler.resolution import Resolution

Pixels = npt.NDArray[np.uint8]
"""uint8 RGB, (height, width, 3)."""

Mask = npt.NDArray[np.bool_]
"""bool (height, width), True = tissue; stretched over the slide's bounded area."""


class WSIReader(Protocol):
    """An open slide."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def name(self) -> str:
        """The slide's name in outputs: the file's stem, or its id in a run."""

    @property
    def dimensions(self) -> Size:
        """The size of level 0, in pixels."""

    @property
    def bounds(self) -> Box:
        """The scanned area in level-0 pixels; the whole slide if the file names none."""

    @property
    def level_dimensions(self) -> Sequence[Size]:
        """Each level's size in its own pixels, finest first."""

    @property
    def level_downsamples(self) -> Sequence[float]:
        """Level-0 pixels per pixel of each level, finest first."""

    @property
    def mpp(self) -> float | None:
        """Microns per level-0 pixel; None when unknown or not to be trusted."""

    @property
    def magnification(self) -> float | None:
        """Objective power of level 0; None when unknown."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """The origin of ``mpp`` and ``magnification``, or the reason why they are missing."""

    @property
    def properties(self) -> Mapping[str, str]:
        """All metadata of the file, as text. May name people: never written to outputs."""

    def thumbnail(self, size: Size) -> Pixels:
        """Return the whole bounded area, area-averaged to exactly ``size``."""

    def read_region(
        self,
        location: tuple[float, float],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Return the pixels of a box at a resolution.

        Parameters
        ----------
        location
            Top-left (x, y) in pixels of the target resolution, counted from the corner of the
            bounds if ``bounded``, else from the slide's. A fraction moves every pixel by that
            share: each is the area mean of its own footprint. Only context tiles use fractions.
        shape
            (width, height) in the same pixels.
        resolution
            The target resolution.
        bounded
            Whether ``location`` is relative to the bounds' corner, or to the slide's.

        Returns
        -------
        numpy.ndarray
            uint8 RGB, (height, width, 3). Pixels outside the scan are background.
        """

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> WSIReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class NativeTiles(Protocol):
    """A reader that can return a slide's native tiles as they are stored."""

    def native_jpeg(
        self, location: tuple[int, int], shape: tuple[int, int], resolution: Resolution
    ) -> bytes:
        """Return the JPEG file of the native tile of a box; raise ``SlideError`` without one."""


@runtime_checkable
class HasProfile(Protocol):
    """A reader that knows the colour profile of a slide's pixels."""

    @property
    def icc_profile(self) -> bytes | None:
        """Return the ICC profile in the file; None if there is none.

        ``SlideError`` if there is one that cannot be read.
        """


@dataclass(frozen=True)
class SlideEntry:
    """A slide of a run.

    Attributes
    ----------
    path
        The file, for this process.
    slide_id
        Its name in outputs, if the user chose one.
    expected_sha256
        The hash that the file must have, if the user gave one.
    overrides
        Configuration keys and their values as text, for this slide alone.
    line
        The line of the slide in its table.
    given
        The path as the user wrote it, for outputs: they contain no other path.
    base
        The folder that ``given`` is relative to, as the user wrote it.
    columns
        The user's columns for ``slides.csv``, by name.
    problem
        The reason why there is no file to open, such as an unreadable folder; else empty.
    """

    path: Path
    slide_id: str | None = None
    expected_sha256: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    line: int | None = field(default=None, compare=False)
    given: str = field(default="", compare=False)
    base: str = field(default=".", compare=False)
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    problem: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.given:
            object.__setattr__(self, "given", str(self.path))


class ReaderFactory(Protocol):
    """A function that opens a slide; the ``reader`` group of the configuration builds it."""

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader: ...
