"""What the parts must be able to do. No implementation here, and no registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tiler.geometry import Box, Size
from tiler.regions import RegionSpec
from tiler.resolution import Resolution
from tiler.written import WrittenFile

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
        """Level 0, in pixels."""

    @property
    def bounds(self) -> Box:
        """The scanned area in level-0 pixels; the whole slide where it names none."""

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
        """For ``mpp`` and ``magnification``: where the number came from, or why there is none."""

    @property
    def properties(self) -> Mapping[str, str]:
        """All metadata of the file, as text. May name people: never written to outputs."""

    def thumbnail(self, size: Size) -> Pixels:
        """The whole bounded area, area-averaged to exactly ``size``."""

    def read_region(
        self,
        location: tuple[int, int],
        shape: tuple[int, int],
        resolution: Resolution,
        bounded: bool = True,
    ) -> Pixels:
        """Pixels of a box at a resolution.

        Parameters
        ----------
        location
            Top-left (x, y) in whole pixels of the target resolution, counted from the corner of
            the bounds if ``bounded``, else from the slide's.
        shape
            (width, height) in the same pixels.
        resolution
            The target resolution.
        bounded
            Which corner ``location`` counts from.

        Returns
        -------
        numpy.ndarray
            uint8 RGB, (height, width, 3). What lies outside the scan is background.
        """

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> WSIReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class NativeTiles(Protocol):
    """A reader that can hand out a slide's own tiles as they are stored."""

    def native_jpeg(
        self, location: tuple[int, int], shape: tuple[int, int], resolution: Resolution
    ) -> bytes:
        """The JPEG file of the native tile that a box coincides with; else a ``SlideError``."""


@dataclass(frozen=True)
class SlideEntry:
    """A slide that somebody asked for.

    Attributes
    ----------
    path
        The file, for this process.
    slide_id
        Its name in outputs, where the user chose one.
    expected_sha256
        What the file's hash has to be, where the user said so.
    overrides
        Configuration keys and their values as text, for this slide alone.
    line
        Of the table that it stands in.
    given
        The path as the user wrote it, for outputs: they tell nothing that the user did not write.
    base
        The folder that ``given`` counts from, as the user wrote it.
    columns
        Columns of the user's own for ``slides.csv``, by their names.
    problem
        Why there is no file to open here, such as a folder that cannot be listed; empty if there
        may be one.
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
    """Opens a slide: what the ``reader`` group of the configuration builds."""

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader: ...


class MaskProvider(Protocol):
    """Finds the tissue of a slide.

    Three more attributes are optional. ``threshold``: a number at which a map of fractions is cut.
    ``thresholds``: True where a mask of the whole slide, or of nothing, is worth a warning.
    ``why_empty(source)``: a method that explains, in a few words, why there is no tissue.
    """

    def generate(self, source: WSIReader) -> Mask:
        """Return a mask of any size, stretched over the slide's bounded area.

        A bool array (height, width), True = tissue; or whole numbers of which one is 0, or floats
        of 0 and 1 alone. Other floats need the attribute ``threshold``: tissue reaches it.
        """


@runtime_checkable
class ReadsFiles(Protocol):
    """A mask provider that reads more than the slide, so that a change there is noticed."""

    def inputs(self, slide_name: str) -> Sequence[Path]:
        """The files beside the slide that its mask is made from."""


@dataclass(frozen=True)
class FailedTile:
    """A tile that could not be read, and why."""

    region: RegionSpec
    cause: str


@dataclass(frozen=True)
class Exported:
    """What an exporter did on one slide."""

    files: Sequence[WrittenFile]
    failed: tuple[FailedTile, ...] = ()
    blank_digest: str = ""
    """The SHA-256 of the file of a tile that is background throughout; set by the run."""


class Exporter(Protocol):
    """Writes what was found on one slide into its folder."""

    @property
    def per_tile(self) -> bool:
        """Whether it works tile by tile, so that its regions may be split among workers."""

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write files into ``folder``, which exists.

        An exporter that works tile by tile gets an empty mask, (0, 0).
        """


LeftOut = Literal["below_threshold", "unreadable"]
"""Why a cell with tissue was not kept: its coverage, or an error while it was read."""


@runtime_checkable
class ShowsLeftOut(Protocol):
    """An exporter that shows cells that were not kept as well."""

    def export_all(
        self,
        source: WSIReader,
        regions: Sequence[RegionSpec],
        left_out: Mapping[LeftOut, Sequence[RegionSpec]],
        mask: Mask,
        folder: Path,
    ) -> Exported:
        """Write files into ``folder``: called instead of ``export``."""


@runtime_checkable
class EncodesTiles(Protocol):
    """An exporter of one file per tile that depends on its pixels alone. It is hashable."""

    def encoded(self, pixels: Pixels) -> bytes:
        """The file of a tile with these pixels; empty where it does not depend on them alone."""


@runtime_checkable
class LinksFiles(Protocol):
    """An exporter of one file per tile that may link what another job wrote: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def link(self) -> bool:
        """Whether it is to."""

    @property
    def encoding(self) -> Mapping[str, object]:
        """Everything that its files' bytes depend on, beside the pixels."""

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Where a tile's file lies, below the slide's folder."""


@runtime_checkable
class NamesTiles(Protocol):
    """An exporter of one file per tile that tells its name, for tables that list it."""

    @property
    def naming(self) -> Mapping[str, object]:
        """Everything that the names depend on, beside the slide and the tile."""

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Where a tile's file lies, below the slide's folder."""


@runtime_checkable
class WritesTiles(Protocol):
    """An exporter of one file per tile that tells of each, so that a run can go on from there."""

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Where a tile's file lies, below the slide's folder."""

    def export_each(
        self, source: WSIReader, regions: Sequence[RegionSpec], folder: Path
    ) -> Iterator[WrittenFile | FailedTile]:
        """Write a file per region, as ``export`` does; what came of each, in any order."""


@runtime_checkable
class ListsTiles(Protocol):
    """An exporter of a table that can name each tile's file: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def file(self) -> bool | None:
        """Whether it is to; None for where there is an exporter that names tiles."""

    @property
    def tiles(self) -> NamesTiles | None:
        """What names them."""


RunStatus = Literal["finished", "failed", "killed"]
"""How a run ended: all well, with something missing, or interrupted."""


class Tracker(Protocol):
    """Tells a tracking system of one run: a whole sweep, a job of one, or a run by itself.

    It may raise what it likes: that is said once and costs the run nothing.
    """

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Begin.

        Parameters
        ----------
        name
            For people; not unique.
        parameters
            The configuration, flattened to dotted keys.
        parent
            What ``start`` gave back for the sweep that the run is a job of; None for others.

        Returns
        -------
        str
            The run's id, handed to the jobs of a sweep as their parent.
        """

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Take the run's numbers so far, after ``number`` slides."""

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Take the last numbers, and files worth keeping, by their names in the run's folder."""
