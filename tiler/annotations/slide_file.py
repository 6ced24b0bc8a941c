"""The annotation file of a slide: found by a path template, placed in the slide's frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import escape, glob, has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from tiler.annotations.file import Annotations, read_annotations
from tiler.annotations.shapes import AnnotationError, shapely
from tiler.cover.terms import Cover, Geometry, of_polygons
from tiler.errors import ConfigError, LabelError, MaskError, SlideError
from tiler.geometry import Extent
from tiler.protocols import WSIReader
from tiler.storage.safe_text import listed

Origin = Literal["auto", "slide", "bounds"]
Missing = Literal["fail", "empty", "all"]


@dataclass(frozen=True)
class SlideFile:
    """The place of a slide's annotations, and their frame.

    Parameters
    ----------
    path
        The file; ``{slide}`` in it stands for the slide's name. It may contain ``*`` and ``?``.
    origin
        The point that coordinates count from: the corner of the ``slide``, or of its ``bounds``.
        ``auto`` is ``bounds`` for GeoJSON, because QuPath crops slides to their bounds, and
        ``slide`` for XML.
    missing
        The meaning of a slide without annotations: ``fail`` fails it, ``empty`` has no area,
        ``all`` is the whole slide.
    group
        The config group, for errors.

    Raises
    ------
    ConfigError
        If a value is invalid; the error names it.
    """

    path: str
    origin: Origin = "auto"
    missing: Missing = "fail"
    group: str = "mask"

    def __post_init__(self) -> None:
        if find_spec("shapely") is None:
            raise ConfigError(
                f"{self.group}=annotation needs shapely; run: pip install 'tiler[annotations]'"
            )
        if not isinstance(self.path, str) or self.path in ("", ".") or "\0" in self.path:
            raise ConfigError(
                f"{self.group}.path={self.path!r} is invalid; use the path of an annotation file"
            )
        for field, known in (("origin", Origin), ("missing", Missing)):
            value, options = getattr(self, field), get_args(known)
            if value not in options:
                raise ConfigError(
                    f"{self.group}.{field}={value!r} is invalid; use {', '.join(options)}"
                )

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the annotation files of a slide: one, unless the path has wildcards."""
        literal = Path(self.path.replace("{slide}", slide_name))
        exists = os.path.exists(literal)  # noqa: PTH110 - Path.exists raises if a name is too long
        if exists or not has_magic(self.path.replace("{slide}", "")):
            return (literal,)
        found = glob(self.path.replace("{slide}", escape(slide_name)))
        return tuple(Path(file) for file in sorted(found))

    def read(self, source: WSIReader) -> Annotations | None:
        """Read a slide's annotations; None if there are none and ``missing`` allows it.

        Raises
        ------
        MaskError, LabelError
            If there is no file, or several; or it cannot be used, or contains no areas.
        """
        files = self.inputs(source.name)
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:3])
            what = f"{self.group}.path={self.path} matches {len(files)} files ({names})"
            raise self._error(source, f"{what}; keep one, or make the path exact")
        try:
            found = read_annotations(files[0]) if files else None
        except FileNotFoundError:
            found = None
        except AnnotationError as error:
            raise self._error(source, f"annotation {files[0]} {error}") from None
        if found is not None and found.areas:
            return found
        if self.missing != "fail":
            return None
        fix = f"draw annotations, or set {self.group}.missing=empty"
        if found is None:
            place = files[0] if files else self.path.replace("{slide}", source.name)
            raise self._error(source, f"annotation {place} does not exist; {fix}")
        raise self._error(source, f"annotation {files[0]} contains no areas{_beside(found)}; {fix}")

    def cover(self, drawn: Geometry, found: Annotations, source: WSIReader) -> Cover:
        """Return the cover of a slide by polygons in the file's pixels.

        Raises
        ------
        MaskError, LabelError
            If the polygons cannot be cut at the slide's bounds.
        """
        lib = shapely()
        try:
            return of_polygons(self._placed(drawn, found, source), extent_of(source))
        except lib.errors.GEOSException as error:
            raise self._error(
                source, f"annotation {self.inputs(source.name)[0]}: {error}"
            ) from None

    def notes(self, found: Annotations | None, source: WSIReader) -> Iterator[str]:
        """Yield remarks on a slide's annotations for the slide's row."""
        name = next((file.name for file in self.inputs(source.name)), "annotation")
        if found is None:
            place = self.path.replace("{slide}", source.name)
            yield f"{self.group}.missing={self.missing}: no annotations in {Path(place).name}"
            return
        if found.repaired:
            yield f"{name}: polygons that cross themselves, repaired: {found.repaired}"
        if found.collapsed:
            yield f"{name}: polygons without area, ignored: {found.collapsed}"
        parts = [self._placed(one, found, source) for some in found.parts.values() for one in some]
        lib = shapely()
        whole = lib.box(0, 0, *extent_of(source))
        outside = sum(not bool(inside) for inside in lib.intersects(whole, parts))
        if outside:
            yield f"{name}: polygons outside the slide's bounds: {outside} of {len(parts)}"

    def absent(
        self, field: str, wanted: Sequence[str], found: Annotations, source: WSIReader
    ) -> Iterator[str]:
        """Yield a remark if some of the wanted classes are not in the file."""
        lacking = [name for name in wanted if name not in found.areas]
        if lacking:
            name = self.inputs(source.name)[0].name
            yield (
                f"{self.group}.{field}: {name} has no class {listed(lacking)}; it has"
                f" {listed(sorted(found.areas))}"
            )

    def _placed(self, drawn: Geometry, found: Annotations, source: WSIReader) -> Geometry:
        """Return polygons of a file in level-0 pixels from the corner of the slide's bounds."""
        if self.origin == "bounds" or (self.origin == "auto" and found.format == "geojson"):
            return drawn
        corner = source.bounds[:2]
        return shapely().transform(drawn, lambda points: points - corner) if any(corner) else drawn

    def _error(self, source: WSIReader, what: str) -> SlideError:
        return (MaskError if self.group == "mask" else LabelError)(source.name, what)


def extent_of(source: WSIReader) -> Extent:
    """Return the size of a slide's bounded area in level-0 pixels."""
    return Extent(float(source.bounds.width), float(source.bounds.height))


def class_names(field: str, names: object, *, may_be_empty: bool = False) -> tuple[str, ...] | None:
    """Return a setting that lists classes as a tuple; None if it is not set.

    Raises
    ------
    ConfigError
        If it is not a list of texts.
    """
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ConfigError(f"{field}={names!r} is invalid; use a list, such as [tumor,stroma]")
    if not (names or may_be_empty):
        raise ConfigError(f"{field}=[] is empty; list a name, or use null")
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{field}={names!r} contains a value that is not text; quote it")
    return tuple(dict.fromkeys(names))


def _beside(found: Annotations) -> str:
    """Return the counts of a file's objects without area, as text."""
    counts = {
        "polygons without area": found.collapsed,
        "points and lines": found.without_area,
        "detections or tiles": found.others,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f", only {' and '.join(parts)}" if parts else ""
