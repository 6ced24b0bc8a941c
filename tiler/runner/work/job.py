"""The job and the result of one slide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiler.errors import ExitCode, UnforeseenError
from tiler.extractor import TileExtractor
from tiler.protocols import Exporter, ReaderFactory, ReadsFiles, Transform
from tiler.resolution import Resolution
from tiler.runner.store.code import code_version, users_codes
from tiler.runner.store.fingerprint import settled_hash

DONE = ("done", "done_empty")
STATUSES = (*DONE, "failed", "interrupted")
"""Statuses of a slide, those of a finished one first. A slide not begun is ``interrupted``."""


@dataclass(frozen=True)
class DroppedTile:
    """A tile that was left out because it could not be read: its position and the cause."""

    x: int
    y: int
    cause: str


_NOT_GIVEN: Any = object()
DROPPED = "dropped_"
"""Begins the columns of ``slides.csv`` that count the cells that a filter or label rule drops."""


@dataclass(frozen=True)
class SlideJob:
    """One slide and everything that is needed to tile it; pickles into a worker.

    Attributes
    ----------
    path, slide_id
        The slide's file, and its name in outputs, unique in a run.
    open_reader
        Opens the slide.
    extractor
        An extractor that is not fitted; every use works on a copy.
    exporters
        The exporters by their names in the configuration.
    settings
        The configuration that shapes the output of this slide, as plain values.
    on_bad_tile, max_bad_fraction
        ``fail`` or ``drop``; with ``drop``, the share of unreadable tiles of a slide that is done.
    expected_sha256, cache
        The hash that the file must have, and the folder of masks and grids; None for none.
    given
        ``path`` as the user wrote it, for outputs.
    columns
        The user's own columns of the slide's row in ``slides.csv``, by name.
    problem
        Why there is no file to open at ``path``; empty if there may be one.
    code, tiler_code
        See ``users_codes`` and ``code_version``; by default those of this process.
    kept, dropped
        Other exporters, whose files of an earlier run stay; the tiles that their files lack.
    measure_from
        The lowest threshold of the sweep: lower cells are not scored; None for the job's own.
    pyramid
        The resolutions of the tiles' parents, the finest first.
    transforms, on_bad_fit
        The transforms by name, in their order; ``fail`` or ``raw`` for a slide without a fit.
    plan_share, from_table
        The number of workers whose threads its plan may use; the keys that a table sets for it.
    """

    path: Path
    slide_id: str
    open_reader: ReaderFactory
    extractor: TileExtractor
    exporters: Mapping[str, Exporter]
    settings: Mapping[str, Any]
    on_bad_tile: str = "fail"
    max_bad_fraction: float = 0.0
    expected_sha256: str | None = None
    cache: Path | None = None
    given: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    code: Mapping[str, str] = _NOT_GIVEN
    tiler_code: str = _NOT_GIVEN
    kept: tuple[str, ...] = ()
    dropped: tuple[DroppedTile, ...] = ()
    measure_from: float | None = None
    pyramid: tuple[Resolution, ...] = ()
    plan_share: int = 1
    from_table: tuple[str, ...] = ()
    transforms: Mapping[str, Transform] = field(default_factory=dict)
    on_bad_fit: str = "fail"

    def __post_init__(self) -> None:
        if self.tiler_code is _NOT_GIVEN:
            object.__setattr__(self, "tiler_code", code_version())
        if self.code is _NOT_GIVEN:  # a worker has the run's: pickles are made of values
            parts = self.open_reader, self.extractor, self.exporters
            object.__setattr__(self, "code", users_codes(self.settings, *parts))

    @property
    def shows_candidates(self) -> bool:
        """True if an exporter shows cells that were not kept."""
        names = ("export_all", "export_candidates")
        return any(hasattr(it, name) for it in self.exporters.values() for name in names)

    def inputs(self) -> tuple[Path, ...]:
        """Return the files beside the slide that shape its output."""
        found: list[Path] = []
        for component in (self.extractor.mask_provider, self.extractor.labels):
            # The protocol is checked last, because its check is slow.
            if hasattr(component, "inputs") and isinstance(component, ReadsFiles):
                found += component.inputs(self.slide_id)
        return tuple(found)

    def input_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of the files beside the slide that shape its output, by their names.

        It is empty for a file that cannot be read: the component that needs it reports the error.
        Files of one name in different folders get numbers: ``drawn.xml#2``.
        """
        found: dict[str, str] = {}
        for path in dict.fromkeys(self.inputs()):
            name, number = path.name, 2
            while name in found:
                name, number = f"{path.name}#{number}", number + 1
            found[name] = _hash_or_none(path)
        return found


def _hash_or_none(path: Path) -> str:
    try:
        return settled_hash(path)
    except OSError:
        return ""


@dataclass(frozen=True)
class SlideRow:
    """A slide's line in ``slides.csv``; empty where a slide did not get that far.

    Attributes
    ----------
    slide_id, status, reason
        Status is one of ``STATUSES``; the reason says why it is not ``done``.
    candidates, kept
        Grid cells looked at, and tiles that were written.
    below_threshold
        Cells with too little tissue.
    filtered
        Cells that reach the threshold, but that a filter or a label rule drops, by its name: the
        columns ``dropped_<name>``.
    not_sampled
        Cells that pass all rules, but that the sampler does not choose.
    dropped
        Tiles that passed but could not be read.
    blank_native_tiles
        Native tiles that the file leaves out (no offset and no bytes), under the tiles that passed,
        in the level that they are read from; empty where the format does not list them.
    blank_tiles
        Tile images that are the slide's background throughout: nothing was scanned there.
    coverage
        Mean tissue share of the tiles kept.
    mask_fraction
        Share of the mask that is tissue.
    tissue_mm2
        Area of the mask, where the mpp is known.
    requested
        The requested resolution.
    downsample
        Level-0 pixels per tile pixel.
    effective_mpp
        Microns per tile pixel, where known.
    mpp, mpp_source, magnification, magnification_source
        Those of level 0, and the source of each, or the reason why it is not known.
    reader
        The class that read the slide.
    notes
        Remarks: the image of the file that was tiled, images that are not levels, and others.
    bytes
        The total size of all files written for it.
    path
        The slide's file as the user wrote it; relative ones count from ``slides.base`` of
        ``run.json``.
    output
        What ``slides/<slide_id>`` contains: ``current`` for this run's output, ``earlier`` for that
        of an earlier run which could not be replaced, empty for none.
    seconds
        Time spent on it.
    code
        The code of the error that the slide failed with, such as ``E_READ``. It is no column of its
        own: ``reason`` begins with it.
    """

    slide_id: str
    status: str
    reason: str = ""
    candidates: int = 0
    kept: int = 0
    below_threshold: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    not_sampled: int = 0
    dropped: int = 0
    blank_native_tiles: int | None = None
    blank_tiles: int = 0
    coverage: float | None = None
    mask_fraction: float | None = None
    tissue_mm2: float | None = None
    requested: str = ""
    downsample: float | None = None
    effective_mpp: float | None = None
    mpp: float | None = None
    mpp_source: str = ""
    magnification: float | None = None
    magnification_source: str = ""
    reader: str = ""
    notes: str = ""
    bytes: int = 0
    path: str = ""
    output: str = ""
    seconds: float = field(default=0.0, compare=False)
    code: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        numbers = {**vars(self), **{DROPPED + name: n for name, n in self.filtered.items()}}
        for name, value in numbers.items():
            if isinstance(value, (int, float)) and not 0 <= value < math.inf:
                raise ValueError(f"{name} {value!r} is out of range")

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run whose only slide this is."""
        if self.status != "failed":
            return ExitCode.DONE
        return ExitCode.BUG if self.code == UnforeseenError.code else ExitCode.SLIDE_FAILED

    def cells(self) -> dict[str, object]:
        """Return the row's values by column."""
        values = {**vars(self), **{DROPPED + name: n for name, n in self.filtered.items()}}
        del values["code"], values["filtered"]
        return values
