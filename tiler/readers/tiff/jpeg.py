"""JPEG streams inside a TIFF: conversion to complete files, and to pixels.

Sources: ITU-T T.81, annex B; TIFF Technical Note 2.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from tiler.checks.pictures import check_jpeg
from tiler.geometry import Size
from tiler.protocols import Pixels

SOI = b"\xff\xd8"
_FILL, _EOI, _SOS = 0xFF, 0xD9, 0xDA
_TABLES = {0xC4, 0xDB}  # Huffman and quantization
_USUAL = {0xC0, 0xC1, 0xC2, 0xDD, 0xFE, *_TABLES, *range(0xE0, 0xF0)}  # all before the scan
_COLOUR_MARKERS = {0xE0, 0xEE}  # APP0 of JFIF, APP14 of Adobe


def jpeg_stream(tile: Size, shared: bytes | None, *, ycbcr: bool) -> Callable[[bytes], bytes]:
    """Return a function that turns a tile's bytes into a JPEG file with the right colours.

    The returned function adds missing parts: the tables that all tiles share, and a marker for the
    colours. It raises ``ValueError`` if the bytes are not such a tile.

    Parameters
    ----------
    tile
        Its size in pixels.
    shared
        The TIFF's JPEGTables, where it has them.
    ycbcr
        Whether the TIFF states YCbCr; else RGB.
    """
    import simplejpeg

    width, height = tile
    tables = b"" if shared is None else _segments(shared, only=_TABLES)[0]
    colours = "YCbCr" if ycbcr else "RGB"
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([ycbcr])

    def complete(data: bytes) -> bytes:
        """Add the tables, and replace all colour markers by one."""
        segments, rest = _segments(data, without=_COLOUR_MARKERS)
        return b"".join((SOI, tables, adobe, segments, data[rest:]))

    known: list[bytes] = []  # the header of a checked stream: tiles of a slide mostly share it

    def whole(data: bytes) -> bytes:
        stream = complete(data) if tables else data
        if known and stream.startswith(known[0]):
            return stream
        found = simplejpeg.decode_jpeg_header(stream)  # before memory is allocated for it
        if found[2] != colours and stream is data:
            # OpenSlide reads the colour space from the TIFF, not from the stream.
            stream = complete(data)
            found = simplejpeg.decode_jpeg_header(stream)
        if found[:3] != (height, width, colours):
            raise ValueError(f"a JPEG of {found[1]}x{found[0]} {found[2]}, not {width}x{height}")
        if stream is data or tables:
            known[:] = _header(stream)
        return stream

    return whole


def jpeg_decoder(
    tile: Size, shared: bytes | None, *, ycbcr: bool, factor: int
) -> Callable[[bytes], Pixels]:
    """Return a function from a tile's bytes to its pixels, reduced by ``factor``."""
    import simplejpeg

    whole = jpeg_stream(tile, shared, ycbcr=ycbcr)
    shape = (tile.height // factor, tile.width // factor, 3)

    def decode(data: bytes) -> Pixels:
        pixels: Pixels = simplejpeg.decode_jpeg(
            whole(data),
            fastdct=False,
            fastupsample=False,
            min_height=shape[0],
            min_width=shape[1],
            min_factor=factor,
        )
        if pixels.shape != shape:
            raise ValueError(f"a JPEG decoded to {pixels.shape}, not {shape}")
        return pixels

    return decode


def jpeg_check(shared: bytes | None) -> Callable[[bytes], None]:
    """Return a function that raises ``ValueError`` for a JPEG stream with a libjpeg warning.

    Parameters
    ----------
    shared
        The TIFF's JPEGTables, where it has them.
    """

    def check(data: bytes) -> None:
        if data[:2] != SOI:
            raise ValueError(f"no JPEG: it begins with {data[:4].hex()}")
        # Here, because damage in the tables is damage of each tile.
        tables = b"" if shared is None else _segments(shared, only=_TABLES)[0]
        check_jpeg(SOI + tables + data[2:])

    return check


def _header(stream: bytes) -> list[bytes]:
    """Return all of a JPEG stream that comes before its pixels; nothing for an unusual stream."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == _FILL:
        marker, end = stream[at + 1], at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == _SOS:
            return [stream[:end]]
        if marker not in _USUAL:
            break
        at = end
    return []


def _segments(
    stream: bytes, *, only: Container[int] | None = None, without: Container[int] = ()
) -> tuple[bytes, int]:
    """Return the segments of a JPEG stream with, or without, one of the given markers.

    Returns
    -------
    tuple
        The segments before the scan, joined; and where the rest of the stream begins.
    """
    if stream[:2] != SOI:
        raise ValueError(f"no JPEG: it begins with {stream[:4].hex()}")
    kept, at = [], 2
    while at + 4 <= len(stream) and stream[at] == _FILL:
        marker = stream[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in (_SOS, _EOI):
            break
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker not in without and (only is None or marker in only):
            kept.append(stream[at:end])
        at = end
    return b"".join(kept), at
