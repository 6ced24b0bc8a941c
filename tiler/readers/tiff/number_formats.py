"""Formats of numbers and text in TIFF files."""

from __future__ import annotations

from typing import NamedTuple

# Types of TIFF 6.0, its Technical Note 1 and BigTIFF, as struct and NumPy spell them.
TYPES = {1: "s", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii",
          11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip


class ByteLayout(NamedTuple):
    """The formats of a TIFF's numbers, as ``struct`` spells them.

    Attributes
    ----------
    order
        The byte order.
    first
        The position of the first directory's offset.
    entries
        A directory's number of entries.
    entry
        An entry: tag, type, number of values, and the values or their position.
    place
        A position in the file.
    """

    order: str
    first: int
    entries: str
    entry: str
    place: str


_CLASSIC, _BIG = (4, "H", "HHI4s", "I"), (8, "Q", "HHQ8s", "Q")
LAYOUTS = {
    b"II*\0": ByteLayout("<", *_CLASSIC),
    b"MM\0*": ByteLayout(">", *_CLASSIC),
    b"II+\0": ByteLayout("<", *_BIG),
    b"MM\0+": ByteLayout(">", *_BIG),
}


def text_of(data: bytes) -> str:
    """Return a tag's text without trailing NUL bytes."""
    data = data.rstrip(b"\0")
    try:
        return data.decode().strip()
    except UnicodeDecodeError:  # the encoding of scanners on Windows
        return data.decode("cp1252", "replace").strip()
