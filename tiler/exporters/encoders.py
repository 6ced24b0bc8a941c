"""Tile images as bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

from tiler.errors import ConfigError
from tiler.protocols import Pixels


def make_encoder(
    extension: str = "png", quality: int = 90, subsampling: str = "420", compression: int | str = 1
) -> Callable[[Pixels], bytes]:
    if extension == "png":
        return _png
    if extension in ("jpg", "jpeg"):
        return partial(_jpeg, quality=quality, subsampling=subsampling)
    raise ConfigError(f"exporter.images.extension={extension}: choose png")


def _jpeg(x: Pixels, quality: int, subsampling: str) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(x), quality=quality, colorsubsampling=subsampling
    )


def _chunk(t: bytes, d: bytes) -> bytes:
    return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(d, zlib.crc32(t)))


def _png(x: Pixels) -> bytes:
    from isal import isal_zlib

    h, w, _ = x.shape
    f = x.reshape(h, -1)
    b = np.empty((h, 1 + 3 * w), np.uint8)
    b[:, 0] = 2
    b[0, 1:] = f[0]
    np.subtract(f[1:], f[:-1], out=b[1:, 1:])
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", isal_zlib.compress(b, 1))
        + _chunk(b"IEND", b"")
    )
