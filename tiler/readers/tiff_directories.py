"""The directories of a TIFF: values of tags, and lists of file positions as arrays."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.number_formats import LAYOUTS, TYPES, text_of

Tags = Mapping[int, object]
"""A directory: by code a number, a tuple of numbers (two per fraction), bytes, text or an array."""

LISTS = frozenset({273, 279, 324, 325, 330})
"""Tags that are read as arrays: offsets and byte counts of strips and tiles, and SubIFDs. As Python
numbers those of a large slide take 40 MB."""

MAX_PAGES = 65_535
"""Maximum length of a chain of directories: slides have a dozen; older libtiff had this limit."""

_TILE_LISTS = LISTS - {330}
_MAX_INDEX = 64 << 20
_SUBIFDS = 330
_ASCII = 2
_MAX_ENTRIES = 4096
_MAX_VALUES = 1024
"""Maximum values of a tag that is not read as an array, to bound the memory."""

_MAX_BYTES = 1 << 28
"""Maximum bytes of all directories and their values, which may overlap: 16 million tiles."""

_NUMBER_BYTES = 40  # bytes of a Python number in a tuple

_POSITIONS = (13, 18)

MAGIC = tuple(LAYOUTS)
"""The first four bytes of a TIFF: classic or BigTIFF, in either byte order."""


@dataclass(frozen=True)
class Directories:
    """The directories of the pages in order, and the SubIFDs of the first page."""

    pages: tuple[Tags, ...]
    subifds: tuple[Tags, ...]


def is_tiff(file: TileFile) -> bool:
    """Return whether a file begins like a TIFF."""
    return file.read(0, 4) in MAGIC


def read_directories(file: TileFile, codes: Container[int]) -> Directories:
    """Return the directories of a TIFF.

    Parameters
    ----------
    file
        A file for which ``is_tiff`` is true.
    codes
        Codes of the tags to read; damage in others is ignored.

    Raises
    ------
    ValueError
        If a directory or a value is invalid or outside the file, or if there are more than in
        any slide.
    """
    source = _Source(file, codes)
    place = source.first_place()
    pages: dict[int, Tags] = {}
    while place or not pages:
        if place in pages:
            raise ValueError("they form a loop")
        if len(pages) == MAX_PAGES:
            raise ValueError(f"there are more than {MAX_PAGES:,}")
        pages[place], place = source.directory(place)
    first, *_ = pages.values()
    return Directories(tuple(pages.values()), source.below(first))


def read_subifds(file: TileFile, page: Tags, codes: Container[int]) -> tuple[Tags, ...]:
    """Return the directories in a page's SubIFDs.

    Parameters
    ----------
    file
        One that ``is_tiff``.
    page
        A directory that was read with the tag SubIFDs.
    codes
        Codes of the tags to read.

    Raises
    ------
    ValueError
        See ``read_directories``.
    """
    return _Source(file, codes).below(page)


def read_first(file: TileFile, codes: Container[int]) -> Tags:
    """Return the first page like ``read_directories``, even if other pages are damaged."""
    source = _Source(file, codes)
    return source.directory(source.first_place())[0]


def first_place(file: TileFile) -> int:
    """Return the position of the first directory.

    Raises
    ------
    ValueError
        If the file ends before this number.
    """
    return _Source(file, ()).first_place()


def index_pieces(file: TileFile) -> Iterator[bytes]:
    """Yield the bytes of each directory and of its lists of tiles, up to the first damage.

    Parameters
    ----------
    file
        One that ``is_tiff``.
    """
    source = _Source(file, ())
    with suppress(ValueError):
        place, seen, total = source.first_place(), set[int](), 0
        while place and place not in seen and len(seen) < MAX_PAGES:
            seen.add(place)
            raw, place = source.raw_directory(place)
            for piece in source.with_lists(raw, place):
                yield piece
                total += len(piece)
                if total >= _MAX_INDEX:  # overlapping lists may have any number of bytes
                    return


class _Source:
    """A TIFF of which at most ``_MAX_BYTES`` are read and kept."""

    def __init__(self, file: TileFile, codes: Container[int]) -> None:
        self._file = file
        self._codes = codes
        self._layout = LAYOUTS[file.read(0, 4)]
        self._entry = struct.Struct(self._layout.order + self._layout.entry)
        self._bytes_left = _MAX_BYTES

    def first_place(self) -> int:
        """Return the position of the first directory."""
        return self._number(self._layout.place, self._layout.first)

    def directory(self, place: int) -> tuple[Tags, int]:
        """Return a directory's tags, and the position of the next one; 0 if it is the last."""
        raw, following = self.raw_directory(place)
        tags: dict[int, object] = {}
        for tag, kind, count, field in self._entry.iter_unpack(raw):
            if tag in self._codes and tag not in tags:  # libtiff uses the first of two equal tags
                tags[tag] = self._value(tag, kind, count, field)
        return tags, following

    def raw_directory(self, place: int) -> tuple[bytes, int]:
        """Return a directory's stored entries, and the position of the next one."""
        layout = self._layout
        entries = self._number(layout.entries, place)
        if entries > _MAX_ENTRIES:
            raise ValueError(f"one of {entries:,} entries at byte {place:,}")
        start = place + struct.calcsize(f"={layout.entries}")
        raw = self._bytes(start, entries * self._entry.size)
        return raw, self._number(layout.place, start + len(raw))

    def with_lists(self, raw: bytes, following: int) -> Iterator[bytes]:
        """Yield a directory's stored bytes, and the lists of its tiles."""
        yield raw + struct.pack(self._layout.order + self._layout.place, following)
        for tag, kind, count, field in self._entry.iter_unpack(raw):
            length = count * struct.calcsize(f"={TYPES.get(kind, '')}")
            # A list of up to 4 bytes is in the entry. So is one of 8 in a BigTIFF; its number is
            # taken for a place nevertheless: fingerprints of earlier versions have those bytes.
            (place,) = struct.unpack(self._layout.order + self._layout.place, field)
            if tag in _TILE_LISTS and 4 < length < _MAX_INDEX and place < self._file.size:
                yield self._file.read(place, length)

    def below(self, page: Tags) -> tuple[Tags, ...]:
        """Return the tags of the directories in a page's SubIFDs."""
        places = page.get(_SUBIFDS, np.empty(0, np.uint64))
        if not isinstance(places, np.ndarray) or len(places) > _MAX_VALUES:
            raise ValueError("its SubIFDs are not a list of file positions")
        return tuple(self.directory(place)[0] for place in places.tolist())

    def _value(self, tag: int, kind: int, count: int, field: bytes) -> object:
        """Return a tag's value, from its entry or from the position that the entry states."""
        if kind not in TYPES:
            raise ValueError(f"tag {tag} has an unknown type, {kind}")
        if kind in _POSITIONS and tag not in LISTS:  # libtiff ignores it, so that defaults hold
            raise ValueError(f"tag {tag} has type {kind}, a directory's position")
        order, form = self._layout.order, TYPES[kind]
        listed = tag in LISTS and form in "HIQbhiq"
        if form != "s" and not listed and count > _MAX_VALUES:
            raise ValueError(f"tag {tag} has {count:,} values")
        size = count * struct.calcsize(f"={form}")
        if size > len(field):
            (place,) = struct.unpack(order + self._layout.place, field)
            data = self._bytes(place, size)
        else:
            data = field[:size]
        if form == "s":
            return text_of(data) if kind == _ASCII else data
        if listed:
            return np.frombuffer(data, order + form)
        self._bytes_left -= count * _NUMBER_BYTES
        values = struct.unpack(order + form * count, data)
        return values[0] if len(values) == 1 else values

    def _number(self, form: str, place: int) -> int:
        form = self._layout.order + form
        (number,) = struct.unpack(form, self._bytes(place, struct.calcsize(form)))
        return int(number)

    def _bytes(self, place: int, count: int) -> bytes:
        """Return bytes of the file; check the range before any allocation."""
        if not 0 <= place <= place + count <= self._file.size:
            raise ValueError(
                f"{count:,} bytes from {place:,}, but the file has {self._file.size:,}"
            )
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ValueError(f"they have more than {_MAX_BYTES:,} bytes")
        data = self._file.read(place, count)
        if len(data) < count:
            raise ValueError("the file has shrunk")
        return data
