"""An ICC profile of a scanner that does not exist, made of three primaries and a gamma."""

from __future__ import annotations

import struct

_PRIMARIES = {
    "r": (0.6097, 0.3111, 0.0195),
    "g": (0.2053, 0.6257, 0.0609),
    "b": (0.1492, 0.0632, 0.7446),
}
"""Those of Adobe RGB (1998) under D50, as XYZ."""


def scanner_profile(gamma: float = 1.4, description: str = "a scanner", intent: int = 0) -> bytes:
    """Return a matrix profile of version 2 for RGB; the format is that of ICC.1:2001-04."""
    text = description.encode() + b"\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(8 + 3 + 67)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = _xyz(0.9642, 1.0, 0.8249)
    tags = {b"desc": described, b"wtpt": white, b"cprt": b"text" + bytes(4) + b"none\0"}
    for name, primary in _PRIMARIES.items():
        tags[f"{name}XYZ".encode()] = _xyz(*primary)
        tags[f"{name}TRC".encode()] = curve
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, b"scnr", b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(24)
    head += struct.pack(">I", intent) + _xyz(0.9642, 1.0, 0.8249)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)
