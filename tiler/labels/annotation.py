"""Labels from annotation files: each cell's exact share of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy.typing as npt

from tiler.annotations.slide_file import Missing, Origin, SlideFile, class_names, extent_of
from tiler.cover.terms import Cover, nothing
from tiler.errors import ConfigError, LabelError
from tiler.geometry import is_number
from tiler.grid import Floats, settled
from tiler.labels.assign import Assign, labels_of
from tiler.protocols import WSIReader

MAX_CLASSES = 256
"""Maximum number of classes that a file may add as columns."""


@dataclass(frozen=True, kw_only=True)
class AnnotationLabels:
    """The classes of an annotation file: QuPath GeoJSON, ASAP XML or Aperio XML.

    Polygons of one class that overlap count once. Annotations without a class have the class
    ``unclassified``.

    Parameters
    ----------
    path
        The file; ``{slide}`` in it stands for the slide's name. It may contain ``*`` and ``?``.
    classes
        Classes that become columns; None for all of the file, in the order of their names.
    origin, missing
        See ``SlideFile``; ``missing=all`` does not exist for labels.
    assign, threshold
        The rule that gives a tile its label: see ``labels_of``. None gives no labels.
    keep
        Labels of tiles that are kept; None keeps all.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    path: str
    classes: Sequence[str] | None = None
    origin: Origin = "auto"
    missing: Missing = "fail"
    assign: Assign | None = "majority"
    threshold: float = 0.5
    keep: Sequence[str] | None = None

    def __post_init__(self) -> None:
        SlideFile(self.path, self.origin, self.missing, group="label")
        for field in ("classes", "keep"):
            names = class_names(f"label.{field}", getattr(self, field))
            object.__setattr__(self, field, names)
        if self.assign is not None and self.assign not in get_args(Assign):
            options = ", ".join(get_args(Assign))
            raise ConfigError(f"label.assign={self.assign!r} is invalid; use {options}, or null")
        if not (is_number(self.threshold) and 0 < self.threshold <= 1):
            raise ConfigError(
                f"label.threshold={self.threshold!r} is invalid; use a number above 0, up to 1"
            )
        if self.missing == "all":
            raise ConfigError("label.missing=all is invalid; use fail or empty")
        if self.keep is None:
            return
        if self.assign is None:
            raise ConfigError(f"label.keep={[*self.keep]} needs labels; set label.assign")
        unknown = set(self.keep) - {*(self.classes or self.keep), ""}
        if unknown:
            raise ConfigError(
                f"label.keep={[*self.keep]} contains {', '.join(sorted(unknown))}, which is not in"
                " label.classes; add it there"
            )

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the annotation files of a slide: one, unless the path has wildcards."""
        return self._file.inputs(slide_name)

    def covers(self, source: WSIReader) -> dict[str, Cover]:
        """Return the area of a slide that each class covers, by class.

        Raises
        ------
        LabelError
            If the file is missing or cannot be used, or has too many classes.
        """
        file = self._file
        found = file.read(source)
        if found is None:
            return {name: nothing(extent_of(source)) for name in self.classes or ()}
        classes = sorted(found.areas) if self.classes is None else self.classes
        if len(classes) > MAX_CLASSES:
            raise LabelError(
                source.name,
                f"{file.inputs(source.name)[0]} has {len(classes)} classes, more than"
                f" {MAX_CLASSES}; list those that you need in label.classes",
            )
        return {name: file.cover(found.union([name]), found, source) for name in classes}

    def shares(self, source: WSIReader, columns: Floats, rows: Floats) -> dict[str, Floats]:
        """Return each cell's exact share of each class, float64 (ny, nx), by class.

        Parameters
        ----------
        source
            The slide.
        columns, rows
            float64 (nx, 2) and (ny, 2): begin and end of columns and rows of cells, in level-0
            pixels from the corner of the slide's bounds.

        Raises
        ------
        LabelError
            See ``covers``.
        """
        columns, rows = settled(columns), settled(rows)
        return {name: cover.ratios(columns, rows) for name, cover in self.covers(source).items()}

    def assigned(self, shares: Mapping[str, Floats]) -> npt.NDArray[Any] | None:
        """Return the label of each cell, str (ny, nx), "" for none; None without ``assign``.

        Also None if there are no classes.
        """
        return labels_of(shares, self.assign, self.threshold) if self.assign and shares else None

    def notes(self, source: WSIReader) -> tuple[str, ...]:
        """Return remarks on a slide's annotations for the slide's row.

        Raises
        ------
        LabelError
            See ``covers``.
        """
        file = self._file
        found = file.read(source)
        notes = [*file.notes(found, source)]
        if found is not None:
            notes += file.absent("classes", self.classes or (), found, source)
        return tuple(notes)

    @property
    def _file(self) -> SlideFile:
        return SlideFile(self.path, self.origin, self.missing, group="label")
