"""Tissue that somebody drew: annotation files as masks, without turning them into pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiler.annotations.slide_file import Missing, Origin, SlideFile, class_names, extent_of
from tiler.cover.terms import Cover, everything, nothing
from tiler.protocols import Mask, WSIReader
from tiler.storage.safe_text import listed


@dataclass(frozen=True, kw_only=True)
class AnnotationMask:
    """The areas of an annotation file: QuPath GeoJSON, ASAP XML or Aperio XML.

    Coverage is computed from the polygons, not from pixels.

    Parameters
    ----------
    path
        The file; ``{slide}`` in it stands for the slide's name. It may contain ``*`` and ``?``.
    classes
        Classes whose areas are tissue; None for all, unclassified annotations included.
    exclude
        Classes whose areas are removed.
    origin, missing
        See ``SlideFile``.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    path: str
    classes: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    origin: Origin = "auto"
    missing: Missing = "fail"

    def __post_init__(self) -> None:
        SlideFile(self.path, self.origin, self.missing)
        for field in ("classes", "exclude"):
            found = getattr(self, field)
            names = class_names(f"mask.{field}", found, may_be_empty=field == "exclude")
            object.__setattr__(self, field, names)

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the annotation files of a slide: one, unless the path has wildcards."""
        return self._file.inputs(slide_name)

    def cover(self, source: WSIReader) -> Cover:
        """Return the area of a slide that the annotations cover.

        Raises
        ------
        MaskError
            If the file is missing or cannot be used.
        """
        file = self._file
        found = file.read(source)
        if found is None:
            extent = extent_of(source)
            whole = everything(extent) if self.missing == "all" else nothing(extent)
            return whole.noted(file.notes(found, source))
        drawn = found.union(list(found.areas) if self.classes is None else self.classes)
        if self.exclude:
            drawn = drawn.difference(found.union(self.exclude))
        notes = [
            *file.notes(found, source),
            *file.absent("classes", self.classes or (), found, source),
            *file.absent("exclude", self.exclude or (), found, source),
        ]
        return file.cover(drawn, found, source).noted(notes)

    def generate(self, source: WSIReader) -> Mask:
        """Return a picture of the cover, bool (h, w)."""
        return self.cover(source).rendered()

    def why_empty(self, source: WSIReader) -> str:
        """Return the classes of the annotation, and those that were asked for."""
        file = self._file
        found = file.read(source)
        if found is None:
            return f"mask.missing={self.missing}, and there is no annotation"
        wanted = list(found.areas) if self.classes is None else self.classes
        name = file.inputs(source.name)[0].name
        there = f"{name} has the classes {listed(sorted(found.areas))}"
        if not any(wanted_one in found.areas for wanted_one in wanted):
            return f"{there}, but mask.classes is {listed(wanted)}"
        return f"{there}, outside the slide's bounds or excluded; check mask.origin"

    @property
    def _file(self) -> SlideFile:
        return SlideFile(self.path, self.origin, self.missing)
