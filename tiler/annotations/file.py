"""One annotation file: its format, its classes, and their areas."""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tiler.annotations.geojson import geojson_shapes
from tiler.annotations.shapes import AnnotationError, Shapes, shapely
from tiler.annotations.xml import xml_shapes
from tiler.cover.terms import Geometry, united

MAX_BYTES = 256 << 20
"""Maximum bytes of a file, after unpacking."""

_ACCESS = "check the file and its permissions"

_GZIP = b"\x1f\x8b"
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ENCODINGS = {"us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"}
"""Encodings that an XML file may declare, beside Unicode's."""


@dataclass(frozen=True)
class Annotations:
    """The areas of a file's annotations.

    Attributes
    ----------
    areas
        For each class the union of its annotations, a valid shapely geometry in the file's pixels.
    parts
        For each class its single annotations.
    format
        ``geojson`` or ``xml``.
    repaired
        The number of annotations that were invalid, such as those that crossed themselves.
    collapsed
        The number of polygons without area.
    without_area
        The number of points and lines.
    others
        The number of objects that are not annotations.
    """

    areas: Mapping[str, Geometry]
    parts: Mapping[str, Sequence[Geometry]]
    format: str
    repaired: int = 0
    collapsed: int = 0
    without_area: int = 0
    others: int = 0

    def union(self, classes: Sequence[str]) -> Geometry:
        """Return the union of some classes; a class that is not there covers nothing."""
        there = [name for name in classes if name in self.areas]
        if len(there) == 1:
            return self.areas[there[0]]
        return united([one for name in there for one in self.parts[name]])


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file: QuPath GeoJSON (also gzipped), ASAP XML or Aperio XML.

    The last files are remembered: masks and labels may read the same one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationError
        If the file cannot be used.
    ConfigError
        If shapely is not installed.
    """
    shapely()
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot be read ({error})", _ACCESS) from None
    if not stat.S_ISREG(facts.st_mode):
        raise AnnotationError("is not a regular file", "use a file")
    return _read(path, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=2)
def _read(path: Path, identity: tuple[int, ...]) -> Annotations:
    file_format, found = _shapes(_unpacked(path))
    parts: dict[str, list[Geometry]] = {}
    there = [shape for shape in found.areas if not shape.geometry.is_empty]
    for shape in there:
        parts.setdefault(shape.name, []).append(shape.geometry)
    try:
        areas = {name: united(some) for name, some in parts.items()}
    except shapely().errors.GEOSException as error:
        raise AnnotationError(f"has polygons that cannot be united ({error})") from None
    return Annotations(
        areas,
        parts,
        file_format,
        repaired=sum(shape.repaired for shape in there),
        collapsed=len(found.areas) - len(there),
        without_area=found.without_area,
        others=found.others,
    )


def _shapes(data: bytes) -> tuple[str, Shapes]:
    text = _text(data).lstrip()
    if not text:
        raise AnnotationError("is empty")
    if text.startswith("<"):
        return "xml", xml_shapes(text)
    if not text.startswith(("{", "[")):
        raise AnnotationError("is neither GeoJSON nor XML")
    return "geojson", geojson_shapes(text)


def _text(data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    declared = _DECLARED.match(data)
    if declared and declared[1].decode().lower() in _ENCODINGS:
        encoding = declared[1].decode()
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise AnnotationError(f"is not text in {encoding.upper()}", "save it as UTF-8") from None


def _unpacked(path: Path) -> bytes:
    """Return a file's bytes, unpacked if it is gzipped."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise AnnotationError(f"cannot be read ({error})", _ACCESS) from None
    if len(data) > MAX_BYTES:
        raise AnnotationError(f"is larger than {MAX_BYTES:,} bytes", "export annotations alone")
    return data
