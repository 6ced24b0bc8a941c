"""A self-test of OpenSlide: some builds return wrong pixels (openslide-bin#433)."""

from __future__ import annotations

import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import openslide

from tiler.checks.machine import machine_limit
from tiler.errors import EnvironmentRefusedError
from tiler.protocols import Pixels

_TILE = 16
_WIDTH, _HEIGHT = 40, 20  # the bottom row of tiles is partial; that row was wrong


@cache
def check_openslide() -> None:
    """Read a tiny TIFF of known pixels through OpenSlide, once per process.

    Raises
    ------
    EnvironmentRefusedError
        If OpenSlide returns other pixels than were written, or the TIFF cannot be written.
    """
    expected = _pattern()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "selftest.tiff")
            path.write_bytes(_tiff(expected))
            with openslide.OpenSlide(path) as slide:
                image = slide.read_region((0, 0), 0, (_WIDTH, _HEIGHT)).convert("RGB")
    except OSError as error:
        limit = machine_limit(error) or f"the self-test of OpenSlide cannot run: {error}"
        raise EnvironmentRefusedError(limit) from error
    if not np.array_equal(np.asarray(image), expected[:_HEIGHT, :_WIDTH]):
        raise EnvironmentRefusedError(
            f"OpenSlide {openslide.__library_version__} returns wrong pixels in the"
            " self-test (bottom row of tiles of a TIFF); install openslide-bin>=4.0.1.2"
        )


def _pattern() -> Pixels:
    """Return whole tiles of a picture in which each pixel differs from its neighbours."""
    rows, columns = -(-_HEIGHT // _TILE) * _TILE, -(-_WIDTH // _TILE) * _TILE
    y, x = np.mgrid[:rows, :columns]
    return np.stack([5 * x + y, 7 * y + x, 11 * (x ^ y)], axis=-1).astype(np.uint8)


def _tiff(pixels: Pixels) -> bytes:
    """Return a deflated tiled TIFF (TIFF 6.0, sections 2 and 15) that begins with its directory."""
    tiles = [
        zlib.compress(pixels[y : y + _TILE, x : x + _TILE].tobytes())
        for y in range(0, pixels.shape[0], _TILE)
        for x in range(0, pixels.shape[1], _TILE)
    ]
    short, long = 3, 4
    lengths = [len(tile) for tile in tiles]
    entries = [
        (256, long, [_WIDTH]),
        (257, long, [_HEIGHT]),
        (258, short, [8, 8, 8]),
        (259, short, [8]),  # Adobe deflate
        (262, short, [2]),  # RGB
        (277, short, [3]),
        (322, long, [_TILE]),
        (323, long, [_TILE]),
        (324, long, [0] * len(tiles)),  # offsets, filled in below
        (325, long, lengths),
    ]
    extra_at = 8 + 2 + 12 * len(entries) + 4
    data_at = extra_at + sum(
        len(values) * (2 if kind == short else 4)
        for _, kind, values in entries
        if len(values) * (2 if kind == short else 4) > 4
    )
    offsets = [data_at + sum(lengths[:index]) for index in range(len(tiles))]
    directory, extra = b"", b""
    for tag, kind, values in entries:
        numbers = offsets if tag == 324 else values
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == short else 'I'}", *numbers)
        if len(packed) > 4:
            field = struct.pack("<I", extra_at + len(extra))
            extra += packed
        else:
            field = packed.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, len(numbers)) + field
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + directory + bytes(4) + extra + b"".join(tiles)
