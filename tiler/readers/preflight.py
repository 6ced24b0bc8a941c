"""Why a file is no slide: OpenSlide has one answer for everything, people need the right one."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from tiler.errors import OpenError
from tiler.readers.tiff_directories import MAGIC, Tags, is_tiff, read_directories, read_first
from tiler.readers.tiff_file import TileFile
from tiler.readers.tiff_layout import TAGS
from tiler.readers.tile_table import BYTE_COUNTS, HEIGHT, OFFSETS, TILE_HEIGHT, TILE_WIDTH, WIDTH

_TILING = (WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT)
_BITS, _SAMPLES = 258, 277  # tags of TIFF 6.0
_CONVERT = "convert it: vips tiffsave --tile --pyramid --bigtiff; or reader=image if it is small"


def look(path: Path, name: str) -> None:
    """Check that there is a file with something in it that may be read.

    Raises
    ------
    OpenError
        In words of its own for each: missing, a loop of links, a folder, empty, not permitted.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        what = "its link points to nothing" if path.is_symlink() else "there is no such file"
        raise OpenError(name, f"{path.name}: {what}; check the path") from None
    except OSError as error:
        raise OpenError(name, f"{path.name}: {error.strerror}; check the path") from error
    if stat.S_ISDIR(facts.st_mode):
        raise OpenError(name, f"{path.name} is a folder; give the slide's file inside it")
    if not stat.S_ISREG(facts.st_mode):
        raise OpenError(name, f"{path.name} is not a regular file")
    if facts.st_size == 0:
        raise OpenError(name, f"{path.name}: the file is empty (0 bytes); copy it again")
    if not os.access(path, os.R_OK):
        raise OpenError(name, f"{path.name}: permission denied; make it readable for this user")


def tiff_pages(path: Path) -> Sequence[Tags] | None:
    """The directories of a TIFF's pages; none for other files, None where they are damaged."""
    with closing(TileFile(path)) as file:
        try:
            return read_directories(file, TAGS).pages if is_tiff(file) else ()
        except (OSError, ValueError):
            return None


def check_claims(path: Path, name: str, pages: Sequence[Tags]) -> None:
    """Refuse a TIFF whose lists of tiles OpenSlide would take at their word.

    For a tile that claims more bytes than the file has it asks for that much memory, and ends the
    process when it does not get it; tiles that are not listed it takes for blank.

    Raises
    ------
    OpenError
        Naming the claim.
    """
    size = path.stat().st_size
    for tags in pages:
        if wrong := _wrong_lists(tags, size):
            raise OpenError(name, f"{path.name}: {wrong}; copy the slide again")


def _wrong_lists(tags: Tags, file_size: int) -> str | None:
    """What a page claims of its tiles that cannot be, if it has any."""
    offsets, counts = tags.get(OFFSETS), tags.get(BYTE_COUNTS)
    if not isinstance(offsets, np.ndarray) or not isinstance(counts, np.ndarray):
        return None
    most = int(counts.max(initial=0))
    if most > file_size:
        return f"a native tile of {most:,} bytes, but the file has {file_size:,}"
    match [tags.get(tag) for tag in _TILING]:
        case int(width), int(height), int(across), int(down) if across > 0 and down > 0:
            needed, listed = (
                -(-width // across) * -(-height // down),
                min(len(offsets), len(counts)),
            )
            if listed < needed:
                return f"{width}x{height} pixels are {needed} native tiles, but {listed} are listed"
    return None


def diagnosis(path: Path, message: str) -> str:
    """What is wrong with a file that OpenSlide refused, as far as its bytes tell.

    Parameters
    ----------
    path
        A file that ``look`` let pass.
    message
        OpenSlide's own words, used where nothing better is known.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
    if path.suffix.lower() == ".mrxs" and not (path.with_suffix("") / "Slidedat.ini").is_file():
        return (
            f"{path.name}: the MIRAX slide's data folder {path.stem!r} beside it is missing or has"
            " no Slidedat.ini; copy the folder too"
        )
    if head.startswith(MAGIC):
        return _tiff_diagnosis(path, head, size) or f"{path.name}: {message}"
    if head.lstrip()[:1] in (b"<", b"%", b"{") or _is_text(head):
        start = head.decode("latin-1").split("\n")[0].strip()[:30]
        return f"{path.name} is not a slide: it starts with {start!r}; get the file again"
    return f"{path.name}: not recognised as a slide ({size:,} bytes; OpenSlide: {message})"


def check_depth(path: Path, name: str) -> None:
    """Refuse a TIFF whose depth OpenSlide would hide by making 8-bit RGBA of it.

    Raises
    ------
    OpenError
        When it has more than 8 bits per sample, or more than 4 samples per pixel.
    """
    try:
        tags = _first_page(path, _BITS, _SAMPLES)
    except (OSError, ValueError) as error:
        what = f"E_DEPTH: {path.name}: its TIFF directories are damaged: {error}"
        raise OpenError(name, what) from error
    bits, samples = tags.get(_BITS, 1), tags.get(_SAMPLES, 1)
    bits = max(bits) if isinstance(bits, tuple) and bits else bits
    if not (_is_at_most(bits, 8) and _is_at_most(samples, 4)):
        raise OpenError(
            name,
            f"E_DEPTH: {path.name} has {bits} bits per sample and {samples} samples per pixel;"
            " tiler reads 8-bit grey, RGB or RGBA: convert it first",
        )


def _is_at_most(value: object, most: int) -> bool:
    return isinstance(value, int) and value <= most


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) and b"\0" not in head


def _tiff_diagnosis(path: Path, head: bytes, size: int) -> str | None:
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    enough = len(head) >= (16 if big else 8)
    (offset,) = (
        struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)
        if (enough)
        else (size,)
    )
    if offset >= size:
        return (
            f"{path.name} is cut off: {size:,} bytes, but its TIFF directory lies at {offset:,},"
            " beyond the end of the file; copy the slide again"
        )
    try:
        with closing(TileFile(path)) as file:
            tiled = TILE_WIDTH in read_first(file, {TILE_WIDTH})
    except (OSError, ValueError):
        return None
    return None if tiled else f"{path.name}: the TIFF is not tiled; {_CONVERT}"


def _first_page(path: Path, *wanted: int) -> Tags:
    with closing(TileFile(path)) as file:
        return read_first(file, wanted)
