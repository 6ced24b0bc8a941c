"""DICOM whole-slide images, as small as OpenSlide accepts: uncompressed, one file per level."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_LONG = (b"OB", b"SQ")
_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
_EXPLICIT = "1.2.840.10008.1.2.1"


def element(group: int, number: int, kind: str, value: object) -> bytes:
    """A data element in explicit little-endian form."""
    vr = kind.encode()
    if isinstance(value, int):
        data = struct.pack("<H" if kind == "US" else "<I", value)
    else:
        data = value.encode() if isinstance(value, str) else bytes(value)
        data += (b"\0" if kind in ("UI", "OB") else b" ") * (len(data) % 2)
    head = struct.pack("<HH", group, number) + vr
    return (
        head
        + (struct.pack("<HI" if vr in _LONG else "<H", *((0,) if vr in _LONG else ()), len(data)))
        + data
    )


def sequence(group: int, number: int, *items: bytes) -> bytes:
    """A sequence of items of known length."""
    content = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(group, number, "SQ", content)


def write_dicom(
    path: Path, pixels: np.ndarray, *, tile: int, spacing: str, series: str = "1.2.3.4"
) -> Path:
    """A level whose last tiles repeat its edge; ``spacing`` is of rows and columns, in mm."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)), "edge")
    frames = padded.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
    instance = f"{series}.{width}.{height}"
    meta = b"".join(
        [
            element(2, 1, "OB", b"\0\1"),
            element(2, 2, "UI", _CLASS),
            element(2, 3, "UI", instance),
            element(2, 0x10, "UI", _EXPLICIT),
            element(2, 0x12, "UI", "1.2.3"),
        ]
    )
    measures = sequence(0x28, 0x9110, element(0x28, 0x30, "DS", spacing))
    content = [
        element(8, 8, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
        element(8, 0x16, "UI", _CLASS),
        element(8, 0x18, "UI", instance),
        element(8, 0x60, "CS", "SM"),
        element(0x20, 0xD, "UI", "1.2.3"),
        element(0x20, 0xE, "UI", series),
        element(0x20, 0x9311, "CS", "TILED_FULL"),
        element(0x28, 2, "US", 3),
        element(0x28, 4, "CS", "RGB"),
        element(0x28, 6, "US", 0),
        element(0x28, 8, "IS", str(rows * columns)),
        element(0x28, 0x10, "US", tile),
        element(0x28, 0x11, "US", tile),
        element(0x28, 0x100, "US", 8),
        element(0x28, 0x101, "US", 8),
        element(0x28, 0x102, "US", 7),
        element(0x28, 0x103, "US", 0),
        element(0x48, 6, "UL", width),
        element(0x48, 7, "UL", height),
        element(0x48, 0x303, "UL", 1),
        sequence(0x5200, 0x9229, measures),
        element(0x7FE0, 0x10, "OB", np.ascontiguousarray(frames).tobytes()),
    ]
    length = element(2, 0, "UL", len(meta))
    path.write_bytes(bytes(128) + b"DICM" + length + meta + b"".join(content))
    return path
