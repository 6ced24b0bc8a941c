"""The reason why a file cannot be opened; OpenSlide reports one text for all reasons."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from tiler.errors import DepthError, OpenError
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.images import DESCRIPTION, hidden_channels, images_in
from tiler.readers.tiff.layout import TAGS
from tiler.readers.tiff.pixels import (
    channel_problem,
    depth_problem,
    is_image,
    orientation_problem,
)
from tiler.readers.tiff.tile_table import (
    BYTE_COUNTS,
    HEIGHT,
    OFFSETS,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    page_size,
)
from tiler.readers.tiff_directories import (
    MAGIC,
    Tags,
    first_place,
    is_tiff,
    read_directories,
    read_first,
)

_TILING = (WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT)
_WANTED = frozenset({*TAGS, DESCRIPTION})
_HAMAMATSU = "hamamatsu"
_KINDS = (
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<", "XML"),
    (b"%pdf", "PDF"),
    (b"%!ps", "PostScript"),
    (b"{", "JSON"),
    (b"pk\x03\x04", "a ZIP archive"),
)
_QUOTED = re.compile("“[^”]*”?")
"""GLib's message about an invalid line of an index file; it quotes the line."""

_CONVERT = (
    "convert it: vips tiffsave --tile --pyramid --bigtiff; or, if it is small, read it as a plain"
    " image (reader=image; in Python ImageReader(path))"
)


def tiff_pages(path: Path) -> Sequence[Tags] | None:
    """Return the directories of a TIFF's pages; empty for other files, None if damaged."""
    with closing(TileFile(path)) as file:
        try:
            return read_directories(file, _WANTED).pages if is_tiff(file) else ()
        except (OSError, ValueError):
            return None


def check_claims(path: Path, name: str, pages: Sequence[Tags]) -> None:
    """Refuse a TIFF with false lists of tiles, which OpenSlide does not check.

    If a tile claims more bytes than the file has, OpenSlide allocates that memory, and ends the
    process if the allocation fails. It shows tiles that are not listed as blank.

    Raises
    ------
    OpenError
        If a claim is false; the error states the claim.
    """
    size = path.stat().st_size
    for tags in pages:
        if wrong := _wrong_lists(tags, size):
            raise OpenError(name, f"{path.name}: {wrong}; copy the slide again")


def _wrong_lists(tags: Tags, file_size: int) -> str | None:
    """Return the false claim of a page about its tiles; None if there is none."""
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
    """Return the reason why OpenSlide refused a file, as far as its bytes show it.

    Parameters
    ----------
    path
        A file that ``look`` accepted.
    message
        OpenSlide's own text, used if the bytes show no reason.
    """
    size = path.stat().st_size
    message = _QUOTED.sub("“…”", message)
    with path.open("rb") as file:
        head = file.read(64)
    if path.suffix.lower() == ".mrxs" and not (path.with_suffix("") / "Slidedat.ini").is_file():
        return (
            f"{path.name}: the MIRAX slide's data folder {path.stem!r} beside it is missing or has"
            " no Slidedat.ini; copy the folder too"
        )
    if head.startswith(MAGIC):
        return _tiff_diagnosis(path, size) or f"{path.name}: {message}"
    if kind := _kind(head):
        return f"{path.name} is not a slide: it starts with {kind}; get the file again"
    return f"{path.name}: not recognised as a slide ({size:,} bytes; OpenSlide: {message})"


def check_pixels(path: Path, name: str, pages: Sequence[Tags] | None, vendor: str) -> None:
    """Refuse a TIFF whose pixels OpenSlide would change.

    OpenSlide returns 8-bit RGBA for every file. It reduces 16 bits to 8, shows the first of several
    channels as grey, and rotates each native tile separately.

    Parameters
    ----------
    path, name
        The slide's file and name.
    pages
        The result of ``tiff_pages``.
    vendor
        OpenSlide's name of the format.

    Raises
    ------
    OpenError
        If the directories cannot be read, or the orientation is not 1.
    DepthError
        If the pixels are not 8-bit grey or RGB in one image.
    """
    if pages is None:
        if vendor == _HAMAMATSU:  # an NDPI of more than 4 GiB is not a regular TIFF
            return
        raise OpenError(
            name, f"{path.name}: its TIFF directories are damaged; copy the slide again"
        )
    for number, tags in enumerate(pages):
        if is_image(tags):
            if problem := orientation_problem(tags):
                raise OpenError(name, f"{path.name}: page {number}: {problem}")
            if problem := depth_problem(tags):
                raise DepthError(name, f"{path.name}: page {number}: {problem}")
    if problem := _hidden(pages):
        raise DepthError(name, f"{path.name}: {problem}")


def _hidden(pages: Sequence[Tags]) -> str | None:
    """Return the reason why OpenSlide would show one of several channels; None otherwise."""
    images = [tags for tags in pages if is_image(tags)]
    if not images:
        return None
    level0 = max(images, key=lambda tags: math.prod(page_size(tags)))
    first, *_ = images_in(pages)
    return channel_problem(pages, level0) or hidden_channels(first, pages[first.page])


def _kind(head: bytes) -> str:
    """Return the kind of a file from its first bytes; empty if unknown."""
    begins = head.lstrip().lower()
    found = (kind for start, kind in _KINDS if begins.startswith(start))
    return next(found, "plain text" if _is_text(head) else "")


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) and b"\0" not in head


def _tiff_diagnosis(path: Path, size: int) -> str | None:
    with closing(TileFile(path)) as file:
        try:
            offset = first_place(file)
        except ValueError:
            offset = size
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
