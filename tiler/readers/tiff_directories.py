"""The directories of a TIFF: what its tags say, and its lists of file positions as arrays."""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tiler.readers.tiff_file import TileFile

Tags = Mapping[int, object]
"""A directory: by code a number, a tuple of them (a fraction is two), bytes, text or an array."""

LISTS = frozenset({324, 325, 330})  # TileOffsets, TileByteCounts, SubIFDs
"""Tags whose whole numbers are arrays: as Python's own, those of a large slide take 40 MB."""

_SUBIFDS = 330
_ASCII = 2
_MAX_ENTRIES = 4096
_MAX_VALUES = 1024
"""Of any tag that is no array: what is meant to have a few must not fill the memory."""

# Types of TIFF 6.0, its Technical Note 1 and BigTIFF, as struct and NumPy spell them.
_TYPES = {1: "s", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii",
          11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip


class _Layout(NamedTuple):
    """How a TIFF writes down its numbers."""

    order: str
    first: int  # where the place of the first directory is written
    entries: str
    entry: str
    place: str


_CLASSIC, _BIG = (4, "H", "HHI4s", "I"), (8, "Q", "HHQ8s", "Q")
_LAYOUTS = {
    b"II*\0": _Layout("<", *_CLASSIC),
    b"MM\0*": _Layout(">", *_CLASSIC),
    b"II+\0": _Layout("<", *_BIG),
    b"MM\0+": _Layout(">", *_BIG),
}


@dataclass(frozen=True)
class Directories:
    """Those of the pages, one after the other, and the SubIFDs of the first page."""

    pages: tuple[Tags, ...]
    subifds: tuple[Tags, ...]


def is_tiff(file: TileFile) -> bool:
    """Whether a file begins like a TIFF."""
    return file.read(0, 4) in _LAYOUTS


def read_directories(file: TileFile, wanted: Container[int]) -> Directories:
    """What a TIFF says of itself.

    Parameters
    ----------
    file
        One that ``is_tiff``.
    wanted
        Codes of the tags to read; what is wrong with others is not looked at.

    Raises
    ------
    ValueError
        When a directory or a value does not lie within the file, or is none.
    """
    layout = _LAYOUTS[file.read(0, 4)]
    (place,) = _unpack(file, layout.order + layout.place, layout.first)
    pages: dict[int, Tags] = {}
    while place or not pages:
        if place in pages:
            raise ValueError("they lead in a circle")
        pages[place], place = _directory(file, layout, place, wanted)
    first, *_ = pages.values()
    below = first.get(_SUBIFDS, np.empty(0, np.uint64))
    if not isinstance(below, np.ndarray) or len(below) > _MAX_VALUES:
        raise ValueError("its SubIFDs are no list of file positions")
    subifds = (_directory(file, layout, place, wanted)[0] for place in below.tolist())
    return Directories(tuple(pages.values()), tuple(subifds))


def _directory(
    file: TileFile, layout: _Layout, place: int, wanted: Container[int]
) -> tuple[Tags, int]:
    """A directory's tags, and where the next one lies; 0 for nowhere."""
    count, entry = (struct.Struct(layout.order + part) for part in (layout.entries, layout.entry))
    (entries,) = _unpack(file, count.format, place)
    if entries > _MAX_ENTRIES:
        raise ValueError(f"one of {entries:,} entries at byte {place:,}")
    start = place + count.size
    raw = _bytes(file, start, entries * entry.size)
    tags: dict[int, object] = {}
    for tag, kind, values, field in entry.iter_unpack(raw):
        if tag in wanted and tag not in tags:  # of two alike libtiff takes the first
            tags[tag] = _value(file, layout, tag, kind, values, field)
    (following,) = _unpack(file, layout.order + layout.place, start + len(raw))
    return tags, following


def _value(
    file: TileFile, layout: _Layout, tag: int, kind: int, count: int, field: bytes
) -> object:
    """A tag's value: in its field where it fits, else where the field says."""
    if kind not in _TYPES:
        raise ValueError(f"tag {tag} is of an unknown type, {kind}")
    form = _TYPES[kind]
    size = count * struct.calcsize(f"={form}")
    if size > len(field):
        (place,) = struct.unpack(layout.order + layout.place, field)
        data = _bytes(file, place, size)
    else:
        data = field[:size]
    if form == "s":
        return _text(data) if kind == _ASCII else data
    if tag in LISTS and form in "HIQbhiq":
        return np.frombuffer(data, layout.order + form)
    if count > _MAX_VALUES:
        raise ValueError(f"tag {tag} has {count:,} values")
    values = struct.unpack(layout.order + form * count, data)
    return values[0] if len(values) == 1 else values


def _text(data: bytes) -> str:
    data = data.rstrip(b"\0")
    try:
        return data.decode().strip()
    except UnicodeDecodeError:  # what scanners on Windows write
        return data.decode("cp1252", "replace").strip()


def _unpack(file: TileFile, form: str, place: int) -> tuple[int, ...]:
    return struct.unpack(form, _bytes(file, place, struct.calcsize(form)))


def _bytes(file: TileFile, place: int, count: int) -> bytes:
    """Bytes that are all there: a claim is checked before anything is allocated for it."""
    if place + count > file.size:
        raise ValueError(f"{count:,} bytes from {place:,}, but the file has {file.size:,}")
    data = file.read(place, count)
    if len(data) < count:
        raise ValueError("the file has shrunk")
    return data
