"""JPEG 2000 codestreams: their coding and the positions of their sections.

Source: ITU-T T.800, annexes A and B.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np

from tiler.geometry import Size

START = b"\xff\x4f\xff\x51"
"""The first bytes of a codestream: the markers SOC and SIZ."""

_CONTAINER = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_COD, _SOT, _SOD, _EOC = 0xFF52, 0xFF90, 0xFF93, b"\xff\xd9"
_MAX_PARTS = 65_535
_PLAIN_PRECINCTS = 0xFF  # the maximum: 2 ** 15 samples

_BYPASS, _HIGH_THROUGHPUT = 0x01, 0x40  # bits of the style of code blocks
_SOP = re.compile(rb"\xff\x91\x00\x04..", re.DOTALL)
_STRAY = re.compile(rb"\xff[\x90-\xff]")
_STRAY_BUT_EPH = re.compile(rb"\xff[\x90\x91\x93-\xff]")


@dataclass(frozen=True)
class Codestream:
    """A codestream's main header and its tile-parts.

    Attributes
    ----------
    data
        The bytes, without a container.
    size
        The image's size in pixels.
    depths
        Bits of each component; negative where the samples are signed.
    steps
        Pixels per sample of each component, across and down.
    style, style_at
        The style of its code blocks (table A.19), and the index of that byte in ``data``.
    marked
        Whether markers (SOP, EPH) may enclose packets.
    layers, levels
        The quality layers, and the number of times that the components are halved.
    block
        The base-2 logarithms of a code block's width and height.
    precincts
        One byte per resolution: the logarithms of a precinct's height and width.
    parts
        Three indices in ``data`` per tile-part: its SOT marker, its packets, its end.
    """

    data: bytes
    size: Size
    depths: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]
    style: int
    style_at: int
    marked: bool
    layers: int
    levels: int
    block: tuple[int, int]
    precincts: bytes
    parts: tuple[tuple[int, int, int], ...]

    @property
    def is_arithmetic(self) -> bool:
        """Return whether code blocks end in an arithmetic codeword (not raw, not HT)."""
        return not self.style & (_BYPASS | _HIGH_THROUGHPUT)

    def stray_marker(self) -> int | None:
        """Return the index of a marker code in packets, which no coder writes; None without one."""
        stray = _STRAY_BUT_EPH if self.marked else _STRAY
        for _, start, stop in self.parts:
            packets = self.data[start:stop]
            if self.marked:
                packets = _SOP.sub(b"", packets)
            if found := stray.search(packets):
                return start + found.start()
        return None

    def has_runs(self) -> bool:
        """Return whether packets repeat one byte 15 times or more; coders rarely do."""
        for _, start, stop in self.parts:
            words = np.frombuffer(self.data, np.uint64, (stop - start) // 8, start)
            turned = (words << np.uint64(8)) | (words >> np.uint64(56))
            if (words == turned).any():  # eight equal bytes
                return True
        return False

    def most_empty_bytes(self) -> int:
        """Return an upper bound of the bytes at a tile's end that belong to no code block."""
        packets = blocks = 0
        for across, down in self.steps:
            for resolution, sizes in enumerate(self.precincts):
                scale = self.levels - resolution
                width = -(-self.size.width // (across << scale))
                height = -(-self.size.height // (down << scale))
                packets += -(-width >> (sizes & 15)) * -(-height >> (sizes >> 4))
                blocks += -(-width >> self.block[0]) * -(-height >> self.block[1])
        return self.layers * (2 * packets + blocks) + 64


def codestream(data: bytes) -> Codestream:
    """Read the structure of a codestream, with or without a container (JP2).

    Raises
    ------
    ValueError
        If a section is missing or contradicts another.
    """
    if not data.startswith(START):
        start = data.find(b"jp2c" + START) + 4
        if start < 4 or not data.startswith(_CONTAINER):
            raise ValueError(f"not a JPEG 2000 codestream: it begins with {data[:4].hex()}")
        data = data[start:]
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise ValueError("the JPEG 2000 codestream is cut off in its header") from error


def _read(data: bytes) -> Codestream:
    (length,) = struct.unpack_from(">H", data, 4)
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    (components,) = struct.unpack_from(">H", data, 40)
    if length != 38 + 3 * components or not components or right <= left or bottom <= top:
        raise ValueError("the JPEG 2000 codestream has no valid size")
    depths, steps = [], []
    for at in range(42, 42 + 3 * components, 3):
        depth, across, down = struct.unpack_from("3B", data, at)
        if not (across and down):
            raise ValueError("the JPEG 2000 codestream has components without samples")
        depths.append(((depth & 127) + 1) * (-1 if depth & 128 else 1))
        steps.append((across, down))
    at, coding = 4 + length, 0
    while (marker := struct.unpack_from(">H", data, at)[0]) != _SOT:
        if marker == _COD:
            coding = at
        at = _after_segment(data, at)
    if not coding:
        raise ValueError("the JPEG 2000 codestream contains no coding parameters")
    flags, _, layers, _, levels, *block, style = struct.unpack_from(">BBHB4B", data, coding + 4)
    width, height = block
    if levels > 32 or width > 8 or height > 8:
        raise ValueError("the JPEG 2000 codestream has no valid coding style")
    precincts = bytes([_PLAIN_PRECINCTS]) * (levels + 1)
    if flags & 1:
        precincts = data[coding + 14 : coding + 15 + levels]
    return Codestream(
        data=data,
        size=Size(right - left, bottom - top),
        depths=tuple(depths),
        steps=tuple(steps),
        style=style,
        style_at=coding + 12,
        marked=bool(flags & 6),
        layers=layers,
        levels=levels,
        block=(width + 2, height + 2),
        precincts=precincts,
        parts=_parts(data, at),
    )


def _parts(data: bytes, at: int) -> tuple[tuple[int, int, int], ...]:
    """Return the tile-parts; the first begins at the given index."""
    parts: list[tuple[int, int, int]] = []
    while at < len(data) and data[at : at + 2] != _EOC:
        marker, _, _, length = struct.unpack_from(">HHHI", data, at)
        if marker != _SOT or len(parts) == _MAX_PARTS:
            raise ValueError(f"no tile-part of the JPEG 2000 codestream begins at byte {at:,}")
        stop = at + length if length else len(data) - len(_EOC) * data.endswith(_EOC)
        packets = _after_segment(data, at)
        while struct.unpack_from(">H", data, packets)[0] != _SOD:
            packets = _after_segment(data, packets)
        packets += 2
        if not packets <= stop <= len(data):
            raise ValueError(
                f"a tile-part of the JPEG 2000 codestream ends at byte {stop:,} of {len(data):,}"
            )
        parts.append((at, packets, stop))
        at = stop
    if not parts:
        raise ValueError("the JPEG 2000 codestream has no tile-part")
    return tuple(parts)


def _after_segment(data: bytes, at: int) -> int:
    """Return the end of the marker segment at an index."""
    marker, length = struct.unpack_from(">HH", data, at)
    if marker < 0xFF00 or length < 2:
        raise ValueError(f"no marker of the JPEG 2000 codestream at byte {at:,}")
    return int(at + 2 + length)
